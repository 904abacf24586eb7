#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A task oopses inside PermFS and the machine lives: its volume refuses everything, others go on.
failed=0
at=/sys/kernel/debug/permfs/panic_at
say() { echo "$*"; failed=1; }
# refuses CMD...: ends soon, and fails.
refuses() {
	local status=0
	timeout 10 "$@" >/tmp/refused 2>&1 || status=$?
	[ $status != 0 ] || say "works: $*"
	[ $status != 124 ] || say "hangs: $*"
	grep -q 'Input/output error' /tmp/refused || { say "no EIO: $*"; cat /tmp/refused; }
}
works() { timeout 20 "$@" || say "does not work, status $?: $*"; }
# lines KIND EXPECTED...: the log has so many whole lines of that kind, and EXPECTED stand in them.
lines() {
	local kind=$1 count=$2 text
	shift 2
	dmesg | grep "rec=$kind " >/tmp/lines
	[ "$(wc -l </tmp/lines)" = "$count" ] || { say "$(wc -l </tmp/lines) lines of $kind, not $count"; cat /tmp/lines; }
	for text; do grep -qF -- "$text" /tmp/lines || { say "no line of $kind has $text"; cat /tmp/lines; }; done
}

echo 0 >/proc/sys/kernel/panic_on_oops
# The kernel warns of what a dying task leaves behind (a plug, with direct I/O).
echo 0 >/proc/sys/kernel/panic_on_warn
mkdir -p /mnt/a /mnt/b /mnt/c
for d in a b c; do
	mkfs.permfs -q /dev/vd$d && mount -t permfs /dev/vd$d /mnt/$d || exit 1
	echo kept >/mnt/$d/kept
	sync -f /mnt/$d || exit 1
done

# One of eight that commit dies with the committer's lock; the others, who wait for it, are refused.
dmesg -C
for i in {1..8}; do echo x >/mnt/a/$i; done
echo 'commit oops' >$at
for i in {1..8}; do
	(timeout 20 dd if=/dev/zero of=/mnt/a/$i bs=4k count=4 conv=fsync,notrunc 2>/tmp/dd.$i; echo $? >/tmp/status.$i) &
done
wait
for i in {1..8}; do
	[ "$(cat /tmp/status.$i)" != 124 ] || say "writer $i hangs"
	[ "$(cat /tmp/status.$i)" != 0 ] || say "writer $i was told that all is well"
done
[ "$(cat /tmp/dd.* | grep -c 'Input/output error')" -ge 6 ] || { say "not all who waited got EIO"; cat /tmp/dd.*; }
[ "$(cat $at)" = off ] || say "the point is still armed"
lines oops 1 'vols=1' 'comm="dd"' 'ctx=task'
lines failed 1 'held=1' 'name="vda"'
refuses touch /mnt/a/new
refuses mkdir /mnt/a/folder
refuses stat -f /mnt/a
refuses rm /mnt/a/1
refuses sync -f /mnt/a
works dd if=/dev/zero of=/mnt/b/more bs=64k count=16 conv=fsync status=none
works touch /mnt/b/new
works umount /mnt/a
works fsck.permfs -n /dev/vda
works mount -t permfs /dev/vda /mnt/a
[ "$(cat /mnt/a/kept)" = kept ] || say "what was durable is not there"
works touch /mnt/a/new
works sync -f /mnt/a

# In the middle of an operation, with the volume's lock and a folio's: the folio stays locked, so it cannot be unmounted.
dmesg -C
echo 'allocator oops' >$at
timeout 20 dd if=/dev/zero of=/mnt/a/big bs=4k count=64 conv=fsync status=none 2>/dev/null && say "it was told that all is well"
lines oops 1 'vols=1'
lines failed 1 'held=1' 'name="vda"'
refuses touch /mnt/a/another
refuses ls /mnt/a/.
works dd if=/dev/zero of=/mnt/b/more bs=64k count=16 conv=fsync status=none

# No lock of a volume held, but in our code: all volumes fail.
dmesg -C
echo 'submit oops' >$at
timeout 20 dd if=/mnt/b/more of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null && say "the reader lives"
lines oops 1 'vols=2' 'comm="dd"'
lines failed 2 'held=0' 'name="vdb"' 'name="vdc"'
for d in b c; do
	refuses touch /mnt/$d/another
	refuses stat -f /mnt/$d
done
works umount /mnt/b
works mount -t permfs /dev/vdb /mnt/b
works touch /mnt/b/again
works sync -f /mnt/b

dmesg | grep -q 'permfs-panic.*rec=begin' && say "there was a panic"

# Not the orderly end, which would wait for that folio.
[ $failed = 0 ] && echo c >/proc/sysrq-trigger
exit $failed
