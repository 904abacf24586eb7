#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic collects what is in flight on virtio-scsi disks, writes its record and the kernel's log to them and flushes: on two
# disks of one controller, which share its queues; on a disk that has a unit attention to tell first; and over a poll queue. A
# device that SCSI has given up is left alone, and so is one that is no disk any more.
. "$(dirname "$0")/lib.sh"

monitor_socket
image=$(disk one 128M)
other=$(disk two 128M)
recorded='.volumes | all(.lane | .result == "ok" and .way == "virtio-scsi" and .flush == "ok")'
collected='.volumes | all(.in_flight == 4 and .drain.drained and .drain.way == "virtio-scsi")'

# One queue, whose completions would go to a softirq.
vm_held scsi0 lun1
vm_panic 'sysrq triggered crash' "${machine[@]}" --scsi "$image,num_queues=1" \
	--qemu "-drive if=none,id=lun1,format=raw,cache=writeback,file=$other" \
	--qemu '-device scsi-hd,drive=lun1,bus=scsi0-hba.0,lun=1' -- "$GUEST/two-held-disks.sh virtio-scsi"
wait "$poker" || fail "QEMU did not do it"
shared=$(figures)
vm_status 0 --scsi "$image" --scsi "$other" -- "
	mkdir /mnt/a /mnt/b
	for d in a b; do mount -t permfs /dev/sd\$d /mnt/\$d && [ \"\$(cat /mnt/\$d/kept)\" = kept ] || exit 1; done
	grep -q 'a mark before the panic' /sys/fs/pstore/dmesg-permfs-* || exit 1
	$GUEST/panic-record.sh '.volumes_mounted == 2' '$collected' '$recorded' '.outcome | .drained and .flush == \"ok\"' || exit 1
	umount /mnt/a /mnt/b && fsck.permfs -n /dev/sda && fsck.permfs -n /dev/sdb || exit 1"

# The disk grows while nothing is sent to it, and nobody is told: the panic's first command is answered with that.
rm -f "$DIR/ack"
python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" \
	'{"execute": "block_resize", "arguments": {"device": "scsi0", "size": 167772160}}' &
poker=$!
vm_panic 'sysrq triggered crash' --scsi "$image,param_change=off" --ack "$DIR/ack" \
	--qemu "-qmp unix:$socket,server=on,wait=off" -- '
	mount -t permfs /dev/sda /mnt && echo new >/mnt/new && sync /mnt/new || exit 9
	sleep 2
	echo ready >/dev/permfs-ack
	sleep 4
	[ "$(cat /sys/block/sda/size)" = 262144 ] || exit 9
	echo c >/proc/sysrq-trigger'
wait "$poker" || fail "QEMU did not do it"
console | grep -q 'Capacity data has changed' || fail "the disk had nothing to tell"
attention=$(figures)

# The same disk over a poll queue, after the record of that panic was read.
vm_panic 'sysrq triggered crash' --scsi "$image,num_queues=3" --append virtio_scsi.virtscsi_poll_queues=1 -- "
	dmesg | grep -q '1/0/1 default/read/poll queues' || exit 9
	mount -t permfs /dev/sda /mnt && [ \"\$(cat /mnt/new)\" = new ] || exit 9
	$GUEST/panic-record.sh '$recorded' || exit 9
	echo c >/proc/sysrq-trigger"
polled=$(figures)
vm_status 0 --scsi "$image" -- "
	mount -t permfs /dev/sda /mnt || exit 1
	$GUEST/panic-record.sh '$recorded' || exit 1
	umount /mnt && fsck.permfs -n /dev/sda || exit 1"

# One device is offline. The other runs and takes commands, but is no disk any more: whose it is next, nobody knows here.
vm_panic 'sysrq triggered crash' --scsi "$image" --scsi "$other" -- '
	mkdir /mnt/a /mnt/b
	for d in a b; do mount -t permfs /dev/sd$d /mnt/$d || exit 9; done
	device=$(readlink -f /sys/block/sdb/device)
	echo "${device##*/}" >/sys/bus/scsi/drivers/sd/unbind
	[ ! -e /sys/block/sdb ] && [ "$(cat "$device/state")" = running ] || exit 9
	echo offline >/sys/block/sda/device/state || exit 9
	echo c >/proc/sysrq-trigger'
refused='result=refused why=%s flush=not-attempted'
console | grep -q "rec=lane .* slot=0 .* $(printf "$refused" not-running)" || fail "an offline device is not refused"
console | grep -q "rec=lane .* slot=1 .* $(printf "$refused" queue-frozen)" || fail "a disk that has gone is not refused"
note "us: two disks ${shared}; with an attention ${attention}; on a poll queue $polled"
