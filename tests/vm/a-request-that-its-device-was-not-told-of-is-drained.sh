#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A CPU is stopped after it has put a request into a virtio queue and before it has told the device. The panic handler tells the
# device: the request is collected, and the lane, whose own request on that queue nobody would tell the device of, writes its record.
. "$(dirname "$0")/lib.sh"

# stopped WAY DISK [OPTIONS]: the panic; the lane's way must be WAY.
stopped() {
	local way=$1 line
	vm_panic 'panicker: doorbell' --files "$REPO/build/panicker/panicker.ko" --disk "$2" "${@:3}" -- '
		insmod /run/permfs/files/panicker.ko || exit 9
		mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
		dd if=/dev/zero of=/mnt/file bs=4K count=1 conv=fsync status=none || exit 9
		python3 - <<PY
import mmap, os
fd, block = os.open("/mnt/file", os.O_WRONLY | os.O_DIRECT), mmap.mmap(-1, 4096)
os.pwrite(fd, block, 0)
open("/sys/module/panicker/parameters/at", "w").write("doorbell")
open("/proc/self/comm", "w").write("doorbell")
os.pwrite(fd, block, 0)
PY
		sleep 60'
	line=$(console | grep 'rec=vol')
	[[ $line == *" inflight=1 "* ]] || fail "not one request in flight: $line"
	line=$(console | grep 'rec=drain')
	[[ $line == *" drained=1 "*" lost=0 "*" end=done "* ]] || fail "not drained: $line"
	line=$(console | grep 'rec=lane')
	[[ $line == *" way=$way result=ok flush=ok "* ]] || fail "no record: $line"
}

stopped virtio-shared 128M,num-queues=1
stopped virtio-poll 128M --append virtio_blk.poll_queues=1
