#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A panic out of a keyboard's interrupt and one out of an NMI, each with a volume that is being written, leave a whole record
# that names the context; a volume whose disk is slow is said not to be drained; what was fsynced before is there.
. "$(dirname "$0")/lib.sh"

monitor_socket
image=$(disk vol 128M)

# disturbed MESSAGE COMMAND DISK CHECK...: the volume on DISK is written, COMMAND disturbs, MESSAGE is the panic's.
disturbed() {
	local why=$1 command=$2 disk=$3 poker
	shift 3
	rm -f "$DIR/ack" "$socket"
	python3 "$REPO/tests/vm/qmp-when-ready.py" "$socket" "$DIR/ack" "$command" &
	poker=$!
	vm_panic "$why" --erst "$DIR/store" --ack "$DIR/ack" --disk "$disk" --append unknown_nmi_panic=1 --append sysrq_always_enabled \
		--qemu "-qmp unix:$socket,server=on,wait=off" -- '
		mkfs.permfs -q --force /dev/vda && mount -t permfs /dev/vda /mnt || exit 9
		echo kept >/mnt/kept && sync /mnt/kept || exit 9
		# Direct writers side by side: each waits for its request, so that some are in flight at any moment.
		for i in 1 2 3 4; do dd if=/dev/zero of=/mnt/junk$i bs=64K count=16 conv=fsync status=none || exit 9; done
		for i in 1 2 3 4; do
			(while :; do dd if=/dev/zero of=/mnt/junk$i bs=64K count=16 oflag=direct conv=notrunc; done) >/dev/null 2>&1 &
		done
		sleep 1
		echo ready >/dev/permfs-ack
		sleep 120'
	wait "$poker" || fail "QEMU did not do it"
	vm_status 0 --erst "$DIR/store" --disk "$image" -- "
		$GUEST/panic-record.sh '.volumes_mounted == 1' '.volumes[0].state == \"mounted\"' $* || exit 1
		fsck.permfs -n /dev/vda; mount -t permfs /dev/vda /mnt && [ \"\$(cat /mnt/kept)\" = kept ] || exit 1
		umount /mnt && fsck.permfs -n /dev/vda || exit 1"
}

disturbed 'sysrq triggered crash' \
	'{"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "alt"}, {"type": "qcode", "data": "sysrq"}, {"type": "qcode", "data": "c"}]}}' \
	"$image" "'.context == \"hardirq\"'" "'.outcome | .drained and .in_flight == 0 and .flush == \"ok\"'" \
	"'.volumes[0].lane | .result == \"ok\" and .way == \"virtio-shared\"'"
# Twenty requests a second: some are always in flight.
disturbed 'NMI: Not continuing' '{"execute": "inject-nmi"}' "$image,throttling.iops-total=20" "'.context == \"nmi\"'" \
	"'.volumes[0].drain | .drained == false and .in_flight > 0'" "'.outcome | .drained == false and .in_flight > 0 and .flush == \"not-attempted\"'" "'.volumes[0].lane.why == \"nmi\"'"
