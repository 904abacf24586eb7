#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Random system calls (STEPS of them, from SEED) run on five classes of disks whose every write, flush and FUA is logged below the
# filesystem. On the host the disk is rebuilt as a power cut may have left it, at each flush and FUA write and in STATES more states by
# chance, mounted, checked, and compared with what the calls that had returned promise. `make oracle` tries more.
. "$(dirname "$0")/lib.sh"

STEPS=${STEPS:-500} STATES=${STATES:-1000} SEED=${SEED:-1}
judge=$REPO/build/bin/permfs-oracle
# How the volume is mounted, and whether somebody works beside the program, changes from class to class.
options=(defaults dirsync defaults sync defaults)
beside=(beside alone)

# judged CLASS LOG [OPTION]...
judged() {
	"$judge" --label "$1" --log "$2" --journal "$DIR/out" --states "$STATES" --seed "$SEED" "${@:3}"
}

rm -f "$DIR"/*.log
# Where QEMU would hide a FUA, in a flush of its own, the guest logs; QEMU's log then has the order of the writes.
scsi=$(disk scsi 4G) nvme=$(disk nvme 4G)
programs=
turn=$SEED
for program in "cached - /dev/vda" "uncached - /dev/vdb" "sectors-4k - /dev/vdc" "scsi-fua /dev/vdd /dev/sda" "nvme /dev/vde /dev/nvme0n1"; do
	read -r class log device <<<"$program"
	programs+="$GUEST/oracle.py $class $STEPS $SEED ${options[turn % 5]} ${beside[turn % 2]} $device ${log#-} || exit 1"$'\n'
	turn=$((turn + 1))
done
status=0
vm --disk "32M,log=$DIR/cached.log" --disk "32M,write-cache=off,log=$DIR/uncached.log" \
	--disk "32M,logical_block_size=4096,physical_block_size=4096,log=$DIR/sectors-4k.log" --disk "$scsi" --disk "$nvme" \
	--scsi "32M,dpofua=on,log=$DIR/scsi-fua.log" --nvme "32M,log=$DIR/nvme.log" -- "
	state() { cat /sys/block/\$1/queue/{write_cache,fua,logical_block_size} | xargs; }
	[ \"\$(state vda)/\$(state vdb)/\$(state vdc)\" = 'write back 0 512/write through 0 512/write back 0 4096' ] || exit 9
	[ \"\$(state sda)/\$(state nvme0n1)\" = 'write back 1 512/write back 1 512' ] || exit 9
	$programs
	$GUEST/kernel-is-quiet.sh" >"$DIR/out" 2>"$DIR/err" || status=$?
[ "$status" = 0 ] || { tail -n 20 "$DIR/out" "$DIR/err" && fail "the run ended with $status"; }
failed=0
judged cached "$DIR/cached.log" || failed=1
judged uncached "$DIR/uncached.log" --uncached || failed=1
judged sectors-4k "$DIR/sectors-4k.log" --sector 4096 || failed=1
judged scsi-fua "$scsi" --order "$DIR/scsi-fua.log" || failed=1
judged nvme "$nvme" --order "$DIR/nvme.log" || failed=1
[ "$failed" = 0 ] || fail "a power cut breaks a promise, see above (make oracle STEPS=$STEPS STATES=$STATES SEED=$SEED makes other logs)"
rm -f "$DIR"/*.log
note "$STEPS calls and at least $STATES states by chance on each of five classes of disks"
