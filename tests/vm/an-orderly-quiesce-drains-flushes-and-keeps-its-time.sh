#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# permfs quiesce and a freeze bring a volume under load to rest, with a flush that the device sees and no error for a writer; on a
# device that is slow or answers nothing they are over in time, claim nothing, and leave it usable. A volume shut down on
# request keeps what it should.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 128M --disk 64M,throttling.iops-total=60 --disk 64M -- "exec 2>&1; GUEST=$GUEST DM_DISABLE_UDEV=1; export GUEST DM_DISABLE_UDEV; $GUEST/quiesce.sh"
