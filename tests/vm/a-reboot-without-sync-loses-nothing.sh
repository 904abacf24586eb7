#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# reboot(2) right after writes, without a sync or an unmount: what was written is there after it. A volume on a device that answers
# nothing neither stops the reboot nor keeps the other from being saved.
. "$(dirname "$0")/lib.sh"

images=(--disk "$(disk whole 128M)" --disk "$(disk stuck 64M)")

vm_status 125 --verbose "${images[@]}" -- "
	exec 2>&1; export DM_DISABLE_UDEV=1
	mkdir /mnt/{a,b}
	mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/a || exit 9
	mkfs.permfs -q /dev/vdb && dmsetup create dev --table \"0 \$(blockdev --getsz /dev/vdb) linear /dev/vdb 0\" && mount -t permfs /dev/mapper/dev /mnt/b || exit 9
	dmsetup suspend --nolockfs dev && echo stuck >/mnt/b/stuck || exit 9
	cp -r /usr/share/zoneinfo/Europe /mnt/a/ && head -c 3M /dev/urandom >/mnt/a/big && (cd /mnt/a && find . -type f ! -name sums -exec sha256sum {} + >sums)
	python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x01234567)'
	sleep 20; exit 9"
log=$(console)
grep -q 'permfs: (vda): quiesced for restart: drained=1 in_flight=0 flush=ok' <<<"$log" || fail 'the console does not say that vda was quiesced'
grep -qE 'permfs: \(dm-0\): quiesced for restart: drained=0 .*flush=not-attempted; not all was written' <<<"$log" || fail 'the console does not say that dm-0 was not'

vm_status 0 "${images[@]}" -- "
	exec 2>&1
	mkdir /mnt/{a,b}
	mount -t permfs /dev/vda /mnt/a && (cd /mnt/a && [ \$(wc -l <sums) -gt 50 ] && sha256sum --quiet -c sums) || exit 1
	mount -t permfs /dev/vdb /mnt/b && umount /mnt/a /mnt/b && fsck.permfs -n /dev/vda && fsck.permfs -n /dev/vdb && $GUEST/kernel-is-quiet.sh"
