#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: oracle.py CLASS STEPS SEED OPTIONS BESIDE DISK [LOG]: a random sequence of system calls on PermFS, on a disk that somebody logs.

Each call's line, `CLASS NUMBER call arguments = result`, goes to standard output; when the call has returned, the log of the disk gets
its number. Without LOG, DISK is logged below this machine: the number is a write behind the volume, past every cache. With LOG, DISK is
put under dm-log-writes here, which has marks. Neither flushes anything. permfs-oracle reads both (Documentation/oracle.md). With BESIDE (beside, alone) another process works
in a folder of its own meanwhile, of which nothing is told.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import random
import signal
import stat
import struct
import subprocess
import sys
import time

ROOT = "/mnt/oracle/"
VOLUME = 16 << 20
BLOCK = 4096
FOLDERS = ["d", "e", "d/g", "e/g"]
FILES = [f"{folder}{name}" for folder in ("", "d/", "e/", "d/g/") for name in ("a", "b", "c", "s")]
SLOTS = 6
SIZE_MAX = 192 << 10
LIBC = ctypes.CDLL(None, use_errno=True)
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
EXCHANGE, NOREPLACE = 2, 1
OPEN = {"create": os.O_CREAT, "excl": os.O_EXCL, "trunc": os.O_TRUNC, "append": os.O_APPEND, "direct": os.O_DIRECT, "sync": os.O_SYNC,
        "dsync": os.O_DSYNC}
WRITE = {"dsync": os.RWF_DSYNC, "sync": os.RWF_SYNC, "append": os.RWF_APPEND, "uncached": 0x80}


def content(number, length):
    """What call `number` writes: 32 bytes a cell, the call and the cell in it."""
    cells = (b"%015d.%015d\n" % (number, cell) for cell in range(-(-length // 32)))
    return b"".join(cells)[:length]


def called(outcome):
    if outcome:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class BlockMarks:
    """Marks for a log below this machine: direct writes behind the volume."""

    def __init__(self, disk):
        self.fd = os.open(disk, os.O_WRONLY | os.O_DIRECT)
        self.block = mmap.mmap(-1, BLOCK)

    def mark(self, number):
        self.block[:32] = b"permfs-oracle %017d\n" % number
        os.pwrite(self.fd, self.block, VOLUME)


class TargetMarks:
    """Marks for dm-log-writes: a message to the target, by include/uapi/linux/dm-ioctl.h."""

    HEAD = struct.Struct("=3IIIIiIIIQ128s129s7x")
    TARGET_MSG = 0xC138FD0E

    def __init__(self, disk, log):
        subprocess.run(["modprobe", "dm-log-writes"], check=True)
        subprocess.run(["dmsetup", "create", "logged", "--table", f"0 {VOLUME // 512} log-writes {disk} {log}"], check=True)
        self.control = os.open("/dev/mapper/control", os.O_RDWR)

    def mark(self, number):
        text = struct.pack("=Q", 0) + b"mark %d\0" % number
        head = self.HEAD.pack(4, 0, 0, self.HEAD.size + len(text), self.HEAD.size, 0, 0, 0, 0, 0, 0, b"logged", b"")
        fcntl.ioctl(self.control, self.TARGET_MSG, bytearray(head + text))


class Program:
    """One that calls, and keeps what it has open."""

    def __init__(self, rng, sector):
        self.rng, self.sector, self.number = rng, sector, 0
        self.open = {}
        self.maps = {}

    # Arguments.

    def path(self, paths=FILES, there=None):
        """A path; `there`: rather one that is, or is not."""
        for _ in range(6):
            path = self.rng.choice(paths)
            if there is None or os.path.lexists(ROOT + path) == there:
                break
        return path

    def slot(self):
        return self.rng.choice(list(self.open)) if self.open else None

    def span(self, fd, direct):
        """Where a write goes: often at or over the end, often in the middle of a block."""
        unit = (self.sector if self.rng.random() < 0.4 else BLOCK) if direct else 1
        size = os.fstat(fd).st_size
        length = self.rng.choice((1, 100, 512, 4096, 4096, 5000, 16384, 65536))
        at = self.rng.choice((size, self.rng.randrange(SIZE_MAX), self.rng.randrange(max(size, 1)), self.rng.randrange(8) * BLOCK))
        at = min(at, SIZE_MAX - 65536)
        return at // unit * unit, max(unit, length // unit * unit)

    # Calls: each gives its arguments, and what does it.

    def c_open(self):
        words = [w for w, often in (("append", 0.1), ("direct", 0.3), ("sync", 0.08), ("dsync", 0.12), ("trunc", 0.15)) if
                 self.rng.random() < often]
        if self.rng.random() < 0.75:
            words.append("create")
        path, slot = self.path(), self.rng.randrange(SLOTS)
        flags = os.O_RDWR | os.O_NOFOLLOW
        for word in words:
            flags |= OPEN[word]

        def call():
            fd = os.open(ROOT + path, flags, 0o644)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OSError(errno.EINVAL, "not a file")
            self.close(slot)
            self.open[slot] = fd, words

        return f"{slot} {path} {','.join(words) or '-'}", call

    def close(self, slot):
        if slot in self.open:
            if slot in self.maps:
                self.maps.pop(slot).close()
            os.close(self.open.pop(slot)[0])

    def c_close(self):
        slot = self.slot()
        return f"{slot}", lambda: self.close(slot)

    def c_write(self):
        slot = self.slot()
        fd, words = self.open[slot]
        at, length = self.span(fd, "direct" in words)
        how = self.rng.choice(("-", "-", "-", "-", "dsync", "sync", "append", "uncached"))
        if "direct" in words and how in ("append", "uncached"):
            how = "-"
        data = mmap.mmap(-1, length)
        data[:] = content(self.number, length)
        return f"{slot} {at} {length} {how}", lambda: os.pwritev(fd, [data], at, WRITE.get(how, 0))

    def c_store(self):
        """Through a shared mapping, inside the file's size."""
        slot = self.slot()
        fd = self.open[slot][0]
        size = os.fstat(fd).st_size
        at = self.rng.randrange(max(size, 1))
        length = min(self.rng.choice((1, 100, 4096, 20000)), size - at)
        synced = self.rng.random() < 0.4

        def call():
            if not size:
                raise OSError(errno.EINVAL, "empty")
            if slot not in self.maps or len(self.maps[slot]) < size:
                self.maps[slot] = mmap.mmap(fd, size)
            memory = self.maps[slot]
            memory[at:at + length] = content(self.number, length)
            if synced:
                first = at // BLOCK * BLOCK
                memory.flush(first, at + length - first)

        return f"{slot} {at} {length} {'msync' if synced else '-'}", call

    def c_copy(self):
        one, two = self.slot(), self.slot()
        at, length = self.span(self.open[two][0], False)
        start = self.rng.randrange(8) * BLOCK
        return f"{one} {start} {two} {at} {length}", lambda: os.copy_file_range(
            self.open[one][0], self.open[two][0], length, start, at)

    def c_truncate(self):
        slot = self.slot()
        fd = self.open[slot][0]
        size = self.rng.choice((0, self.rng.randrange(SIZE_MAX), self.rng.randrange(os.fstat(fd).st_size + 1), 100, BLOCK))
        return f"{slot} {size}", lambda: os.ftruncate(fd, size)

    def c_fsync(self):
        slot = self.slot()
        return f"{slot}", lambda: os.fsync(self.open[slot][0])

    def c_fdatasync(self):
        slot = self.slot()
        return f"{slot}", lambda: os.fdatasync(self.open[slot][0])

    def c_syncfs(self):
        slot = self.slot()
        return f"{slot}", lambda: called(LIBC.syncfs(self.open[slot][0]))

    def c_sync(self):
        return "", os.sync

    def c_freeze(self):
        def call():
            fd = os.open(ROOT, os.O_RDONLY)
            try:
                fcntl.ioctl(fd, FIFREEZE, 0)
                fcntl.ioctl(fd, FITHAW, 0)
            finally:
                os.close(fd)

        return "", call

    def c_range(self):
        """sync_file_range, which promises nothing."""
        slot = self.slot()
        at, flags = self.rng.randrange(SIZE_MAX), self.rng.choice((2, 7))
        return f"{slot} {at} {flags}", lambda: called(LIBC.sync_file_range(
            ctypes.c_int(self.open[slot][0]), ctypes.c_long(at), ctypes.c_long(65536), ctypes.c_uint(flags)))

    def c_fsyncdir(self):
        path = self.rng.choice([".", *FOLDERS])

        def call():
            fd = os.open(ROOT + path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

        return path, call

    def c_rename(self):
        paths = FILES if self.rng.random() < 0.8 else FOLDERS
        one, two = self.path(paths, True), self.path(paths)
        how = self.rng.choice((0, 0, 0, NOREPLACE, EXCHANGE))
        return f"{one} {two} {how}", lambda: called(LIBC.renameat2(
            -100, (ROOT + one).encode(), -100, (ROOT + two).encode(), ctypes.c_uint(how)))

    def c_link(self):
        one, two = self.path(there=True), self.path(there=False)
        return f"{one} {two}", lambda: os.link(ROOT + one, ROOT + two, follow_symlinks=False)

    def c_symlink(self):
        path = self.path(there=False)
        target = "x" * self.rng.choice((1, 60, 3000))
        return f"{path} {len(target)}", lambda: os.symlink(target, ROOT + path)

    def c_mkfifo(self):
        path = self.path(there=False)
        return path, lambda: os.mkfifo(ROOT + path, 0o600)

    def c_unlink(self):
        path = self.path(there=True)
        return path, lambda: os.unlink(ROOT + path)

    def c_mkdir(self):
        path = self.path(FOLDERS, False)
        return path, lambda: os.mkdir(ROOT + path, 0o755)

    def c_rmdir(self):
        path = self.path(FOLDERS, True)
        return path, lambda: os.rmdir(ROOT + path)

    def c_chmod(self):
        path, mode = self.path(there=True), self.rng.randrange(0o1000)

        def call():
            if os.path.islink(ROOT + path):
                raise OSError(errno.EINVAL, "a link")
            os.chmod(ROOT + path, mode)

        return f"{path} {mode}", call

    def c_idle(self):
        """Long enough for what writes back by itself."""
        return "", lambda: time.sleep(self.rng.choice((0.02, 0.2)))

    def c_forget(self):
        """What is clean is read again."""
        return "", lambda: pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")

    WEIGHTS = {"open": 16, "close": 3, "write": 26, "store": 7, "copy": 2, "truncate": 7, "fsync": 6, "fdatasync": 5, "syncfs": 1, "sync": 1,
               "freeze": 1, "range": 4, "fsyncdir": 3, "rename": 8, "link": 3, "symlink": 2, "mkfifo": 1, "unlink": 4, "mkdir": 5,
               "rmdir": 2, "chmod": 2, "idle": 3, "forget": 1}
    NEED_SLOT = {"close", "write", "store", "copy", "truncate", "fsync", "fdatasync", "syncfs", "range"}

    def step(self):
        """One call: its line for the journal."""
        self.number += 1
        name = self.rng.choices(list(self.WEIGHTS), self.WEIGHTS.values())[0]
        if name in self.NEED_SLOT and not self.open:
            name = "open"
        arguments, call = getattr(self, f"c_{name}")()
        return f"{name} {arguments}".rstrip(), self.result(call)

    @staticmethod
    def result(call):
        try:
            value = call()
        except OSError as error:
            return errno.errorcode[error.errno]
        return "ok" if value is None else str(value)


def work_beside(rng):
    """What keeps the log and the disk busy, until it is killed."""
    while True:
        one, two = (f"{ROOT}beside/{rng.randrange(8)}" for _ in range(2))
        fd = os.open(one, os.O_RDWR | os.O_CREAT | rng.choice((0, 0, os.O_TRUNC, os.O_DSYNC)), 0o644)
        os.pwrite(fd, b"beside" * rng.choice((1, 1000, 5000)), rng.randrange(1 << 17))
        if rng.random() < 0.3:
            os.fsync(fd)
        os.close(fd)
        if rng.random() < 0.3:
            os.rename(one, two)
        elif rng.random() < 0.3:
            os.unlink(one)
        time.sleep(0.005)


def begin_beside(seed):
    os.mkdir(f"{ROOT}beside", 0o755)
    os.sync()
    child = os.fork()
    if not child:
        try:
            work_beside(random.Random(seed))
        finally:
            os._exit(1)
    return child


def main():
    label, steps, seed, options, beside, disk, *log = sys.argv[1:]
    marks = TargetMarks(disk, *log) if log else BlockMarks(disk)
    device = "/dev/mapper/logged" if log else disk
    # What is written back by itself is, between the calls of a run that takes a minute.
    for name, value in (("dirty_writeback_centisecs", 10), ("dirty_expire_centisecs", 20)):
        pathlib.Path(f"/proc/sys/vm/{name}").write_text(str(value))
    os.umask(0)
    subprocess.run(["mkfs.permfs", "-qfK", "--size", f"{VOLUME >> 20}M", "--journal-size", "512K", device], check=True)
    os.makedirs(ROOT, exist_ok=True)
    subprocess.run(["mount", "-t", "permfs", "-o", options, device, ROOT], check=True)
    sector = int(subprocess.check_output(["blockdev", "--getss", device]))
    program = Program(random.Random(f"{seed} {label}"), sector)
    lines = [f"{label} 0 mount {options} {beside} = ok"]
    child = begin_beside(seed) if beside == "beside" else None
    marks.mark(0)
    for _ in range(int(steps)):
        text, result = program.step()
        lines.append(f"{label} {program.number} {text} = {result}")
        marks.mark(program.number)
    for slot in list(program.open):
        program.close(slot)
    if child:
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            sys.exit("what worked beside has ended by itself")
    subprocess.run(["umount", ROOT], check=True)
    lines.append(f"{label} {program.number + 1} umount = ok")
    marks.mark(program.number + 1)
    if log:
        subprocess.run(["dmsetup", "remove", "logged"], check=True)
    print("\n".join(lines), flush=True)


main()
