# SPDX-License-Identifier: GPL-2.0
# The debug kernel: the stock kernel's source with sanitizer, lock checker and fault injection, built by clang because
# Rust and KASAN go together only there. Not a part of the ordinary kit. Sourced by scripts/kit.
# shellcheck shell=bash

DEBUG_KDIR=$CACHE/kernel/debug
DEBUG_CONFIG=$REPO/scripts/lib/debug-kernel.config

key_debug() { echo "$(kernel_var version) $(stamp packages) $(stamp source) $(digest "$DEBUG_CONFIG")"; }

# The build tree is kept between runs: a changed configuration builds again only what it touches.
configure_debug() {
	mkdir -p "$DEBUG_KDIR"
	# shellcheck disable=SC2016 # expanded by the inner shell
	in_root sh -c 'cd "$1" && LLVM=1 exec scripts/kconfig/merge_config.sh -n -O "$2" "$3"' \
		sh "$KSRC" "$DEBUG_KDIR" "$DEBUG_CONFIG"
}

# debug_lost: the wanted lines that the kernel's configuration did not take.
debug_lost() {
	local line
	while read -r line; do
		grep -qxF -- "$line" "$DEBUG_KDIR/.config" || printf '%s ' "$line"
	done < <(grep -v -e '^#' -e '^$' "$DEBUG_CONFIG")
}

make_debug_kernel() {
	in_root nice -n 10 make -C "$KSRC" O="$DEBUG_KDIR" LLVM=1 -j"$(nproc)" all
}

stage_debug() {
	local lost
	logged debug "configuring the debug kernel failed" \
		configure_debug
	lost=$(debug_lost)
	[ -z "$lost" ] || die "the debug kernel's configuration does not take these lines of $DEBUG_CONFIG: $lost;" \
		"what they depend on is off, or Linux $SERIES has them under another name"
	logged debug "building the debug kernel failed; the next run goes on from here" \
		make_debug_kernel
}

build_debug() {
	build
	stamp_is debug "$(key_debug)" && return 0
	exec 8>"$CACHE/debug.lock"
	flock -n 8 || { say "another debug kernel is being made in $CACHE; waiting for it"; flock 8; }
	stage debug "$(key_debug)" "the debug kernel (half an hour on two cores)"
	exec 8>&-
}
