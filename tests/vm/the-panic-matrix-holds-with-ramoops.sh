#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The panic matrix's cells of `make test`, those where ramoops keeps the machine's log: each machine stops or reboots in time, its
# report is read back and true, and what was fsynced is there (Documentation/panic-matrix.md).
# alone: what the handler may take is judged, and a starved machine takes longer
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/matrix" --subset --pstore ramoops --work "$DIR/matrix" | tee "$DIR/out"
note "$(tail -n 1 "$DIR/out")"
