#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# limit: 1200
# Every allocation fails from the panic on, shown by controls before and after: drain, record, flush and the kernel's log in
# pstore are as ever. Nothing asks for memory but virtio's driver, for its indirect descriptors, and it does without.
. "$(dirname "$0")/lib.sh"
debug_kernel

# famine WAY DEVICE OPTION...: a panic without memory, with direct writers on the volume; then, on the stock kernel, what it left.
famine() {
	local way=$1 dev=$2
	shift 2
	# Emulated, with every access checked and a stack on the console for each failure, all takes longer.
	vm_panic 'sysrq triggered crash' --kernel debug --files "$REPO/build/debug/famine/famine.ko" \
		--module-params panic_deadline_ms=2000 "$@" -- "
		mkfs.permfs -q $dev && mount -t permfs $dev /mnt && echo kept >/mnt/kept && sync /mnt/kept || exit 9
		[ \"\$(cat /sys/module/pstore/parameters/backend)\" = permfs ] || exit 9
		for i in 1 2 3 4; do dd if=/dev/zero of=/mnt/junk\$i bs=64K count=16 conv=fsync status=none || exit 9; done
		cd /sys/kernel/debug || exit 9
		for f in failslab fail_page_alloc; do echo N >\$f/ignore-gfp-wait || exit 9; done
		echo N >fail_page_alloc/ignore-gfp-highmem && echo 0 >fail_page_alloc/min-order || exit 9
		at() { echo \"\$1=0x\$(awk -v name=\"\$1\" '\$3 == name { print \$1 }' /proc/kallsyms)\"; }
		insmod /run/permfs/files/famine.ko \"\$(at failslab)\" \"\$(at fail_page_alloc)\" || exit 9
		for i in 1 2 3 4; do
			(while :; do dd if=/dev/zero of=/mnt/junk\$i bs=64K count=16 oflag=direct conv=notrunc; done) >/dev/null 2>&1 &
		done
		sleep 3
		echo c >/proc/sysrq-trigger"
	console >"$DIR/console"
	# What the checkers have to say of the panic path stands on the console alone.
	if grep -E 'BUG:|WARNING:|panicked at' "$DIR/console"; then fail "found in the panic"; fi
	python3 "$REPO/tests/vm/famine-told.py" "$DIR/console" | tee "$DIR/told" || fail "not what was asked for while memory failed"
	vm_status 0 "$@" -- "
		mount -t permfs $dev /mnt && [ \"\$(cat /mnt/kept)\" = kept ] || exit 1
		cat /sys/fs/pstore/dmesg-permfs-* >/tmp/log || exit 1
		for text in 'Panic#1 Part1' 'Kernel panic - not syncing: sysrq triggered crash' \
			'famine: begin: an object is refused, a page is refused' 'permfs-panic: v=1 rec=begin' 'permfs-panic: v=1 rec=end'; do
			grep -q \"\$text\" /tmp/log || { echo \"not in the log: \$text\"; exit 1; }
		done
		# A request that a stopped CPU had not handed to the driver yet is lost, with memory too.
		$GUEST/panic-record.sh '.volumes_mounted == 1' '.outcome.flush == \"ok\"' \
			'.volumes[0].drain.end | . == \"done\" or . == \"driver-empty\"' \
			'.volumes[0].lane | .result == \"ok\" and .way == \"$way\"' || exit 1
		umount /mnt && fsck.permfs -n $dev && $GUEST/kernel-is-quiet.sh"
}

famine virtio-shared /dev/vda --disk "$(disk virtio 128M)"
virtio=$(tail -n 1 "$DIR/told")
famine nvme-reap /dev/nvme0n1 --nvme "$(disk nvme 128M)"
note "virtio: $virtio; NVMe: $(tail -n 1 "$DIR/told")"
