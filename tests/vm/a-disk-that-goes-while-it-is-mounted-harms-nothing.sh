#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A SCSI disk is deleted while it is being mounted, sooner and later in the mount, which looks at the devices above the disk and at
# its queues for the panic lane. Nothing waits for ever, the kernel has nothing to say, and the disk that is found again is whole.
. "$(dirname "$0")/lib.sh"

vm_status 0 --scsi 64M -- "$GUEST/disk-that-goes.sh 24"
note "$(grep '^mounted' "$DIR/out")"
