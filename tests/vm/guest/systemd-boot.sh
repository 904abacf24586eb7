#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# usage: systemd-boot.sh COMMAND: systemd, as the first process of a PID namespace, boots as far as our units go. COMMAND
# mounts the volumes, as /etc/fstab would. Gives back when the last unit has run; prints what became of each.
set -euo pipefail
units=/run/systemd/system
files=$(dirname "$(readlink -f "$0")")/../systemd
mkdir -p $units/systemd-pstore.service.d $units/permfs-panic-archive.service.d

# What an administrator installs. The namespace is taken for a container, in which these units do not run.
cp "$files/permfs-panic-archive.service" $units/
cp "$files/systemd-pstore.service.d/permfs.conf" $units/systemd-pstore.service.d/
for unit in systemd-pstore permfs-panic-archive; do
	printf '[Unit]\nConditionVirtualization=\n' >$units/$unit.service.d/test.conf
done
mount -t tmpfs tmpfs /usr/local/bin
cp -L /run/permfs/bin/* /usr/local/bin

cat >$units/volumes.service <<-EOF
	[Unit]
	DefaultDependencies=no
	Before=local-fs.target
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/sh -c '$1'
EOF
cat >$units/last.service <<-'EOF'
	[Unit]
	DefaultDependencies=no
	After=volumes.service systemd-pstore.service permfs-panic-archive.service
	[Service]
	Type=oneshot
	ExecStart=/bin/sh -c 'for u in volumes systemd-pstore permfs-panic-archive; do echo "$$u $$(systemctl show --value --property=Result --property=ConditionResult --property=ExecMainStatus $$u | xargs)"; done >/run/last.new; mv /run/last.new /run/last'
EOF
cat >$units/test.target <<-'EOF'
	[Unit]
	Wants=local-fs.target volumes.service systemd-pstore.service permfs-panic-archive.service last.service
EOF

unshare --pid --fork --mount --mount-proc --kill-child env -i container=other \
	/usr/lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=kmsg &
for _ in {1..300}; do
	[ ! -e /run/last ] || break
	sleep 0.2
done
kill -9 $!
cat /run/last || { dmesg | grep systemd | tail -n 40; exit 1; }
