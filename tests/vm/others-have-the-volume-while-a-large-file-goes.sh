#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# While a file of many extents is removed or cut, other tasks get through, many times; and while somebody waits for the disk with the
# volume in his hands, inodes that have nothing to give back leave memory. Counted, with ext4 and XFS beside it.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 512M -- "$GUEST/others-go-on.py /dev/vda && $GUEST/kernel-is-quiet.sh"
note "$(sed -n 's/.*removes a folder: //p' "$DIR/out" | paste -sd';')"
