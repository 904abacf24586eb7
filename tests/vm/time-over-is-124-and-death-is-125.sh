#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The three ways in which a run ends without the command's own status can be told apart.
. "$(dirname "$0")/lib.sh"

vm_status 124 --no-module --timeout 60 -- 'echo begun; sleep 1000'
expect begun "$DIR/out"
expect 'time is over' "$DIR/err"

vm_panic 'sysrq triggered crash' --no-module -- 'echo begun; echo c >/proc/sysrq-trigger'
expect begun "$DIR/out"
expect 'the guest died under the command' "$DIR/err"
expect 'sysrq_handle_crash' "$DIR/err"

printf 'no module' >"$DIR/broken.ko"
PERMFS_KO=$DIR/broken.ko vm_status 126 -- true
expect 'permfs.ko did not load' "$DIR/err"
PERMFS_KO=$DIR/absent.ko vm_status 126 -- true
expect 'build it with make' "$DIR/err"
