#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Whatever makes file data durable (fsync, fdatasync, sync, syncfs, msync, freezing, O_SYNC, O_DSYNC, RWF_DSYNC), through the page cache
# or past it, sends the device no fewer flushes than ext4 or XFS do, with a cache, with native FUA and without a cache; and what was not
# flushed when it returned can be lost without harm. What a flush that failed was to cover is never said to be safe.
# What went wrong with a write every open file is told once. Mounted with dirsync or sync, names are durable when the call
# returns, and so they are when an NFS server has answered.
. "$(dirname "$0")/lib.sh"

vm_status 0 --disk 512M --disk 512M,write-cache=off --scsi 512M,dpofua=on --disk 512M --disk 512M -- "
	grep -q 'write back' /sys/block/vda/queue/write_cache && [ \$(cat /sys/block/vda/queue/fua) = 0 ] || exit 9
	grep -q 'write back' /sys/block/sda/queue/write_cache && [ \$(cat /sys/block/sda/queue/fua) = 1 ] || exit 9
	failed=0
	$GUEST/acknowledged.py count vda vdb sda || failed=1
	$GUEST/acknowledged.py cut vdc vdd || failed=1
	$GUEST/acknowledged-names.py vdc vdd || failed=1
	$GUEST/acknowledged-nfs.py vdc vdd || failed=1
	$GUEST/acknowledged.py failed || failed=1
	[ \$failed = 0 ] && $GUEST/kernel-is-quiet.sh"
note "$(grep -c '^ok:' "$DIR/out") answers"
