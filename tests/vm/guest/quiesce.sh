#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: quiesce.sh: orderly quiesce on a disk that works (/dev/vda), on one that is slow (/dev/vdb, a few requests a second)
# and on a device mapper device that is suspended (over /dev/vdc).
failed=0
holds() { if eval "$2"; then echo "ok: $1"; else echo "FAIL: $1"; failed=1; fi; }
# What a disk has completed: sectors written, flushes.
written() { awk '{ print $7 }' "/sys/block/$1/stat"; }
flushes() { awk '{ print $16 }' "/sys/block/$1/stat"; }
# quiesce WANT MS FOLDER EXPR: `permfs quiesce` ends with status WANT, and the jq expression holds of what it says.
quiesce() {
	local status=0
	permfs quiesce --json --timeout "$2" "$3" >/tmp/quiesce.json || status=$?
	jq -c . /tmp/quiesce.json
	[ "$status" = "$1" ] && jq -e "$4" /tmp/quiesce.json >/dev/null
}
modprobe loop
mkdir /mnt/{a,b,c,copy}
mkfs.permfs -q /dev/vda && mount -t permfs /dev/vda /mnt/a || exit 1

echo '-- a disk that works'
echo unsynced >/mnt/a/unsynced
holds 'a quiesce writes back, drains and flushes' 'quiesce 0 5000 /mnt/a ".durable and .drained and .in_flight == 0 and .flush == \"ok\" and .error == null"'
dd if=/dev/vda of=/tmp/copy bs=1M iflag=direct conv=sparse status=none
holds 'what was written before is on the device' 'mount -t permfs -o loop /tmp/copy /mnt/copy && [ "$(cat /mnt/copy/unsynced)" = unsynced ]; umount /mnt/copy'
w=$(written vda) f=$(flushes vda)
holds 'at rest, it writes nothing and flushes once' 'permfs quiesce /mnt/a/unsynced && [ $(written vda) = $w ] && [ $(flushes vda) = $((f + 1)) ]'
fio --name=load --directory=/mnt/a --size=8M --bs=4k --rw=randwrite --direct=1 --ioengine=libaio --iodepth=16 --numjobs=2 --time_based \
	--runtime=4 --output=/tmp/fio.json --output-format=json &
while echo $((n++)) >/mnt/a/log && sync /mnt/a/log && [ ! -e /tmp/enough ]; do :; done &
appender=$!
sleep 1
for i in 1 2 3; do
	f=$(flushes vda)
	holds "under load ($i)" 'quiesce 0 5000 /mnt/a ".durable" && [ $(flushes vda) -gt $f ]'
done
f=$(flushes vda)
holds 'freezing does the same' 'fsfreeze -f /mnt/a && [ $(flushes vda) -gt $f ] && fsfreeze -u /mnt/a'
touch /tmp/enough
holds 'no writer has got an error' 'wait $appender; wait && jq -e "[.jobs[] | .error == 0 and .write.total_ios > 0] | all" /tmp/fio.json'
holds 'who may not is told so' 'setpriv --reuid=1000 --clear-groups permfs quiesce /mnt/a 2>&1 | grep "takes CAP_SYS_ADMIN"'
holds 'other filesystems are not asked' 'permfs quiesce /tmp 2>&1 | grep "/tmp is not on a mounted PermFS volume"'
mount -o remount,ro /mnt/a
holds 'a read-only volume can be quiesced' 'quiesce 0 5000 /mnt/a .durable'
umount /mnt/a && fsck.permfs -n /dev/vda || failed=1

echo '-- shut down on request'
# shut HOW SHELL: a volume with a file that was fsynced and one that was not is shut down, and after a mount SHELL must hold.
shut() {
	mount -t permfs /dev/vda /mnt/a || return 1
	rm -f /mnt/a/{fsynced,not} && sync && echo "$1" >/mnt/a/fsynced && sync /mnt/a/fsynced || return 1
	echo "$1" >/mnt/a/not
	$GUEST/shut-down.py /mnt/a "$1" || return 1
	! touch /mnt/a/refused 2>/dev/null && ! sync /mnt/a/fsynced 2>/dev/null || return 1
	umount /mnt/a && mount -t permfs /dev/vda /mnt/a && [ "$(cat /mnt/a/fsynced)" = "$1" ] && eval "$2"
	local status=$?
	umount /mnt/a && fsck.permfs -n /dev/vda && return $status
}
holds 'after everything was written, all is there' 'shut 0 "[ \$(cat /mnt/a/not) = 0 ]"'
holds 'after the log was written, the name is there' 'shut 1 "[ -e /mnt/a/not ]"'
holds 'after nothing was written, what was fsynced is there' 'shut 2 "[ ! -e /mnt/a/not ]"'
mount -t permfs /dev/vda /mnt/a
holds 'an unknown way is refused' '! $GUEST/shut-down.py /mnt/a 3 2>/dev/null && touch /mnt/a/new && umount /mnt/a'

echo '-- a slow disk'
mkfs.permfs -q /dev/vdb && mount -t permfs /dev/vdb /mnt/b && echo kept >/mnt/b/kept && sync /mnt/b/kept && permfs quiesce --timeout 60000 /mnt/b || exit 1
# Readers of the bare device: nothing of the volume is in flight, and yet its disk is not at rest.
fio --name=readers --filename=/dev/vdb --size=64M --bs=4k --rw=randread --direct=1 --ioengine=libaio --iodepth=64 --numjobs=1 --time_based --runtime=3 >/dev/null &
until [ "$(awk '{ print $1 }' /sys/block/vdb/inflight)" -ge 32 ]; do sleep 0.1; done
holds 'a queue that does not drain is given back in time' 'quiesce 1 300 /mnt/b "(.durable or .drained | not) and .in_flight > 0 and .flush == \"not-attempted\" and .elapsed_ns < 1500000000"'
holds 'the sentence says it' 'permfs quiesce --timeout 200 /mnt/b | grep -E "not drained, [0-9]+ operations may be lost; cache not flushed"'
wait
holds 'afterwards it can be used' 'echo again >/mnt/b/again && quiesce 0 60000 /mnt/b .durable && [ "$(cat /mnt/b/kept /mnt/b/again | xargs)" = "kept again" ]'
umount /mnt/b && fsck.permfs -n /dev/vdb || failed=1

echo '-- a device that answers nothing'
size=$(blockdev --getsz /dev/vdc)
dmsetup create dev --table "0 $size linear /dev/vdc 0" && mkfs.permfs -q /dev/mapper/dev && mount -t permfs /dev/mapper/dev /mnt/c || exit 1
holds 'a device without requests of its own is drained by count' 'quiesce 0 5000 /mnt/c .durable'
echo kept >/mnt/c/kept && sync /mnt/c/kept
dmsetup suspend --nolockfs dev
echo stuck >/mnt/c/stuck
holds 'time is kept' 'quiesce 1 300 /mnt/c "(.durable or .drained | not) and .in_flight > 0 and .error != null and .elapsed_ns < 1500000000"'
holds 'and kept again while the first is stuck' 'quiesce 1 300 /mnt/c "(.durable | not) and .elapsed_ns < 1500000000"'
dmsetup resume dev
holds 'afterwards it can be used' 'quiesce 0 60000 /mnt/c .durable && [ "$(cat /mnt/c/kept /mnt/c/stuck | xargs)" = "kept stuck" ]'
umount /mnt/c && fsck.permfs -n /dev/mapper/dev || failed=1

[ "$failed" = 0 ] && $GUEST/kernel-is-quiet.sh
