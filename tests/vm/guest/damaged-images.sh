#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: damaged-images.sh flip|craft FIRST LAST: for each seed, a volume with files and damaged metadata is mounted, walked,
# written to, emptied and unmounted. Errors are right; what must not be is a hang. A fault of the kernel is for the caller.
kind=$1 first=$2 last=$3
damage=$(dirname "$0")/damage.py
cd /tmp && mkdir -p /mnt/bad || exit 1
rm -f base && truncate -s 24M base && mkfs.permfs -q base || exit 1
mount -o loop -t permfs base /mnt/bad || exit 1
mkdir -p /mnt/bad/{many,deep/er/still}
(cd /mnt/bad/many && for ((i = 0; i < 400; i++)); do echo "file $i" >"a-name-of-some-length-$i"; done)
for ((i = 0; i < 200; i++)); do dd if=/dev/zero of=/mnt/bad/sparse bs=4k count=1 seek=$((i * 3)) conv=notrunc status=none; done
head -c 1M /dev/urandom >/mnt/bad/deep/er/still/big
ln -s "$(printf 't%.0s' {1..3000})" /mnt/bad/long-link
ln -s many /mnt/bad/link
umount /mnt/bad || exit 1
mounted=0 refused=0 hung=0

# within SECONDS CMD...: a command that may fail, but must end.
within() {
	timeout -s KILL "$@" >/dev/null 2>&1
	[ $? = 137 ] && hung=$((hung + 1)) && echo "seed $seed hung: $*"
}

for ((seed = first; seed <= last; seed++)); do
	echo "$kind, seed $seed" >/dev/kmsg
	cp --sparse=always base image
	"$damage" "$kind" image "$seed" $((1 + seed % 8))
	if timeout 60 mount -o loop -t permfs image /mnt/bad 2>/dev/null; then
		mounted=$((mounted + 1))
		within 60 find /mnt/bad -printf '%p %s %l\n'
		# By its holes: a file whose size is damaged may be all of the 8 TiB that it says.
		within 60 tar --sparse -C /mnt/bad -cf /tmp/all.tar .
		within 60 bash -c 'mkdir /mnt/bad/new; for i in {1..30}; do echo $i >/mnt/bad/new/$i; done; mv /mnt/bad/new /mnt/bad/many/moved; truncate -s 100 /mnt/bad/sparse; sync'
		within 60 rm -rf /mnt/bad/many /mnt/bad/deep /mnt/bad/sparse /mnt/bad/long-link
		within 60 umount /mnt/bad
	else
		[ $? = 124 ] && hung=$((hung + 1))
		refused=$((refused + 1))
	fi
done
echo "$kind: $mounted mounted, $refused refused, $hung hung"
[ "$hung" = 0 ] && [ "$mounted" -gt 0 ]
