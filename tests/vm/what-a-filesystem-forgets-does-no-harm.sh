#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Safe code cannot break the kernel by forgetting: a second filesystem over rust/ forgets references on its inodes until it is
# unmounted, and loses its registration while somebody has a context of it. Nothing comes of it but a message and a wait.
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/careless"
vm_status 0 --disk 64M --files "$REPO/build/careless/permfs.ko" -- \
	"$GUEST/careless.py /run/permfs/files/permfs.ko /dev/vda /mnt"
expect ' passed, 0 failed' "$DIR/out"
note "$(grep -E '^[0-9]+ passed' "$DIR/out")"
