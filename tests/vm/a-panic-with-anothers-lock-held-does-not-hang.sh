#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A task panics with the lock held that the end of another filesystem's writes takes, while such are in flight on the disk of a
# volume. Whoever runs these ends waits for ever. The machine reboots, as it does without a volume, and the volume has its record.
. "$(dirname "$0")/lib.sh"

# So slow that what is in flight stays so until the panic, and is done long before the deadline.
slow=throttling.iops-total=400
deadline=2000

# panics DISK FILESYSTEM WAY [without] -- OPTIONS...: the panic. WAY is the volume's lane.
panics() {
	local disk=$1 fs=$2 way=$3 without= image=$DIR/$1.img
	shift 3
	if [ "$1" = without ]; then without=without; shift; fi
	shift
	python3 - "$(disk "$disk" 600M)" <<-END
		import struct, sys
		parts = (2048, 131072), (133120, 1095680)
		table = b"".join(struct.pack("<4xB3xII", 0x83, *part) for part in parts)
		with open(sys.argv[1], "r+b") as image:
		    image.seek(446)
		    image.write(table.ljust(64, b"\0") + b"\x55\xaa")
	END
	vm_panic 'panicker: writeback' --timeout "${PATIENCE:-180}" --module-params "panic_deadline_ms=$deadline" \
		--files "$REPO/build/panicker/panicker.ko" "$@" -- "$GUEST/others-writeback.sh $disk $fs $without"
	[ -z "$without" ] || return 0
	dd if="$image" of="$DIR/volume.img" bs=512 skip=2048 count=131072 conv=sparse status=none
	"$REPO/build/bin/fsck.permfs" -n "$DIR/volume.img" || fail "the volume is damaged"
	line=$(console | grep 'rec=lane .*way=' | head -n 1)
	# The other CPU may have come to the end of such a write and spin for the lock: then it is stopped by NMI, and holds its driver's
	# lock for all that is known.
	if [[ $line == *" slot=0 way=$way result=refused why=nmi-stop flush=not-attempted "* ]]; then
		console | grep -q 'Shutting down cpus with NMI' || fail "no CPU was stopped by NMI: $line"
		refused=$((refused + 1))
		return 0
	fi
	[[ $line == *" slot=0 way=$way result=ok flush=ok "* ]] || fail "no record: $line"
	"$REPO/build/bin/permfs" panic --json "$DIR/volume.img" >"$DIR/record.json" || fail "the volume has no record"
	expect '"message": "panicker: writeback"' "$DIR/record.json"
	# The writes of another filesystem count for nothing; with PermFS itself as the other they are counted out.
	console | grep -q 'rec=end .* drained=1 inflight=0 flush=ok ' || fail "not drained: $(console | grep rec=end)"
}

refused=0
nvme=(--nvme "$DIR/nvme0n1.img,$slow")
disk=(--disk "$DIR/vda.img,num-queues=1,$slow")
scsi=(--scsi "$DIR/sda.img,$slow")
sata=(--sata "$DIR/sda.img,$slow")
panics nvme0n1 ext4 none without -- "${nvme[@]}"
for fs in ext4 xfs permfs; do
	panics nvme0n1 "$fs" nvme-reap -- "${nvme[@]}"
done
panics vda ext4 virtio-shared -- "${disk[@]}"
panics vda ext4 virtio-poll -- "${disk[@]/num-queues=1/num-queues=3}" --append virtio_blk.poll_queues=1
panics sda ext4 virtio-scsi -- "${scsi[@]}"
panics sda xfs ahci -- "${sata[@]}"
[ $refused -lt 4 ] || fail "$refused of 7 volumes have no record"
note "$VM_RUNS panics, each to its reboot, $((7 - refused)) of 7 volumes with their record"
