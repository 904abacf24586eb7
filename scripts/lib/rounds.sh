# SPDX-License-Identifier: GPL-2.0
# What scripts/demo and scripts/soak share: one round is writing, a panic in the middle of it, and the boot after it.
# Sourced; wants REPO, FS, PSTORE and WORK (a folder for disk, pstore and acknowledgements).
# shellcheck shell=bash

# machine OPTIONS... -- CMD...: the test machine of every round, always with the same disk and the same pstore.
machine() {
	local module=()
	[ "$FS" = permfs ] || module=(--no-module)
	"$REPO/scripts/vm" "${module[@]}" --disk "$WORK/disk.img" "--$PSTORE" "$WORK/pstore" --corpus \
		--files "$REPO/scripts/lib/guest-round" --keep-console "$WORK/console" "$@"
}

# The guest's side, as a guest's command line names it.
# shellcheck disable=SC2034 # for those who source this
guest_round="/run/permfs/files/guest-round"

# acknowledged FILE: files, MiB and changes that stand in an acknowledgement file, as three numbers.
acknowledged() {
	awk '{ kind[$1]++ } $1 == "have" { bytes += $2 }
		END { print kind["have"] + 0, int(bytes / 1048576), kind["append"] + kind["replace"] + kind["unlink"] }' "$1"
}

# panicked: whether the last run ended by the panic that was asked for, and by no other.
panicked() {
	grep -q 'Kernel panic - not syncing: sysrq triggered crash' "$WORK/console"
}

new_work() {
	rm -rf "$WORK"
	mkdir -p "$WORK"
	truncate -s "$1" "$WORK/disk.img"
}
