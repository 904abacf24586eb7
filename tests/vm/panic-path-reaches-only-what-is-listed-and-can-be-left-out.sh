#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In permfs.ko as it is tested here, the panic notifier reaches no allocation, lock, wait, formatting or panic; in one made with
# PANIC=n there is no notifier at all. No machine is started.
. "$(dirname "$0")/lib.sh"

"$REPO/scripts/panic-check" "${PERMFS_KO:-$REPO/permfs.ko}" | tee "$DIR/out" || fail "the panic path reaches what it may not"
note "$(sed -n 's/^panic-check: ok: //p' "$DIR/out")"

# The kernel's build writes beside the sources, so this one gets its own.
mkdir -p "$DIR/without"
(cd "$REPO" && git ls-files -z Kbuild rust permfs | tar c --null -T -) | tar x -C "$DIR/without"
"$REPO/scripts/kit" run make -C "$("$REPO/scripts/kit" path kdir)" "M=$DIR/without" CC=x86_64-linux-gnu-gcc-14 PANIC=n modules ||
	fail "PANIC=n does not build"
"$REPO/scripts/panic-check" --absent "$DIR/without/permfs.ko" || fail "something of the handler is left with PANIC=n"
rm -rf "$DIR/without"
