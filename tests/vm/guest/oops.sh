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
# told EXPR...: `permfs panic` finds one oops in the log, whole, and no panic; each jq expression holds of it.
told() {
	local e
	dmesg | permfs panic --json - >/tmp/oops.json || say "no oops is found"
	for e in '.panic == null and .complete' "$@"; do
		jq -e ".panics == [] and .unknown_lines == 0 and .damaged_lines == 0 and (.oopses | length == 1 and (.[0] | $e))" \
			/tmp/oops.json >/dev/null || { say "does not hold: $e"; jq . /tmp/oops.json; }
	done
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
# Or, on a slow machine, the volume's own worker is the first that commits.
sync -f /mnt/a || exit 1
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
told '.volumes_failed == 1 and .task == "dd" and .context == "task" and .pid > 1' '.message | test("invalid opcode")' \
	'.volumes | length == 1 and (.[0] | .name == "vda" and .lock_held and .running_epoch > .durable_epoch)'
dmesg | permfs panic - | grep -q 'no panic is known to have come of it' || say "the summary does not tell of the oops"
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
told '.volumes_failed == 1' '.volumes[0] | .name == "vda" and .lock_held'
refuses touch /mnt/a/another
refuses ls /mnt/a/.
works dd if=/dev/zero of=/mnt/b/more bs=64k count=16 conv=fsync status=none

# No lock of a volume held, but in our code: all volumes fail.
dmesg -C
echo 'submit oops' >$at
timeout 20 dd if=/mnt/b/more of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null && say "the reader lives"
told '.volumes_failed == 2 and .task == "dd"' '[.volumes[].name] == ["vdb", "vdc"]' 'all(.volumes[]; .lock_held | not)'
for d in b c; do
	refuses touch /mnt/$d/another
	refuses stat -f /mnt/$d
done
works umount /mnt/b
works mount -t permfs /dev/vdb /mnt/b
works touch /mnt/b/again
works sync -f /mnt/b

# Not the orderly end, which would wait for that folio.
[ $failed = 0 ] && echo c >/proc/sysrq-trigger
exit $failed
