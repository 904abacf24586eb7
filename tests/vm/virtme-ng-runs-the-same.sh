#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Under virtme-ng, disks, share, tools, output and status are as with the direct launch, and a panic is a panic.
# limit: 1200
. "$(dirname "$0")/lib.sh"

mkdir "$DIR/share" "$DIR/bin"
printf '#!/bin/sh\necho the tool ran\n' >"$DIR/bin/a-tool"
chmod +x "$DIR/bin/a-tool"
PERMFS_GUEST_BIN=$DIR/bin vm_status 42 --backend vng --no-module --corpus --disk 16M --nvme 80M --disk "$(disk second 48M)" \
	--nvme 96M --share "$DIR/share" -- '
	for d in vda vdb nvme0n1 nvme1n1; do echo "$d $(($(cat /sys/block/$d/size) / 2048))"; done
	a-tool; uname -r; echo from the guest >/mnt/share/out; ls /mnt/corpus; exit 42'
for line in 'vda 16' 'vdb 48' 'nvme0n1 80' 'nvme1n1 96' 'the tool ran' "$("$REPO/scripts/kit" path release)" Documentation; do
	expect "$line" "$DIR/out"
done
expect 'from the guest' "$DIR/share/out"

vm_panic 'sysrq triggered crash' --backend vng --no-module --erst "$DIR/store" -- 'echo begun; echo c >/proc/sysrq-trigger'
expect begun "$DIR/out"
vm_status 0 --no-module --erst "$DIR/store" -- 'cat /sys/fs/pstore/dmesg-erst-*'
expect 'Kernel panic - not syncing: sysrq triggered crash' "$DIR/out"
