#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# scripts/panic-times, one round of it: a panic with a volume of each class of devices, and one with each class alone, from a
# machine whose state was saved; each record that is claimed is on its disk, and a boot finds every file that was fsynced.
# alone: what the handler may take is judged, and a starved machine takes longer
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/panic-times" --work "$DIR/times" 1 | tee "$DIR/out"
expect ' saved  handler' "$DIR/out"
expect ' boot   end' "$DIR/out"
rm -r "$DIR/times/saved"
note "$(tail -n 1 "$DIR/out")"
