#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Volumes on partitions of one disk do not take each other's queue for somebody else's; and what somebody else has in flight on
# it, with nothing in flight of the volumes themselves, is collected before the lane wants the queue.
. "$(dirname "$0")/lib.sh"

# sectors N: where partition N begins; each has 64 MiB.
sectors() { echo $((2048 + ($1 - 1) * 131072)); }

for name in nvme0n1 nvme1n1 vda; do
	python3 - "$(disk "$name" 200M)" <<-END
		import struct, sys
		starts = ($(sectors 1), $(sectors 2), $(sectors 3))
		table = b"".join(struct.pack("<4xB3xII", 0x83, start, 131072) for start in starts)
		with open(sys.argv[1], "r+b") as image:
		    image.seek(446)
		    image.write(table.ljust(64, b"\0") + b"\x55\xaa")
	END
done
# So slow that what is in flight stays so for a while, and yet is done long before the deadline.
slow=throttling.iops-total=1000
vm_panic 'sysrq triggered crash' --nvme "$DIR/nvme0n1.img,$slow" --nvme "$DIR/nvme1n1.img,$slow" \
	--disk "$DIR/vda.img,num-queues=1,$slow" -- "$GUEST/shared-disks.sh nvme0n1p nvme1n1p vda"
answers=()
for name in nvme0n1p1=nvme-poll nvme0n1p2=nvme-poll nvme1n1p1=nvme-reap nvme1n1p2=nvme-reap vda1=virtio-shared vda2=virtio-shared; do
	part=${name%%=*}
	# The disk's name, and the partition's number.
	image=${part%?}
	dd if="$DIR/${image%p}.img" of="$DIR/$part.img" bs=512 skip="$(sectors "${part: -1}")" count=131072 conv=sparse status=none
	answers+=("$name")
done
python3 "$REPO/tests/vm/lane-answers.py" "$DIR" "$DIR/console.$VM_RUNS" task "${answers[@]}" || fail "not as it must be"
