#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""replaced-and-refilled.py KIND DEVICE: what ext4 does too: a file that was replaced without fsync has old or new contents after a
cut, what was cut off never comes back, space that was freed can be written again at once, and what write(2) or a mapping took for a full
volume reaches it. KIND is the filesystem that is made on DEVICE and judged."""

import ctypes
import errno
import mmap
import os
import pathlib
import resource
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


def piece(name, n):
    """The block that is written as the `n`th of file `name`."""
    return f"{name} {n} ".encode().ljust(4096, b".")


def accepted_by_mapping(name):
    """Writes every other page of a sparse file through a mapping, until the signal says that there is no space; says how many."""
    fd = os.open(MNT / name, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 1 << 30)
    ours, theirs = os.pipe()
    if os.fork() == 0:
        view = mmap.mmap(fd, 1 << 30)
        for n in range(1 << 17):
            view[n * 8192:n * 8192 + 4096] = piece(name, n)
            os.write(theirs, b".")
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as told:
        taken = len(told.read())
    os.wait()
    return fd, taken


def scattered():
    """The most pieces that the fewest blocks can be in: what is taken must find its place, and the map of that."""
    make()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 16, 1 << 16))
    vfs = os.statvfs(MNT)
    files, taken = [], 0
    try:
        while True:
            name = f"file{len(files)}"
            fd = os.open(MNT / name, os.O_WRONLY | os.O_CREAT, 0o644)
            files.append([name, fd, 0])
            for n in range(17):
                os.pwrite(fd, piece(name, n), n * 8192)
                files[-1][2] += 1
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
    # What is left for names and for smaller things is taken too, while nothing was written back by us.
    try:
        for n in range(100_000):
            (MNT / f"{'n' * 200}{n}").touch()
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
    # What some of them had is for a mapping.
    for name, fd, _ in files[:100]:
        os.close(fd)
        (MNT / name).unlink()
    del files[:100]
    fd, pages = accepted_by_mapping("mapped")
    files.append(["mapped", fd, pages])
    refused = 0
    for name, fd, count in files:
        taken += count
        try:
            os.fsync(fd)
        except OSError as e:
            refused += 1
            last = f"{name}: {e.strerror}"
        os.close(fd)
    verdict(refused == 0, f"fsync fails for {refused} of {len(files)} files that a full volume took" + (f", {last}" if refused else ""))
    room = vfs.f_bavail * vfs.f_bsize // 4096
    verdict(pages > 0 and taken > room * 3 // 4, f"{taken} scattered blocks, {pages} of them by a mapping, are taken where {room} were free")
    run("umount", MNT)
    run("mount", "-t", KIND, DEVICE, MNT)
    wrong = 0
    for name, _, count in files:
        with open(MNT / name, "rb") as file:
            for n in range(count):
                file.seek(n * 8192)
                wrong += file.read(4096) != piece(name, n)
    verdict(wrong == 0, f"{wrong} of {taken} blocks are not what was written")
    for path in MNT.glob("*"):
        if path.is_file():
            path.unlink()
    os.sync()
    run("umount", MNT)
    run("mount", "-t", KIND, DEVICE, MNT)
    left = vfs.f_bfree - os.statvfs(MNT).f_bfree
    # A folder that was large does not shrink everywhere.
    verdict(left < 600, f"{left} blocks are still in use when all is removed")
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
scattered()
sys.exit(failed)
