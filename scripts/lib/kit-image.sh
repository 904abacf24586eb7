# SPDX-License-Identifier: GPL-2.0
# What the test machine boots from: a read-only image of the root, an initramfs, a disk of real files, and UEFI firmware.
# Sourced by scripts/kit.
# shellcheck shell=bash

# What the initramfs loads, in this order, with what it depends on: always, and when there is such a device.
INITRD_MODULES="boot:virtio_pci,virtio_blk,virtio_console,virtio_rng,ext4,overlay nvme:nvme 9p:9pnet_virtio,9p"

# ext4_image FILE LABEL FOLDER EXTRA: a read-only ext4 image (no journal) of a folder, with EXTRA MiB to spare, made
# by the root's mke2fs, in place once it is whole.
ext4_image() {
	local file=$1 label=$2 from=$3 kib inodes
	kib=$(du -skx --apparent-size "$from" | cut -f1)
	inodes=$(find "$from" -xdev | wc -l)
	# Apparent sizes, rounded up to blocks for every file, and the inodes' own 256 bytes.
	kib=$((kib + inodes * 5 + $4 * 1024))
	rm -f "$file.new"
	in_root mke2fs -q -t ext4 -O ^has_journal,^resize_inode -E lazy_itable_init=1 -m 0 -N $((inodes + 1024)) \
		-L "$label" -d "$from" "$file.new" "${kib}k" && mv "$file.new" "$file"
}

stage_image() {
	mkdir -p "$IMAGES"
	mkdir -p "$ROOT"/{proc,sys,dev,run,tmp,mnt,etc,var,opt}
	logged image "making the root image failed" \
		ext4_image "$IMAGES/root.img" permfs-root "$ROOT" 64
}

# Real files for demos and tests: the kernel's documentation and headers, and the sources of a filesystem folder.
stage_corpus() {
	local tmp=$CACHE/kernel/corpus
	rm -rf "$tmp"
	mkdir -p "$tmp"
	cp -a "$KSRC"/{Documentation,include,fs,rust} "$tmp"
	logged corpus "making the disk of real files failed" \
		ext4_image "$IMAGES/corpus.img" permfs-corpus "$tmp" 8
	rm -rf "$tmp"
}

make_initrd() {
	local dir=$IMAGES/initrd.d release group names list m base
	release=$(kernel_var release)
	rm -rf "$dir"
	mkdir -p "$dir"/{bin,dev,proc,sys,newroot,modules}
	cp "$ROOT/bin/busybox" "$dir/bin/busybox"
	cp "$REPO/scripts/lib/initrd-init" "$dir/init"
	chmod 755 "$dir/init"
	for group in $INITRD_MODULES; do
		names=${group#*:}
		list=$(for m in ${names//,/ }; do in_root modprobe -S "$release" --show-depends "$m"; done |
			awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
		for m in $list; do
			base=$(basename "$m" .xz)
			case $m in
			*.xz) in_root xz -dc "$m" >"$dir/modules/$base" ;;
			*) cp "$ROOT$m" "$dir/modules/" ;;
			esac
			echo "$base" >>"$dir/modules/list.${group%%:*}"
		done
	done
	(cd "$dir" && find . | LC_ALL=C sort | in_root cpio --quiet -o -H newc -R 0:0) >"$IMAGES/initrd.img.new"
	mv "$IMAGES/initrd.img.new" "$IMAGES/initrd.img"
	rm -rf "$dir"
}

stage_initrd() {
	mkdir -p "$IMAGES"
	logged initrd "making the initramfs failed" \
		make_initrd
}

# get_firmware: UEFI firmware and an empty store of its variables, out of Debian's package. They are files for QEMU alone: not
# installed in the root, so that no other stage is made again for them.
get_firmware() {
	local tmp=$FIRMWARE.new
	rm -rf "$tmp"
	mkdir -p "$tmp/deb"
	apt_suite "$DEBIAN" apt-get update
	cd "$tmp"
	apt_suite "$DEBIAN" apt-get download ovmf
	in_root dpkg-deb -x "$tmp"/ovmf_*.deb "$tmp/deb"
	mv "$tmp"/deb/usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd "$tmp"
	rm -rf "$ROOT/var/lib/permfs-apt" "$tmp/deb" "$tmp"/ovmf_*.deb "$FIRMWARE"
	mv "$tmp" "$FIRMWARE"
}

stage_firmware() {
	logged firmware "getting the UEFI firmware (Debian's package ovmf) failed" \
		get_firmware
}
