#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Commands that programs send past the block layer's files (SG_IO, sg's write, NVMe's ioctl) are in flight on the volumes' disks at the
# panic. They complete among what is collected, their ends want nothing that is held, the records are written, and the machine reboots.
. "$(dirname "$0")/lib.sh"

monitor_socket
sda=$(disk sda 128M)
nvme=$(disk nvme 128M)

vm_held scsi0 nvme0
vm_panic 'sysrq triggered crash' "${machine[@]}" --module-params panic_deadline_ms=2000 --scsi "$sda" --nvme "$nvme" -- "
	modprobe pvpanic-pci && modprobe sg || exit 9
	until [ -c /dev/sg0 ]; do sleep 0.1; done
	mkdir /mnt/sda /mnt/nvme0n1
	for d in sda nvme0n1; do mkfs.permfs -q /dev/\$d && mount -t permfs -o noatime /dev/\$d /mnt/\$d || exit 9; done
	echo ready >/dev/permfs-ack
	sleep 2
	# The first of a disk is what stalls it.
	for d in sda nvme0n1; do dd if=/dev/\$d of=/dev/null bs=4k count=1 iflag=direct status=none & done
	sleep 1
	python3 $GUEST/pass-through.py || exit 9
	echo c >/proc/sysrq-trigger"
wait "$poker" || fail "QEMU did not do it"
vm_status 0 --scsi "$sda" --nvme "$nvme" -- "
	mkdir /mnt/sda /mnt/nvme0n1
	for d in sda nvme0n1; do mount -t permfs /dev/\$d /mnt/\$d || exit 1; done
	$GUEST/panic-record.sh '.volumes | length == 2 and all(.lane | .result == \"ok\" and .flush == \"ok\")' '.outcome.flush == \"ok\"' || exit 1
	for d in sda nvme0n1; do umount /mnt/\$d && fsck.permfs -n /dev/\$d || exit 1; done"
