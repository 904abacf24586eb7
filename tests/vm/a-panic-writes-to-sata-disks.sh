#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic collects what is in flight on SATA disks, writes its record and the kernel's log to them and flushes: on two disks of
# one controller, which share its interrupt; where libata has put a flush aside until queued commands are done, and does not come
# back to it; and on a disk without command queuing. They have one queue, and the I/O scheduler that such disks come with.
. "$(dirname "$0")/lib.sh"

monitor_socket
image=$(disk one 128M)
other=$(disk two 128M)
recorded='.volumes | all(.lane | .result == "ok" and .way == "ahci" and .flush == "ok")'
collected='.volumes | all(.drain.drained and .drain.way == "ahci")'
marked='grep -q "a mark before the panic" /sys/fs/pstore/dmesg-permfs-*'

vm_held sata0 port1
vm_panic 'sysrq triggered crash' "${machine[@]}" --sata "$image" \
	--qemu "-drive if=none,id=port1,format=raw,cache=writeback,file=$other" \
	--qemu '-device ide-hd,drive=port1,bus=sata0-hba.1' -- "
	# A disk is there before it has its scheduler.
	for d in a b; do until grep -q '\[mq-deadline\]' /sys/block/sd\$d/queue/scheduler; do sleep 0.1; done; done
	exec $GUEST/two-held-disks.sh ahci"
wait "$poker" || fail "QEMU did not do it"
shared=$(figures)
vm_status 0 --sata "$image" --sata "$other" -- "
	mkdir /mnt/a /mnt/b
	for d in a b; do mount -t permfs /dev/sd\$d /mnt/\$d && [ \"\$(cat /mnt/\$d/kept)\" = kept ] || exit 1; done
	$marked || exit 1
	$GUEST/panic-record.sh '.volumes_mounted == 2' '.volumes | all(.in_flight == 4)' '$collected' '$recorded' '.outcome | .drained and .flush == \"ok\"' || exit 1
	umount /mnt/a /mnt/b && fsck.permfs -n /dev/sda && fsck.permfs -n /dev/sdb || exit 1"

# Between a queued read, which the disk completes only once the panic has begun, and the panic somebody flushes the disk.
vm_held sata0
vm_panic 'sysrq triggered crash' "${machine[@]}" --sata "$image" -- '
	modprobe pvpanic-pci && mount -t permfs -o noatime /dev/sda /mnt || exit 9
	echo new >/mnt/new && sync /mnt/new && sync -f /mnt || exit 9
	echo "a mark before the panic" >/dev/kmsg
	echo ready >/dev/permfs-ack
	sleep 2
	# The first is what stalls the disk, the second stays in it.
	for _ in 1 2; do
		dd if=/mnt/1 of=/dev/null bs=64K count=1 iflag=direct status=none &
		sleep 1
	done
	busy=/sys/kernel/debug/block/sda/hctx0/busy
	grep -q "op=READ.*in_flight" $busy || exit 9
	python3 -c "import os; os.fsync(os.open(\"/dev/sda\", os.O_RDONLY))" &
	for _ in {1..50}; do grep -q "op=FLUSH.*in_flight" $busy && break; sleep 0.1; done
	cat $busy
	grep -q "op=FLUSH.*in_flight" $busy || exit 9
	echo c >/proc/sysrq-trigger'
wait "$poker" || fail "QEMU did not do it"
aside=$(figures)

# The same disk without command queuing, after the record of that panic was read: one command at a time.
vm_held sata0
vm_panic 'sysrq triggered crash' "${machine[@]}" --sata "$image" --append libata.force=noncq -- "
	modprobe pvpanic-pci && mount -t permfs -o noatime /dev/sda /mnt && [ \"\$(cat /mnt/new)\" = new ] && $marked || exit 9
	$GUEST/panic-record.sh '$collected' '$recorded' '.volumes[0].in_flight == 1' || exit 9
	[ \"\$(cat /sys/block/sda/device/queue_depth)\" = 1 ] || exit 9
	echo ready >/dev/permfs-ack
	sleep 2
	for _ in 1 2; do
		dd if=/mnt/1 of=/dev/null bs=64K count=1 iflag=direct status=none &
		sleep 1
	done
	grep -q 'op=READ.*in_flight' /sys/kernel/debug/block/sda/hctx0/busy || exit 9
	echo c >/proc/sysrq-trigger"
wait "$poker" || fail "QEMU did not do it"
alone=$(figures)
vm_status 0 --sata "$image" -- "
	mount -t permfs /dev/sda /mnt || exit 1
	$GUEST/panic-record.sh '$collected' '$recorded' '.volumes[0].in_flight == 1' || exit 1
	umount /mnt && fsck.permfs -n /dev/sda || exit 1"
note "us: two disks ${shared}; a flush put aside ${aside}; without queuing $alone"
