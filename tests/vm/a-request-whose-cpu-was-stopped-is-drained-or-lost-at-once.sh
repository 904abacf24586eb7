#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A CPU is stopped in the middle of giving a request to its device. If it has put it into a virtio queue and not told the device,
# the panic handler tells the device: the request is collected, and the lane, whose own request on that queue nobody would tell the
# device of, writes its record. If the driver has not got the request yet, it is lost, and nobody waits for it.
# alone: what the handler may take is judged, and a starved machine takes longer
. "$(dirname "$0")/lib.sh"

# stopped FUNCTION DISK WAY DRAIN [OPTIONS]: the panic, while a task writes to DISK and has come to FUNCTION. The lane's way must be
# WAY, and DRAIN stand in what is said of the drain.
stopped() {
	local at=$1 dev=$2 way=$3 drain=$4 line us
	vm_panic 'panicker: stopped' --files "$REPO/build/panicker/panicker.ko" --module-params panic_deadline_ms=2000 "${@:5}" -- "
		insmod /run/permfs/files/panicker.ko || exit 9
		mkfs.permfs -q $dev && mount -t permfs $dev /mnt || exit 9
		dd if=/dev/zero of=/mnt/file bs=4K count=1 conv=fsync status=none || exit 9
		python3 - <<PY
import mmap, os
fd, block = os.open('/mnt/file', os.O_WRONLY | os.O_DIRECT), mmap.mmap(-1, 4096)
os.pwrite(fd, block, 0)
open('/sys/module/panicker/parameters/at', 'w').write('stopped:$at')
open('/proc/self/comm', 'w').write('stopped')
os.pwrite(fd, block, 0)
PY
		sleep 60"
	line=$(console | grep 'rec=vol')
	[[ $line == *" inflight=1 "* ]] || fail "not one request in flight: $line"
	line=$(console | grep 'rec=drain')
	[[ $line == *"$drain"* ]] || fail "not '$drain': $line"
	# What the device might have is waited for until half of the deadline.
	us=$(sed 's/.* us=\([0-9]*\) .*/\1/' <<<"$line")
	[ "$us" -lt 500000 ] || fail "the drain took $us us"
	line=$(console | grep 'rec=lane')
	[[ $line == *" way=$way result=ok flush=ok "* ]] || fail "no record: $line"
}

all=' drained=1 inflight=0 flush=pending lost=0 '
none=' drained=0 inflight=1 flush=pending lost=1 '
stopped virtqueue_notify /dev/vda virtio-shared "$all" --disk 128M,num-queues=1
stopped virtqueue_notify /dev/vda virtio-poll "$all" --disk 128M --append virtio_blk.poll_queues=1
stopped virtqueue_notify /dev/sda virtio-scsi "$all" --scsi 128M
stopped virtscsi_queuecommand /dev/sda virtio-scsi "$none" --scsi 128M
stopped ata_scsi_queuecmd /dev/sda ahci "$none" --sata 128M
