#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: acknowledged.py count DISK... | cut DISK LOG | failed

What is acknowledged is durable, judged by what reaches the device. ext4 and XFS go through the same steps.

count: every step's flushes at each DISK (/sys/block/DISK/stat), never fewer than the smaller of the two others'.
cut: DISK under dm-log-writes, whose log goes to LOG. That device has a cache and FUA of its own, and logs a write
when it is durable and not before. At each acknowledgement the log is marked; what was in the log by then, and
nothing else, is what a power cut leaves.
failed: a disk of scsi_debug fails flushes, or writes, and then is well again. Nobody is told later that what such a flush was
to cover is safe; what went wrong with a write every open file is told once.
"""

import ctypes
import mmap
import os
import pathlib
import sys
import time

import cuts
from cuts import KINDS, MNT, make, run, verdict

BLOCK = 4096
LIBC = ctypes.CDLL(None, use_errno=True)


def page(fill, length=BLOCK):
    """Memory that direct I/O takes."""
    memory = mmap.mmap(-1, max(length, BLOCK))
    memory[:] = fill.encode() * len(memory)
    return memoryview(memory)[:length]


def write_direct(name, fill, offset=0, length=BLOCK, flags=0, per_write=0):
    fd = os.open(MNT / name, os.O_WRONLY | os.O_CREAT | os.O_DIRECT | flags, 0o644)
    os.pwritev(fd, [page(fill, length)], offset, per_write)
    return fd


def write_buffered(name, fill, flags=0, per_write=0):
    fd = os.open(MNT / name, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    os.pwritev(fd, [fill.encode() * BLOCK], 0, per_write)
    return fd


def syncfs(fd):
    if LIBC.syncfs(fd):
        raise OSError(ctypes.get_errno(), "syncfs")


def write_mapped(name, fill):
    with open(MNT / name, "r+b") as file:
        mapped = mmap.mmap(file.fileno(), BLOCK)
        mapped[:] = fill.encode() * BLOCK
        mapped.flush()  # msync(MS_SYNC)
        mapped.close()


def freeze(name, fill):
    os.close(write_direct(name, fill))
    run("fsfreeze", "-f", MNT)
    run("fsfreeze", "-u", MNT)


def then(how):
    """A direct overwrite, and then `how` on its file."""

    def step(name, fill):
        fd = write_direct(name, fill)
        how(fd)
        os.close(fd)

    return step


def closing(write, **more):
    return lambda name, fill: os.close(write(name, fill, **more))


# Each overwrites the first block of a file that is settled, and returns when that is acknowledged.
OVERWRITES = {
    "direct overwrite, fsync": then(os.fsync),
    "direct overwrite, fdatasync": then(os.fdatasync),
    "direct overwrite, syncfs": then(syncfs),
    "direct overwrite, sync": then(lambda fd: os.sync()),
    "direct overwrite, freeze": freeze,
    "mapped overwrite, msync": write_mapped,
    "buffered overwrite, O_SYNC": closing(write_buffered, flags=os.O_SYNC),
    "buffered overwrite, RWF_DSYNC": closing(write_buffered, per_write=os.RWF_DSYNC),
    "direct overwrite, O_SYNC": closing(write_direct, flags=os.O_SYNC),
    "direct overwrite, O_DSYNC": closing(write_direct, flags=os.O_DSYNC),
    "direct overwrite, RWF_DSYNC": closing(write_direct, per_write=os.RWF_DSYNC),
}


def settle(names):
    """Files of 64 KiB, all of them durable."""
    for name in names:
        with open(MNT / name, "wb") as file:
            file.write(b"0" * 65536)
    os.sync()


def flushes(disk):
    # Documentation/block/stat.rst: flush I/O is the 16th field.
    return int(pathlib.Path(f"/sys/block/{disk}/stat").read_text().split()[15])


def count(disks):
    rounds = 8
    for disk in disks:
        queue = pathlib.Path(f"/sys/block/{disk}/queue")
        cache, fua = ((queue / name).read_text().strip() for name in ("write_cache", "fua"))
        sent = {}
        for kind in KINDS:
            make(kind, f"/dev/{disk}")
            settle(["file"])
            for name, step in OVERWRITES.items():
                step("file", "0")
                before = flushes(disk)
                for n in range(rounds):
                    # A tick of the clock that inodes take their times from: the same times are not logged again.
                    time.sleep(0.01)
                    step("file", str(n))
                sent.setdefault(name, []).append(flushes(disk) - before)
            run("umount", MNT)
        for name, numbers in sent.items():
            shown = ", ".join(f"{kind} {n}" for kind, n in zip(KINDS, numbers))
            verdict(numbers[2] >= min(numbers[:2]), f"{disk} ({cache}, fua {fua}): {rounds} times {name}: flushes: {shown}")


def append_direct(name, length, flags):
    """What is there is not durable by now, and the file grows: its size and its map have to be in what is acknowledged."""
    os.close(write_direct(name, "a", 0, 16 * length))
    os.close(write_direct(name, "b", 16 * length, length, flags=flags))


def replace_unsynced(name, flags):
    """Overwrites what an earlier write has allocated and nobody has synced."""
    os.close(write_direct(name, "a", 0, 16 * BLOCK))
    os.close(write_direct(name, "b", 3 * BLOCK, BLOCK, flags=flags))


def first_block(fill):
    return lambda: (MNT / "settled").read_bytes()[:BLOCK] == fill.encode() * BLOCK


def block_at(name, offset, length):
    return lambda: (MNT / name).read_bytes()[offset:offset + length] == b"b" * length


def cases():
    """Of each: what is done, and the question after the cut."""
    for n, (name, step) in enumerate(OVERWRITES.items()):
        fill = chr(ord("A") + n)
        yield name, lambda s=step, f=fill: s("settled", f), first_block(fill)
    for flags, how in ((os.O_DSYNC, "O_DSYNC"), (os.O_SYNC, "O_SYNC")):
        for length in (BLOCK, 512):
            name = f"grown-{how}-{length}"
            yield f"direct append of {length} bytes, {how}", lambda n=name, l=length, f=flags: append_direct(n, l, f), block_at(
                name, 16 * length, length)
        name = f"unsynced-{how}"
        yield f"direct overwrite of what was not synced, {how}", lambda n=name, f=flags: replace_unsynced(n, f), block_at(
            name, 3 * BLOCK, BLOCK)


def errno_of(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
    return 0


def fsync_path(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# `2 COUNT OPCODE HOST DRIVER STATUS KEY ASC ASCQ`: COUNT commands (all, if it is positive) end so. Here with
# CHECK CONDITION, HARDWARE ERROR, INTERNAL TARGET FAILURE, which is not tried again.
INJECTION = "2 1 {} 0x0 0x0 0x2 0x4 0x44 0x0"
FLUSH, WRITE = "0x35", "0x2a"


def failing_disk():
    """The name of the disk, and the file that takes injections."""
    run("modprobe", "sd_mod")
    run("modprobe", "scsi_debug", "dev_size_mb=320")
    device = None
    while device is None:  # Disks are looked for behind modprobe's back.
        device = next((p for p in pathlib.Path("/sys/block").glob("sd*") if "scsi_debug" in (p / "device/model").read_text()), None)
    address = os.path.basename(os.path.realpath(device / "device"))
    return device.name, pathlib.Path(f"/sys/kernel/debug/scsi_debug/{address}/error")


def failed_write(disk, errors):
    everything = 0b111  # SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE, _WAIT_AFTER
    for kind in KINDS:
        make(kind, f"/dev/{disk}")
        settle(["file"])
        opened = [os.open(MNT / "file", os.O_RDONLY) for _ in range(3)]
        writer = write_buffered("file", "1")
        errors.write_text(INJECTION.format(WRITE))
        LIBC.sync_file_range(ctypes.c_int(writer), ctypes.c_long(0), ctypes.c_long(BLOCK), ctypes.c_uint(everything))
        errors.write_text(f"- 2 {WRITE}")
        told = [errno_of(os.fsync, fd) for fd in opened]
        again = [errno_of(os.fsync, fd) for fd in opened]
        verdict(all(told) and not any(again), f"{kind}: a failed write: errors of three open files: {told}, and then: {again}")
        for fd in (*opened, writer):
            os.close(fd)
        run("umount", MNT)


def failed_flush(disk, errors):
    for kind in KINDS:
        make(kind, f"/dev/{disk}")
        settle(["one", "other"])
        files = [write_direct(name, "1") for name in ("one", "other")]
        more = os.open(MNT / "one", os.O_RDONLY)
        before = flushes(disk)
        errors.write_text(INJECTION.format(FLUSH))
        # First where nothing but the data waits for a flush: the folder's own changes are durable.
        told = {"the folder": errno_of(fsync_path, MNT)}
        if kind != "permfs":
            told["one"] = errno_of(os.fsync, files[0])
        errors.write_text(f"- 2 {FLUSH}")
        sent = flushes(disk) - before
        later = {"one": errno_of(os.fsync, files[0]), "the other": errno_of(os.fsync, files[1]), "one, opened twice": errno_of(
            os.fsync, more), "one, opened later": errno_of(fsync_path, MNT / "one"), "syncfs": errno_of(syncfs, more)}
        for fd in (*files, more):
            os.close(fd)
        shown = f"{kind}: {sent} flushes failed; errors then: {told}, and later: {later}"
        if kind == "permfs":
            verdict(told["the folder"] and all(later.values()), shown)
            verdict(errno_of(os.mkdir, MNT / "new"), "permfs: changes are refused")
        else:
            print(shown)
        run("umount", MNT)
        run("mount", "-t", kind, f"/dev/{disk}", MNT)
        good = all((MNT / name).read_bytes()[BLOCK:] == b"0" * (65536 - BLOCK) for name in ("one", "other"))
        verdict(good and not errno_of(fsync_path, MNT / "one"), f"{kind}: is whole after a mount")
        run("umount", MNT)


def main():
    mode, *rest = sys.argv[1:]
    if mode == "count":
        count(rest)
    elif mode == "cut":
        for kind in KINDS:
            cuts.cut(kind, *rest, prepare=lambda: settle(["settled"]), cases=list(cases()))
    elif mode == "failed":
        disk = failing_disk()
        failed_write(*disk)
        failed_flush(*disk)
    else:
        sys.exit(__doc__)
    return cuts.status()


sys.exit(main())
