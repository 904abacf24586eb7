#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where somebody else's polled requests are on a disk's poll queue, nothing marks the task that polls: a panic out of a task that
# holds a spinlock may be that one, and refuses, while one that holds none, and an interrupt, write. In an NMI a poll queue is
# only written to if it is empty. A queue that its driver has stopped, for the ring is full, is left alone in each of them. Beside
# each disk is one that differs in nothing but this, and writes. A boot is a context.
. "$(dirname "$0")/lib.sh"

volumes=(vda vdb vdc vdd sda sdb)
for name in "${volumes[@]}"; do
	"$REPO/build/bin/mkfs.permfs" -q "$(disk "$name" 64M)"
done
other=$(disk other 64M)
monitor_socket

# The reads of vda are slow: there are always some in flight, and it answers all the same. Those of vdc, and of the other disk on
# sdb's controller, end no more: QEMU has these complete nothing as soon as they are read from. The deadline is long, for the
# lane's requests wait behind the slow reads, and a starved machine prints slowly before them.
poll='num-queues=3,indirect_desc=off,disable-legacy=on' ring='num-queues=1,indirect_desc=off'
devices=(--append virtio_blk.poll_queues=1 --append virtio_scsi.virtscsi_poll_queues=1
	--module-params panic_deadline_ms=2000 --files "$REPO/build/panicker/panicker.ko" --ack "$DIR/ack"
	--disk "$DIR/vda.img,$poll,throttling.iops-total=200" --disk "$DIR/vdb.img,$poll"
	--disk "$DIR/vdc.img,$ring" --disk "$DIR/vdd.img,$ring"
	--scsi "$DIR/sda.img,num_queues=3" --scsi "$DIR/sdb.img,num_queues=3"
	--qemu "-drive if=none,id=other,format=raw,file=$other -device scsi-hd,drive=other,bus=scsi1-hba.0,lun=1"
	--qemu "-qmp unix:$socket,server=on,wait=off")
seconds=0

# panics CONTEXT TOLD MESSAGE DIFFERENT...: in CONTEXT, which is told as TOLD, what is DIFFERENT from all but vdc's writing.
panics() {
	local context=$1 told=$2 message=$3 poker word begin=$SECONDS
	shift 3
	declare -A answers=([vda]=virtio-poll [vdb]=virtio-poll [vdc]=virtio-shared:queue-stopped [vdd]=virtio-shared
		[sda]=virtio-scsi [sdb]=virtio-scsi)
	for word; do answers[${word%%=*}]=${word#*=}; done
	rm -f "$DIR/ack"
	python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" stall:virtio2 stall:other &
	poker=$!
	vm_panic "panicker: $message" "${devices[@]}" -- "$GUEST/lane-pollers.sh $context"
	wait "$poker" || fail "QEMU did not do it"
	seconds=$((seconds + SECONDS - begin))
	words=()
	for word in "${volumes[@]}"; do words+=("$word=${answers[$word]}"); done
	python3 "$REPO/tests/vm/lane-answers.py" "$DIR" "$DIR/console.$VM_RUNS" "$told" "${words[@]}" ||
		fail "not as it must be: $context"
}

panics locked task locked vda=virtio-poll:in-block-layer sdb=virtio-scsi:in-block-layer
panics process task process
panics hardirq-plugged hardirq hardirq
panics nmi nmi nmi vda=virtio-poll:nmi vdd=virtio-shared:nmi sda=virtio-scsi:nmi sdb=virtio-scsi:nmi

for name in "${volumes[@]}"; do
	"$REPO/build/bin/fsck.permfs" -n "$DIR/$name.img" || fail "$name is damaged"
done
note "$VM_RUNS panics in $seconds s of the machine's time"
