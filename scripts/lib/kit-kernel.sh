# SPDX-License-Identifier: GPL-2.0
# The stock kernel of the kit: its packages, a build tree for its modules, and the proof that the two fit.
# Sourced by scripts/kit.
# shellcheck shell=bash

# Where the series is looked for; the first of these that has it is taken.
SUITES="trixie-backports forky sid experimental"

# kernel_var NAME: what was found out about the kernel when its packages were fetched.
kernel_var() {
	sed -n "s/^$1=//p" "$CACHE/kernel/facts" 2>/dev/null
}

# apt_suite SUITE CMD...: apt-get or apt-cache in the root with that suite alone; the root's own sources are untouched.
apt_suite() {
	local suite=$1 dir=/var/lib/permfs-apt/$1 cmd=$2
	shift 2
	mkdir -p "$ROOT$dir/lists/partial" "$ROOT$dir/cache/archives/partial"
	printf 'deb %s %s main\n' "$(deb_mirror)" "$suite" >"$ROOT$dir/sources.list"
	in_root "$cmd" -q -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root "$@"
}

# find_kernel: sets suite, version (of all four packages) and release (uname -r) of the newest stock kernel.
find_kernel() {
	local s names
	for s in $SUITES; do
		apt_suite "$s" apt-get update >>"$LOGS/kernel.log" 2>&1 || continue
		version=$(apt_suite "$s" apt-cache madison "linux-source-$SERIES" | awk 'NR == 1 { print $3 }')
		[ -n "$version" ] || continue
		names=$(apt_suite "$s" apt-cache search --names-only "^linux-image-$SERIES\\.[0-9]+\\+deb[0-9]+-amd64\$" |
			awk '{ print $1 }' | sort -rV)
		for release in $names; do
			release=${release#linux-image-}
			[ "$(apt_suite "$s" apt-cache madison "linux-image-$release" | awk 'NR == 1 { print $3 }')" = "$version" ] ||
				continue
			suite=$s
			return 0
		done
	done
	return 1
}

stage_kernel() {
	local suite version release packages tmp=$DEBS.new
	find_kernel || die "no Linux $SERIES with image and source of one version in $SUITES of the mirror" \
		"$(deb_mirror); set PERMFS_MIRROR to one that has it"
	say "kernel: $release ($version) from $suite"
	packages="linux-source-$SERIES linux-config-$SERIES linux-headers-$release linux-image-$release"
	# Some versions bring the kernel and its modules in packages that linux-image only depends on.
	packages="$packages $(apt_suite "$suite" apt-cache show "linux-image-$release=$version" |
		sed -n 's/^Depends: //p' | tr -s ', ' '\n' | grep -E "^linux-(binary|modules)-" | sort -u | xargs)"
	rm -rf "$tmp"
	mkdir -p "$tmp"
	# shellcheck disable=SC2046,SC2086 # lists of words
	cd "$tmp" && logged kernel "downloading the kernel's packages failed" \
		apt_suite "$suite" apt-get download $(printf "%s=$version " $packages)
	cd "$REPO" || exit 1
	rm -rf "$DEBS" "$ROOT/var/lib/permfs-apt"
	mv "$tmp" "$DEBS"
	printf '%s\n' "suite=$suite" "version=$version" "release=$release" >"$CACHE/kernel/facts"
}

# The image is unpacked, not installed: its scripts would make an initramfs and a boot menu that nobody uses.
unpack_kernel() {
	local release unpacked=$CACHE/kernel/unpacked p
	release=$(kernel_var release)
	rm -rf "$KSRC" "$unpacked"
	mkdir -p "$KSRC" "$unpacked"
	for p in source config headers; do
		in_root dpkg-deb -x "$DEBS"/linux-$p-*.deb "$unpacked"
	done
	for p in image binary modules; do
		p=$(find "$DEBS" -name "linux-$p-*.deb")
		[ -z "$p" ] || in_root dpkg-deb -x "$p" /
	done
	# The newer package layout leaves the copy in /boot to its install script.
	p=$ROOT/usr/lib/modules/$release/vmlinuz
	[ ! -e "$p" ] || cp "$p" "$ROOT/boot/vmlinuz-$release"
	[ -e "$ROOT/boot/vmlinuz-$release" ] || { echo "no vmlinuz of $release in the packages"; return 1; }
	in_root depmod "$release"
	in_root tar -C "$KSRC" --strip-components=1 -xJf "$unpacked/usr/src/linux-source-$SERIES.tar.xz"
	rm "$unpacked/usr/src/linux-source-$SERIES.tar.xz"
}

stage_source() {
	logged source "unpacking the kernel's packages failed" unpack_kernel
}

# make_kernel ARGS...: make in the kernel's build tree, inside the root.
make_kernel() {
	in_root make -C "$KSRC" O="$KDIR" CC="$KIT_CC" -j"$(nproc)" "$@"
}

stage_build() {
	local release base config
	release=$(kernel_var release)
	base=${release%%+*}
	config=$(find "$CACHE/kernel/unpacked" -name 'config.amd64_none_amd64*' | head -n 1)
	[ -n "$config" ] || die "the kernel's configuration is not in linux-config-$SERIES; the package's layout has changed"
	rm -rf "$KDIR"
	mkdir -p "$KDIR"
	case $config in
	*.xz) in_root xz -dc "$config" >"$KDIR/.config" ;;
	*) cp "$config" "$KDIR/.config" ;;
	esac
	printf '%s\n' "${release#"$base"}" >"$KDIR/localversion"
	cp "$(stock_symvers)" "$KDIR/Module.symvers"
	logged build "configuring the kernel failed" \
		make_kernel olddefconfig
	grep -q '^CONFIG_RUST=y' "$KDIR/.config" || die "the kernel's configuration lost CONFIG_RUST:" \
		"the root's rustc or bindgen does not suit Linux $SERIES"
	logged build "preparing the build tree failed" \
		make_kernel prepare scripts modules_prepare
}

stock_symvers() {
	echo "$CACHE/kernel/unpacked/usr/src/linux-headers-$(kernel_var release)/Module.symvers"
}

# The proof that modules built in the tree fit the stock kernel: every Rust symbol that the tree's metadata promises is
# exported by the stock image, under the same name, which holds the crates' hashes; and a module built here has the
# stock modules' vermagic.
stage_proof() {
	local dir=$CACHE/kernel/proof ours stock
	cmp -s "$(stock_symvers)" "$KDIR/Module.symvers" || die "the build tree's Module.symvers is not the stock kernel's;" \
		"remove $STAMPS/build and run scripts/kit again"
	logged proof "the Rust symbols of the build tree differ from the stock kernel's" \
		python3 "$REPO/scripts/lib/kit-symbols.py" "$(stock_symvers)" "$KDIR/rust"
	tail -n 1 "$LOGS/proof.log" | sed 's/^/[kit      ] proof: /' >&2
	rm -rf "$dir"
	mkdir -p "$dir"
	echo 'obj-m := permfs_proof.o' >"$dir/Kbuild"
	cat >"$dir/permfs_proof.rs" <<-'EOF'
		// SPDX-License-Identifier: GPL-2.0
		//! Loads, allocates, goes: what the kit measures the build tree by.
		use kernel::prelude::*;

		module! {
		    type: Proof,
		    name: "permfs_proof",
		    authors: ["PermFS"],
		    description: "proof that the build tree fits the kernel",
		    license: "GPL",
		}

		struct Proof(KVec<u32>);

		impl kernel::Module for Proof {
		    fn init(_module: &'static ThisModule) -> Result<Self> {
		        let mut v = KVec::new();
		        v.push(7304, GFP_KERNEL)?;
		        pr_info!("permfs_proof: loaded\n");
		        Ok(Proof(v))
		    }
		}

		impl Drop for Proof {
		    fn drop(&mut self) {
		        pr_info!("permfs_proof: gone, {} held\n", self.0.len());
		    }
		}
	EOF
	logged proof "a minimal Rust module does not build in the tree" \
		in_root make -C "$KDIR" CC="$KIT_CC" M="$dir" modules
	ours=$(in_root modinfo -F vermagic "$dir/permfs_proof.ko")
	stock=$(in_root modinfo -k "$(kernel_var release)" -F vermagic virtio_blk)
	[ "$ours" = "$stock" ] || die "vermagic differs: a module built here has '$ours', the stock kernel's have '$stock'"
	say "proof: vermagic '$ours' is the stock kernel's"
}
