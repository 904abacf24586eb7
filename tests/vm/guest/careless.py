#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: careless.py MODULE DEVICE FOLDER: the filesystem that forgets references, and whose registration goes while it is in
use (tests/careless), does no harm. The kernel panics on any warning. Prints 'N passed, N failed'."""
import ctypes
import os
import subprocess
import sys
import time

FSOPEN = 430
libc = ctypes.CDLL(None, use_errno=True)
module, device, folder = sys.argv[1:]
outcomes = []


def check(what, good, seen=""):
    outcomes.append(bool(good))
    print(f"{'ok' if good else 'FAIL'}: {what}" + (f": {seen}" if not good else ""), flush=True)


def run(*cmd):
    return subprocess.run(cmd, capture_output=True, text=True)


def is_loaded():
    return any(line.startswith("permfs ") for line in open("/proc/modules"))


def forget():
    check("the module loads", run("insmod", module).returncode == 0)
    check("it mounts", run("mount", "-t", "careless", device, folder).returncode == 0)
    for name in ("forget", "forget", "half", "new", "other"):
        check(f"'{name}' is not there", not os.path.exists(f"{folder}/{name}"))
    ret = run("umount", folder)
    check("it is unmounted with references that were forgotten", ret.returncode == 0, ret.stderr)
    log = run("dmesg").stdout
    check("which is said", "a reference on an inode was forgotten" in log)
    # root, 2 and 77; the two that were not made are not the filesystem's yet.
    check("all of them were evicted in the end", "inodes were evicted" in log)
    check("the module goes", run("rmmod", "permfs").returncode == 0 and not is_loaded())
    open("/proc/sys/vm/drop_caches", "w").write("3\n")
    check("it can come again", run("insmod", module).returncode == 0 and run("rmmod", "permfs").returncode == 0)


def drop_early():
    loader = subprocess.Popen(["insmod", module, "fail=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fd = -1
    while fd < 0 and loader.poll() is None:
        fd = libc.syscall(FSOPEN, b"careless", 0)
        time.sleep(0.01)
    check("a context is opened while the module's init still runs", fd >= 0)
    # Init fails 3 s after the registration.
    while "waiting for users that outlive" not in run("dmesg").stdout and loader.poll() is None:
        time.sleep(0.1)
    check("the registration waits for the context", loader.poll() is None)
    check("which is none for new ones", libc.syscall(FSOPEN, b"careless", 0) < 0)
    os.close(fd)
    check("and then init has failed", loader.wait() != 0)
    time.sleep(1)
    check("and nothing is left", not is_loaded())


if is_loaded():
    run("rmmod", "permfs")
forget()
drop_early()
print(f"{outcomes.count(True)} passed, {outcomes.count(False)} failed")
sys.exit(not all(outcomes))
