# SPDX-License-Identifier: GPL-2.0
# The Debian 13 root of the kernel kit: debootstrap, then packages. Sourced by scripts/kit.
# shellcheck shell=bash

DEBIAN=trixie
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# What the kernel and its modules are built with, what the guest runs, and what starts the guest.
PACKAGES="bindgen build-essential bc bison clang cpio flex gcc-14 libclang-dev libelf-dev libssl-dev lld llvm pahole
	cargo rustc rust-src rustfmt rust-clippy pkgconf python3 git ca-certificates xz-utils zstd
	acl attr bsdextrautils btrfs-progs dmsetup e2fsprogs f2fs-tools fdisk fio iproute2 jq kmod mount procps psmisc
	python3-drgn quota rsync sqlite3 strace tar udev util-linux xfsprogs
	busybox-static qemu-system-x86 qemu-utils virtme-ng"

# debian_sources: the address of the main archive among the host's package sources, told by origin and label.
debian_sources() {
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1
}

# deb_mirror: the address of the main Debian archive, as the host's apt is set up.
deb_mirror() {
	local uri
	if [ -n "${PERMFS_MIRROR:-}" ]; then
		echo "${PERMFS_MIRROR%/}"
		return
	fi
	command -v apt-get >/dev/null || die "this host has no apt; set PERMFS_MIRROR to a Debian mirror's address"
	uri=$(debian_sources)
	if [ -z "$uri" ]; then
		# Without lists apt does not know a source's origin yet.
		apt-get update >>"$LOGS/root.log" 2>&1 || true
		uri=$(debian_sources)
	fi
	case $uri in
	mirror+file:*) uri=$(grep -v '^#' "${uri#mirror+file:}" | awk 'NF { print $1; exit }') ;;
	esac
	[ -n "$uri" ] || die "no Debian package source in this host's apt configuration;" \
		"add one, or set PERMFS_MIRROR to a Debian mirror's address"
	echo "${uri%/}"
}

# host_needs COMMAND PACKAGE: installs PACKAGE on the host if COMMAND (or, with a slash, that file) is missing.
host_needs() {
	case $1 in
	*/*) [ -e "$1" ] && return ;;
	*) command -v "$1" >/dev/null && return ;;
	esac
	command -v apt-get >/dev/null || die "$1 is missing and there is no apt-get to install $2 with; install it by hand"
	say "installing $2 on this host"
	apt-get update >>"$LOGS/host.log" 2>&1 || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >>"$LOGS/host.log" 2>&1 </dev/null ||
		die "$1 is missing and 'apt-get install $2' failed (see $LOGS/host.log); install it by hand"
}

host_checks() {
	local free
	[ "$(uname -m)" = x86_64 ] || die "the kit is for x86_64 hosts, and this one is $(uname -m)"
	free=$(df --output=avail -k "$CACHE" | tail -n 1)
	[ "$free" -ge $((8 * 1024 * 1024)) ] ||
		die "less than 8 GB free in $CACHE ($((free / 1024 / 1024)) GB); free some, or set PERMFS_CACHE elsewhere"
	host_needs python3 python3
	host_needs flock util-linux
	host_needs objdump binutils
}

stage_root() {
	local mirror script=/usr/share/debootstrap/scripts
	host_needs debootstrap debootstrap
	host_needs "$KEYRING" debian-archive-keyring
	mirror=$(deb_mirror) || exit 1
	# An older debootstrap does not know the release by name; every Debian release since 2011 is made the same way.
	script=$(for f in "$script/$DEBIAN" "$script/sid"; do [ -e "$f" ] && echo "$f" && break; done)
	rm -rf --one-file-system "$ROOT" "$ROOT.new"
	# In a mount namespace: debootstrap mounts /proc and /sys, and an interrupted one would leave them there.
	logged root "debootstrap of Debian 13 from this host's mirror failed" \
		unshare --mount --propagation private debootstrap --variant=minbase --keyring="$KEYRING" \
		"$DEBIAN" "$ROOT.new" "$mirror/" "$script"
	mv "$ROOT.new" "$ROOT"
}

# apt_settings: the root's package sources and settings, from the host's.
apt_settings() {
	local mirror
	mirror=$(deb_mirror) || exit 1
	printf 'deb %s %s main\n' "$mirror" "$DEBIAN" "$mirror" "$DEBIAN-updates" >"$ROOT/etc/apt/sources.list"
	apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::' >"$ROOT/etc/apt/apt.conf.d/50host" || true
	printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
	chmod +x "$ROOT/usr/sbin/policy-rc.d"
	printf '%s\n' 'path-exclude /usr/share/doc/*' 'path-exclude /usr/share/man/*' 'path-exclude /usr/share/locale/*' \
		force-unsafe-io >"$ROOT/etc/dpkg/dpkg.cfg.d/permfs"
}

stage_packages() {
	apt_settings
	# An earlier run may have been stopped in the middle of dpkg.
	logged packages "dpkg in the root cannot recover; remove $ROOT and try again" \
		in_root dpkg --configure -a
	logged packages "apt-get update in the root failed" \
		in_root apt-get -q update
	# shellcheck disable=SC2086 # a list of words
	logged packages "installing the packages in the root failed" \
		in_root apt-get -q -y --no-install-recommends install $PACKAGES
	in_root apt-get -q clean
}
