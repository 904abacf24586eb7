#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the stock kernel and its drivers, every lock, wait, allocation and wake-up behind what the panic path calls is in
# scripts/panic-kernel.txt with its argument, and nothing else is. No machine is started.
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/panic-kernel" "${PERMFS_KO:-$REPO/permfs.ko}" | tee "$DIR/out" || fail "the list is not what is found"
note "$(sed -n 's/^panic-kernel: ok: //p' "$DIR/out")"

# A line of the list that is lost is found again, as one would be that a new kernel brings.
sed '/^lock _raw_spin_lock_irqsave in __folio_end_writeback: /d' "$REPO/scripts/panic-kernel.txt" >"$DIR/list"
"$REPO/scripts/panic-kernel" --list "$DIR/list" "${PERMFS_KO:-$REPO/permfs.ko}" >"$DIR/less" && fail "a line of the list is not missed"
grep -q '^FAIL new: lock _raw_spin_lock_irqsave in __folio_end_writeback: ' "$DIR/less" || fail "another line is missed"
[ "$(grep -c '^FAIL' "$DIR/less")" = 1 ] || fail "more lines are missed than are"
