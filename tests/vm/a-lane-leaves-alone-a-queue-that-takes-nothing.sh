#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Eight volumes in one panic. Where the disk's queue is frozen or quiesced, where the SCSI device or host does not run, recovers
# or has no room for a command, and where somebody else's request is on the NVMe poll queue, the lane refuses, says so and has
# written nothing. One whose disk completes nothing is given up at the deadline, which the whole keeps; and the live one beside
# them writes its record.
# alone: what the handler may take is judged, and a starved machine takes longer
. "$(dirname "$0")/lib.sh"

for name in vda vdb vdc vdd sda sdb sdc nvme0n1; do
	"$REPO/build/bin/mkfs.permfs" -q "$(disk "$name" 64M)"
done
namespace=$(disk namespace 64M)
monitor_socket
deadline=500

python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" stall:virtio1 stall:virtio3 stall:scsi2 stall:namespace &
poker=$!
vm_panic 'panicker: process' --module-params "panic_deadline_ms=$deadline" --ack "$DIR/ack" \
	--files "$REPO/build/panicker/panicker.ko" \
	--disk "$DIR/vda.img" --disk "$DIR/vdb.img" --disk "$DIR/vdc.img" --disk "$DIR/vdd.img" \
	--scsi "$DIR/sda.img" --scsi "$DIR/sdb.img" --scsi "$DIR/sdc.img" --nvme "$DIR/nvme0n1.img,id=first" \
	--qemu "-drive if=none,id=namespace,format=raw,file=$namespace -device nvme-ns,drive=namespace,bus=first" \
	--qemu "-qmp unix:$socket,server=on,wait=off" -- "$GUEST/lane-queues.sh"
wait "$poker" || fail "QEMU did not do it"
python3 "$REPO/tests/vm/lane-answers.py" "$DIR" "$DIR/console.1" task vda=virtio-shared vdb=virtio-shared:queue-frozen \
	vdc=virtio-shared:queue-quiesced vdd=virtio-shared:deadline sda=virtio-scsi:not-running sdb=virtio-scsi:recovery \
	sdc=virtio-scsi:no-tag nvme0n1=nvme-poll:queue-shared || fail "not as it must be"
took=$("$REPO/build/bin/permfs" panic --json "$DIR/console.1" |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["panics"][0]["outcome"]["elapsed_ns"] // 10**6)')
# Five eighths of the deadline are the records'; the rest is for what is in flight and the tails. A guest that gets no processor looks at the clock
# late, and it has lines to print: a second more is for these, as in the matrix.
[ "$took" -ge $((deadline * 5 / 8)) ] && [ "$took" -lt $((deadline + 1000)) ] || fail "the handler took $took ms of $deadline"
for name in vda vdb vdc vdd sda sdb sdc nvme0n1; do
	"$REPO/build/bin/fsck.permfs" -n "$DIR/$name.img" || fail "$name is damaged"
done
note "the handler took $took of $deadline ms"
