#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: others-go-on.py DISK

Who removes or cuts a large file, or is kept waiting by the disk, does not keep the volume from those who need little of it. Counted,
not timed: the operations of another task that began and ended inside the one call, and ext4's and XFS's beside them.
"""

import mmap
import os
import pathlib
import struct
import subprocess
import sys
import time

import cuts
from cuts import KINDS, MNT, make, run, verdict

BLOCK = 4096
# Every other block: as many runs, of which PermFS frees eight in one step.
RUNS = 8000
# One in 25 steps. Who keeps the volume has one or two beside him: those that were under way when he got it.
ENOUGH = 40
# A task may get no processor during one call, but not during so many.
ROUNDS = 12
FILES = 1000
# For what is over at once, or never.
PATIENCE = 120

# What the other task has done so far, and whether it is to go on.
shared = mmap.mmap(-1, mmap.PAGESIZE)
COUNT, STOP = struct.Struct("=Q"), 8


def churn(times):
    """Makes and removes a folder, again and again, and writes down when each time began and ended."""
    log = []
    while not shared[STOP]:
        begin = time.monotonic_ns()
        os.mkdir(MNT / "churn")
        os.rmdir(MNT / "churn")
        log.append(struct.pack("=QQ", begin, time.monotonic_ns()))
        COUNT.pack_into(shared, 0, len(log))
    times.write_bytes(b"".join(log))


def beside(call):
    """How often the other task got through within `call`."""
    shared[:] = bytes(len(shared))
    times = pathlib.Path("/tmp/times")
    other = os.fork()
    if other == 0:
        # Else the file that is to go would stay for this one's sake.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        churn(times)
        os._exit(0)
    while not COUNT.unpack_from(shared)[0]:
        time.sleep(0.01)
    begin = time.monotonic_ns()
    call()
    end = time.monotonic_ns()
    shared[STOP] = 1
    if os.waitpid(other, 0)[1]:
        raise OSError("the other task failed")
    return sum(begin < b and e < end for b, e in struct.iter_unpack("=QQ", times.read_bytes()))


def large(kind, disk):
    """A file of many runs of which nothing is in the page cache, open."""
    with open(MNT / "large", "wb", buffering=0) as file:
        for n in range(RUNS):
            os.pwrite(file.fileno(), b"x" * BLOCK, 2 * n * BLOCK)
    run("umount", MNT)
    run("mount", "-t", kind, disk, MNT)
    return os.open(MNT / "large", os.O_RDWR)


def removed(kind, disk):
    fd = large(kind, disk)
    os.unlink(MNT / "large")
    # The last reference: its blocks are freed in here.
    return beside(lambda: os.close(fd))


def cut(kind, disk):
    fd = large(kind, disk)
    times = beside(lambda: os.ftruncate(fd, 0))
    os.close(fd)
    return times


def large_files(disk):
    for what, how in ("removed", removed), ("cut to nothing", cut):
        most = {}
        for kind in KINDS:
            make(kind, disk)
            most[kind] = 0
            for _ in range(ROUNDS if kind == "permfs" else 1):
                most[kind] = max(most[kind], how(kind, disk))
                if most[kind] >= ENOUGH:
                    break
            run("umount", MNT)
        shown = ", ".join(f"{kind} {n}" for kind, n in most.items())
        verdict(most["permfs"] >= ENOUGH, f"while a file of {RUNS} runs is {what}, another task makes and removes a folder: {shown} times")


def child(call):
    """Calls it in a process of its own, and gives its number."""
    pid = os.fork()
    if pid == 0:
        call()
        os._exit(0)
    return pid


def within(question):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(0.1)
    return False


def is_waiting(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "D"


def inodes():
    return int(pathlib.Path("/proc/sys/fs/inode-nr").read_text().split()[0])


def drop_caches():
    # The first time may only find that they were in use lately.
    for _ in range(3):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("2")


def what_is_clean(disk):
    """The disk answers nothing, somebody waits for it in the middle of a lookup, and inodes that have nothing to give back go."""
    size = int(subprocess.check_output(("blockdev", "--getsz", disk)))
    run("modprobe", "dm-mod")
    run("dmsetup", "create", "slow", "--table", f"0 {size} linear {disk} 0")
    for kind in KINDS:
        make(kind, "/dev/mapper/slow")
        for folder in ("known", "unknown"):
            (MNT / folder).mkdir()
            for n in range(FILES):
                (MNT / folder / f"{n:04}-{'x' * 200}").touch()
        run("umount", MNT)
        run("mount", "-t", kind, "/dev/mapper/slow", MNT)
        for entry in os.scandir(MNT / "known"):
            entry.stat()
        unknown = os.open(MNT / "unknown", os.O_RDONLY)
        before = inodes()
        run("dmsetup", "suspend", "--nolockfs", "--noflush", "slow")
        try:
            reader = child(lambda: os.listdir(unknown))
            verdict(within(lambda: is_waiting(reader)), f"{kind}: who reads a folder waits for the disk")
            dropper = child(drop_caches)
            over = within(lambda: os.waitpid(dropper, os.WNOHANG)[0])
            gone = before - inodes()
        finally:
            run("dmsetup", "resume", "slow")
        verdict(over and gone >= FILES // 2, f"{kind}: meanwhile {gone} inodes left memory that had nothing to give back")
        if not over:
            os.waitpid(dropper, 0)
        os.waitpid(reader, 0)
        os.close(unknown)
        run("umount", MNT)
    run("dmsetup", "remove", "slow")


def main():
    large_files(sys.argv[1])
    what_is_clean(sys.argv[1])
    return cuts.status()


sys.exit(main())
