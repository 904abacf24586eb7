#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""replaced-and-refilled.py KIND DEVICE: what ext4 does too: a file that was replaced without fsync has old or new contents after a
cut, what was cut off never comes back, and space that was freed can be written again at once. KIND is the filesystem that is made on DEVICE and judged."""

import ctypes
import errno
import os
import pathlib
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
HERE = pathlib.Path(__file__).parent
SYS_CACHESTAT = 451
SYNC_FILE_RANGE_ALL = 7
MNT = pathlib.Path("/mnt/judged")
MIB = 1 << 20
FILES = 20
OLD, NEW = b"old settings\n" * 500, b"new settings\n" * 700
KIND, DEVICE = sys.argv[1:]
failed = False


def verdict(good, what):
    global failed
    failed |= not good
    print("ok:" if good else "FAIL:", f"{KIND}: {what}", flush=True)


def run(*args):
    subprocess.run([str(a) for a in args], check=True, stdout=subprocess.DEVNULL)


def make():
    run(f"mkfs.{KIND}", "-q", "-F" if KIND == "ext4" else "--force", DEVICE)
    run("mount", "-t", KIND, DEVICE, MNT)


def unwritten(path):
    """Pages of the file that are dirty or being written (cachestat(2))."""
    fd = os.open(path, os.O_RDONLY)
    span, stat = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if LIBC.syscall(SYS_CACHESTAT, fd, span, stat, 0) != 0:
        raise OSError(ctypes.get_errno(), "cachestat")
    os.close(fd)
    return stat[1] + stat[2]


def cut():
    """What was done to names and sizes is made durable by the fsync of another file; then nothing more is written."""
    with open(MNT / "other", "wb") as other:
        os.fsync(other)
    run(HERE / "shut-down.py", MNT, 2)
    run("umount", MNT)
    run("mount", "-t", KIND, DEVICE, MNT)


def write_range(fd, at, length):
    if LIBC.sync_file_range(fd, ctypes.c_int64(at), ctypes.c_int64(length), SYNC_FILE_RANGE_ALL) != 0:
        raise OSError(ctypes.get_errno(), "sync_file_range")


def cut_off():
    """A size behind the old end is durable before anybody has written the page with the old end by itself."""
    far = 3 * MIB

    def gap(fd):
        os.ftruncate(fd, 100)
        os.pwrite(fd, b"n" * 4096, far)

    def append(fd):
        os.ftruncate(fd, 100)
        os.pwrite(fd, b"n" * (far + 4096 - 100), 100)

    def longer(fd):
        os.ftruncate(fd, 100)
        os.ftruncate(fd, 200)
        os.pwrite(fd, b"n" * 4096, far)

    make()
    ways = (gap, append, longer)
    for way in ways:
        (MNT / way.__name__).write_bytes(b"o" * 3 * 4096)
    os.sync()
    for way in ways:
        fd = os.open(MNT / way.__name__, os.O_RDWR)
        way(fd)
        write_range(fd, far, 4096)
        os.close(fd)
    cut()
    for way in ways:
        data = (MNT / way.__name__).read_bytes()
        verdict(b"o" not in data[100:], f"{data[100:].count(b'o')} bytes that were cut off are back after a cut: {way.__name__}, {len(data)} bytes")
    run("umount", MNT)


def replaced():
    make()
    ways = {"renamed over": "renamed", "cut by O_TRUNC": "cut"}
    for n in range(FILES):
        for way in ways.values():
            (MNT / f"{way}{n}").write_bytes(OLD)
    os.sync()
    for n in range(FILES):
        (MNT / "new").write_bytes(NEW)
        os.rename(MNT / "new", MNT / f"renamed{n}")
        (MNT / f"cut{n}").write_bytes(NEW)
    files = [MNT / f"{way}{n}" for way in ways.values() for n in range(FILES)]
    # Long enough for any writeback that was started, and over as soon as it has ended.
    for _ in range(300):
        if not any(map(unwritten, files)):
            break
        time.sleep(0.1)
    cut()
    for what, way in ways.items():
        whole = sum((MNT / f"{way}{n}").read_bytes() in (OLD, NEW) for n in range(FILES))
        verdict(whole == FILES, f"{whole} of {FILES} files {what} without fsync have old or new contents after a cut")
    run("umount", MNT)


def fill(fd, blocks, block):
    """Writes `blocks` blocks; says how many were taken."""
    for n in range(blocks):
        try:
            os.write(fd, block)
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            return n
    return blocks


def refilled():
    make()
    vfs, block = os.statvfs(MNT), os.urandom(MIB)
    big = vfs.f_bavail * vfs.f_bsize // MIB * 6 // 10
    for turn in range(3):
        fd = os.open(MNT / "image", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        done = fill(fd, big, block)
        verdict(done == big, f"{done} of {big} MiB of a file of 60 % of the volume are taken after O_TRUNC, turn {turn}")
        if turn != 1:
            os.fsync(fd)
        os.close(fd)
    log = os.open(MNT / "log", os.O_WRONLY | os.O_CREAT, 0o644)
    filler = os.open(MNT / "filler", os.O_WRONLY | os.O_CREAT, 0o644)
    for size in (MIB, 4096):
        while fill(filler, 1, block[:size]):
            pass
    os.fsync(filler)
    os.unlink(MNT / "image")
    half = big * 8 // 10
    done = fill(log, half, block)
    verdict(done == half, f"{done} of {half} MiB are taken by an open file right after a big one was removed from a full volume")
    os.fsync(log)
    os.close(log)
    os.close(filler)
    full()


def full():
    """Until not even a name is taken; then what replaces, cuts or removes."""
    fd, block = os.open(MNT / "rest", os.O_WRONLY | os.O_CREAT, 0o644), bytes(MIB)
    for name in ("old", "older"):
        (MNT / name).touch()
    for name in ("empty", "emptier", "emptiest"):
        (MNT / name).mkdir()
    for size in (MIB, 4096):
        while fill(fd, 1, block[:size]):
            pass
    os.sync()
    try:
        for n in range(100_000):
            os.mkdir(MNT / f"{'x' * 200}{n}")
    except OSError as e:
        verdict(e.errno == errno.ENOSPC, f"the volume takes no more names after {n}: {e.strerror}")
    steps = {
        "a rename over a file": lambda: os.rename(MNT / "old", MNT / "older"),
        "a rename over a folder": lambda: os.rename(MNT / "empty", MNT / "emptier"),
        "a removal of a folder": lambda: os.rmdir(MNT / "emptiest"),
        "a truncation": lambda: os.truncate(MNT / "filler", 5000),
        "a removal": lambda: os.unlink(MNT / "filler"),
    }
    for what, step in steps.items():
        try:
            step()
            verdict(True, f"{what} works on a full volume")
        except OSError as e:
            verdict(False, f"{what} on a full volume: {e.strerror}")
    os.close(fd)
    os.sync()
    run("umount", MNT)
    if KIND == "permfs":
        run("fsck.permfs", "-n", DEVICE)


MNT.mkdir(exist_ok=True)
# No file is written by the clock meanwhile: what is written is so because of what was done to it.
for knob, ticks in (("dirty_expire_centisecs", 360000), ("dirty_writeback_centisecs", 0)):
    pathlib.Path(f"/proc/sys/vm/{knob}").write_text(str(ticks))
replaced()
cut_off()
refilled()
sys.exit(failed)
