#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: vfs-rules-gone.py FOLDER [TYPE]: a disk that is pulled out while it is mounted takes all of its files with it, those in memory
too. Prints a line for each rule, and ends with 1 if one does not hold."""

import errno
import os
import pathlib
import subprocess
import sys
import time

FOLDER = sys.argv[1]
TYPE = sys.argv[2] if len(sys.argv) > 2 else "permfs"
failed = 0


def run(*words):
    return subprocess.run(words, check=True)


def holds(what, ok):
    global failed
    failed += not ok
    print(("ok: " if ok else "FAIL: ") + what)


def outcome(call, *args):
    try:
        call(*args)
        return "done"
    except OSError as e:
        return errno.errorcode[e.errno]


def is_refused(what, call, *args):
    got = outcome(call, *args)
    holds(f"{what}: {got}", got == "EIO")


run("modprobe", "sd_mod")
run("modprobe", "scsi_debug", "dev_size_mb=320")
device = None
while device is None:
    device = next((p for p in pathlib.Path("/sys/block").glob("sd*") if "scsi_debug" in (p / "device/model").read_text()), None)
    time.sleep(0.05)
run(f"mkfs.{TYPE}", "-q", f"/dev/{device.name}")
run("mount", "-t", TYPE, f"/dev/{device.name}", FOLDER)
path = os.path.join(FOLDER, "cached")
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * (1 << 20))
os.fsync(fd)
pipe = os.pipe()
holds("what is in memory can be read", os.pread(fd, 4096, 0) == b"x" * 4096)
os.write(fd, b"y" * 4096)
(device / "device/delete").write_text("1")
is_refused("reading it when the disk is gone", os.pread, fd, 4096, 0)
is_refused("splicing it", os.splice, fd, pipe[1], 4096, 0)
is_refused("writing", os.pwrite, fd, b"z", 0)
is_refused("making a name", os.mkdir, os.path.join(FOLDER, "new"))
is_refused("changing attributes", os.fchmod, fd, 0o600)
holds("fsync fails", outcome(os.fsync, fd) != "done")
os.close(fd)
holds("it can be unmounted", subprocess.run(["umount", FOLDER]).returncode == 0)
sys.exit(failed > 0)
