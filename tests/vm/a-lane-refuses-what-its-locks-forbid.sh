#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Each class of Documentation/panic-lane.md's "Locks" writes its record in a panic where no lock can be in its way, and refuses,
# with the reason, where one can; and what has no lane says why. panic_lane=off writes nothing, force where auto refuses. One
# machine has every kind of device; a boot is a context.
. "$(dirname "$0")/lib.sh"

volumes=(vda vdb vdc sda sdb nvme0n1 nvme1n1 nvme2n1)
for name in "${volumes[@]}"; do
	"$REPO/build/bin/mkfs.permfs" -q "$(disk "$name" 64M)"
done
# sdb's, where that is below device mapper.
ln -s sdb.img "$DIR/dm-0.img"
# A poll queue without and with indirect descriptors; one queue, with a scheduler; SCSI; SATA. Then NVMe: the guest gives
# the first a poll queue; as it comes; with one queue for both CPUs. An IOMMU, if there is one, is for vda and NVMe. No breaker: it
# would take so many panics for a loop.
devices=(--module-params panic_loop_count=0 --append virtio_blk.poll_queues=1 --files "$REPO/build/panicker/panicker.ko"
	--disk "$DIR/vda.img,num-queues=3,indirect_desc=off,disable-legacy=on,iommu_platform=on"
	--disk "$DIR/vdb.img,num-queues=3" --disk "$DIR/vdc.img,num-queues=1"
	--scsi "$DIR/sda.img,num_queues=2" --sata "$DIR/sdb.img"
	--nvme "$DIR/nvme0n1.img" --nvme "$DIR/nvme1n1.img" --nvme "$DIR/nvme2n1.img,max_ioqpairs=1")
seconds=0

# panics CONTEXT TOLD MESSAGE DIFFERENT...: in CONTEXT, which is told as TOLD, what is DIFFERENT from all volumes writing that
# have a way. sdb's volume is on the disk, or on `linear`, which device mapper makes of it. In the guest `first` is run before.
panics() {
	local context=$1 told=$2 message=$3 word begin=$SECONDS
	shift 3
	declare -A answers=([vda]=virtio-poll [vdb]=virtio-poll [vdc]=virtio-shared [sda]=virtio-scsi [sdb]=ahci
		[nvme0n1]=nvme-poll [nvme1n1]=nvme-reap [nvme2n1]=none:queue-shared)
	for word; do answers[${word%%=*}]=${word#*=}; done
	vm_panic "panicker: $message" "${devices[@]}" "${more[@]}" -- "${first:+$first && }$GUEST/lane-classes.sh $context $linear"
	seconds=$((seconds + SECONDS - begin))
	words=()
	for word in "${volumes[@]}"; do words+=("$word=${answers[$word]}"); done
	[ -z "$linear" ] || words=("${words[@]/#sdb=*/dm-0=none:not-mq}")
	python3 "$REPO/tests/vm/lane-answers.py" "$DIR" "$DIR/console.$VM_RUNS" "$told" "${words[@]}" ||
		fail "not as it must be: $context"
}

more=() linear= first=
# A spinlock is held, but by a task that does no I/O: it can be no driver's.
panics locked task locked
# An NMI may have come between anything: only a queue of one's own without a lock in its driver is left.
panics nmi nmi nmi vdb=virtio-poll:nmi vdc=virtio-shared:nmi sda=virtio-scsi:nmi sdb=ahci:nmi nvme1n1=nvme-reap:nmi
# A task that submits holds a spinlock, which may be its queue's.
panics plugged task plugged vdc=virtio-shared:in-block-layer sda=virtio-scsi:in-block-layer sdb=ahci:in-block-layer \
	nvme1n1=nvme-reap:in-block-layer
# The same, interrupted: an irq-safe lock cannot be interrupted, a plain one can.
panics hardirq-plugged hardirq hardirq nvme1n1=nvme-reap:in-block-layer
# A softirq may be completing or sending requests.
panics softirq-locked softirq softirq nvme1n1=nvme-reap:in-block-layer
# In the device's own handler, which holds the lock or is about to take it; NVMe's is not entered twice.
panics irq:nvme_irq:nvme1n1 hardirq irq nvme1n1=nvme-reap:in-progress
panics irq:vring_interrupt:sda hardirq irq sda=virtio-scsi:in-progress
panics irq:ahci_single_level_irq_intr:sdb hardirq irq sdb=ahci:in-progress
# NVMe handlers in threads are none that could be called; that of a disk of the other kind is in progress.
more=(--append nvme.use_threaded_interrupts=1) linear=linear
panics irq:vring_interrupt:vdc hardirq irq vdc=virtio-shared:in-progress nvme1n1=none:vectors nvme2n1=none:vectors
# The other CPU was stopped by NMI, because it did not answer for a second or because all are, and holds a lock, any; or is seen to hold none.
more=() linear=
panics spin-locked task spin vdb=virtio-poll:nmi-stop vdc=virtio-shared:nmi-stop sda=virtio-scsi:nmi-stop sdb=ahci:nmi-stop \
	nvme1n1=nvme-reap:nmi-stop
panics spin task spin
more=(--append crash_kexec_post_notifiers)
panics spin-locked task spin vdb=virtio-poll:nmi-stop vdc=virtio-shared:nmi-stop sda=virtio-scsi:nmi-stop sdb=ahci:nmi-stop \
	nvme1n1=nvme-reap:nmi-stop
panics locked task locked
# The panic was handed on by the CPU that met it, which has stopped by itself with its lock held, or with none.
more=(--append panic_force_cpu=1)
panics 0:locked hardirq locked vdb=virtio-poll:redirected vdc=virtio-shared:redirected sda=virtio-scsi:redirected sdb=ahci:redirected \
	nvme1n1=nvme-reap:redirected
panics 0:process hardirq process
# All handlers are threads. NVMe and AHCI have none that could be called; nor can virtio's be asked whether one is in progress: any task that
# holds a spinlock may be one, and any interrupt may have come into one.
more=(--append threadirqs)
threads=(sdb=none:vectors nvme1n1=none:vectors nvme2n1=none:vectors)
panics process task process "${threads[@]}"
threads+=(vdc=virtio-shared:in-block-layer sda=virtio-scsi:in-block-layer)
panics locked task locked "${threads[@]}"
panics hardirq-plugged hardirq hardirq "${threads[@]}"
# Memory is mapped for DMA, which takes locks: irq-safe ones, which only an NMI can have come between.
more=(--append intel_iommu=on --qemu '-device intel-iommu')
panics locked task locked
panics nmi nmi nmi vda=virtio-poll:nmi vdb=virtio-poll:nmi vdc=virtio-shared:nmi sda=virtio-scsi:nmi sdb=ahci:nmi \
	nvme0n1=nvme-poll:nmi nvme1n1=nvme-reap:nmi

# Turned off: nothing is written, and the other backend has the lines all the same.
more=(--erst "$DIR/store" --module-params "panic_lane=off panic_loop_count=0")
off=()
for name in "${volumes[@]}"; do off+=("$name=none:off"); done
panics locked task locked "${off[@]}"
# Forced: what was refused above because of a lock that may be held or a shared queue is written.
more=(--erst "$DIR/store" --module-params "panic_lane=force panic_loop_count=0")
first="OUTCOME=lost $GUEST/panic-record.sh '.message == \"panicker: locked\"' '.volumes_mounted == 8' '.volumes | length == 8'"
panics plugged task plugged nvme2n1=nvme-reap

for name in "${volumes[@]}"; do
	"$REPO/build/bin/fsck.permfs" -n "$DIR/$name.img" || fail "$name is damaged"
done
note "$VM_RUNS panics in $seconds s of the machine's time"
