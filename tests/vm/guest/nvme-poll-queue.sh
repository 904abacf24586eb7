#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: nvme-poll-queue.sh DISK: gives the disk's NVMe controller a poll queue, as nvme.poll_queues=1 gives one to all.
set -e
# The parameter holds for those that are bound from now on.
controller=$(basename "$(realpath "$(realpath "/sys/block/$1")/../../..")")
echo 1 >/sys/module/nvme/parameters/poll_queues
echo "$controller" >/sys/bus/pci/drivers/nvme/unbind
echo "$controller" >/sys/bus/pci/drivers/nvme/bind
for _ in {1..100}; do
	if [ -b "/dev/$1" ]; then exit 0; fi
	sleep 0.05
done
echo "$1 does not come back"
exit 1
