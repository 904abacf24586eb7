#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The logs in the panic areas of all mounted volumes are files in /sys/fs/pstore, come and go with their volumes, and are
# erased by unlinking them; another backend and pstore=off are left in peace.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 64M --disk 64M --disk 64M -- "$GUEST/pstore-files.sh"
cat "$DIR/out"
vm_status 0 --disk 64M --erst "$DIR/store" -- "$GUEST/pstore-files.sh taken"
