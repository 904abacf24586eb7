#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# scripts/drgn-permfs.py finds the static report without debug information: in the running kernel, where it agrees with
# /proc/mounts, and in the vmcore of a machine that panicked, where it agrees with the lines on the console.
. "$(dirname "$0")/lib.sh"

script=(--files "$REPO/scripts/drgn-permfs.py")
disks=(--disk "$(disk one 128M)" --disk "$(disk two 128M)")
sock=$(mktemp -d)
trap 'rm -rf "$sock" "$DIR/core"' EXIT

mounted='
	export PYTHONDONTWRITEBYTECODE=1
	report() { python3 /run/permfs/files/drgn-permfs.py "$@"; }
	for d in a b; do
		mkfs.permfs -q -f -U 00000000-0000-4000-8000-00000000000$d /dev/vd$d && mkdir /mnt/$d &&
			mount -t permfs /dev/vd$d /mnt/$d || exit 9
		echo some >/mnt/$d/file; sync /mnt/$d/file
	done'

vm_status 0 "${script[@]}" "${disks[@]}" -- "$mounted"'
	report || exit 1
	# agrees: the report has the volumes that are mounted, and no more.
	agrees() {
		report --json "$@" >/tmp/report.json || return 1
		[ "$(jq -r ".volumes[] | \"/dev/\" + .name" /tmp/report.json | sort)" = "$(awk "\$3 == \"permfs\" {print \$1}" /proc/mounts | sort)" ] ||
			{ cat /tmp/report.json /proc/mounts; return 1; }
		jq -e "all(.volumes[]; .state == \"mounted\" and .gate_closers == 0 and .durable_epoch > 0)" /tmp/report.json >/dev/null &&
			jq -e ".stage == \"idle\" and .installed and .cpu == null and .lines == 0" /tmp/report.json >/dev/null
	}
	agrees || exit 1
	[ "$(jq -c "[.volumes[].uuid[35:]]" /tmp/report.json)" = "[\"a\",\"b\"]" ] || exit 1
	at=$(jq -r .address /tmp/report.json)
	agrees --search && [ "$(jq -r .address /tmp/report.json)" = "$at" ] || exit 1
	umount /mnt/a && agrees || exit 1
	report --address ffffffff81000000 2>/tmp/err; [ $? = 1 ] && grep -q "no PermFS panic report at" /tmp/err || exit 1
	umount /mnt/b && agrees && rmmod permfs || exit 1
	report 2>/tmp/err; [ $? = 1 ] && grep -q "no PermFS panic report: permfs is not loaded" /tmp/err'

# QEMU writes the vmcore once the machine has halted; the guest tells it where vmcoreinfo is.
vm --mem 512M --panic-timeout 0 --console "${script[@]}" "${disks[@]}" \
	--qemu "-device vmcoreinfo -qmp unix:$sock/qmp,server=on,wait=off" -- "modprobe qemu_fw_cfg; $mounted
	echo c >/proc/sysrq-trigger" >"$DIR/out" 2>"$DIR/err" &
runner=$!
python3 "$(dirname "$0")/dump-at-panic.py" "$sock/qmp" "$DIR/err" "$DIR/core" || fail "no vmcore"
wait "$runner" || true

core() {
	"$REPO/scripts/kit" run env PYTHONDONTWRITEBYTECODE=1 python3 "$REPO/scripts/drgn-permfs.py" -c "$DIR/core" "$@"
}
core || fail "no report in the vmcore"
core --json >"$DIR/report.json"
id=$(sed -n 's/.*permfs-panic: v=1 rec=end id=\([0-9a-f]*\) .*/\1/p' "$DIR/err" | head -n 1)
lines=$(sed -n 's/.*permfs-panic: v=1 rec=end .* lines=\([0-9]*\) .*/\1/p' "$DIR/err" | head -n 1)
python3 - "$DIR/report.json" "$id" "$lines" "$DIR/err" <<'EOF' || fail "the vmcore's report is not the console's"
import json, sys
report = json.load(open(sys.argv[1]))
volumes = [(v["name"], v["uuid"][-1], v["state"], v["gate_closers"]) for v in report["volumes"]]
print(report["id"], report["lines"], report["stage"], volumes)
assert report["id"] == sys.argv[2] and report["lines"] == int(sys.argv[3])
assert report["stage"] == "done" and report["cpu"] is not None and report["end_ns"] > report["start_ns"] > 0
# What each lane's own line says of it.
lanes = [f"way={v['writes']} result={v['lane_result']} " for v in report["volumes"]]
console = open(sys.argv[4], errors="replace").read()
print(lanes)
assert all(f"slot={n} {lane}" in console for n, lane in enumerate(lanes))
assert volumes == [("vda", "a", "mounted", 1), ("vdb", "b", "mounted", 1)]
EOF
