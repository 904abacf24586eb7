# SPDX-License-Identifier: GPL-2.0
"""Reported of data: what databases, mappings and copies rely on."""

import mmap
import os
import random
import sqlite3
import subprocess

from cases import LIBC, case, expect, put, sync_folder, syscall

SYS_FALLOCATE = 285


def value(i):
    return bytes([i]) * (i * 37 % 3000)


def databases():
    """A connection for each way in which SQLite makes a commit durable."""
    for name, mode, mapped in (("wal", "WAL", 0), ("rollback", "DELETE", 0), ("persist", "PERSIST", 0), ("mapped", "WAL", 1 << 24)):
        db = sqlite3.connect(f"{name}.db", isolation_level=None)
        for pragma in (f"journal_mode={mode}", "synchronous=FULL", f"mmap_size={mapped}"):
            db.execute(f"pragma {pragma}")
        yield name, db


@case("a database has every transaction that it acknowledged, after a cut")
def transactions_survive(volume):
    last, open_ones = {}, list(databases())
    for name, db in open_ones:
        db.execute("create table t (id integer primary key, v blob)")
        for i in range(40):
            db.execute("begin")
            db.execute("insert into t values (?, ?)", (i, value(i)))
            if i % 7 == 6:
                db.execute("delete from t where id = ?", (i - 3,))
            db.execute("commit")
            last[name] = i
    volume.cut()
    for _, db in open_ones:
        try:
            db.close()
        except sqlite3.Error:
            pass  # It closes a disk that is gone.
    volume.remount()
    for name, db in databases():
        check = db.execute("pragma integrity_check").fetchone()[0]
        want = {i: value(i) for i in range(last[name] + 1) if i % 7 != 3 or i + 3 > last[name]}
        rows = dict(db.execute("select id, v from t"))
        db.close()
        expect(check == "ok" and rows == want, f"{name}: {check}, {len(rows)} rows, {len(want)} acknowledged")


@case("what msync or fdatasync covered of a sparse mapping is there after a cut")
def mapped_writes(volume):
    size, rng = 4 << 20, random.Random(1)
    files = []
    for name in ("msync", "fdatasync"):
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(fd, size)
        os.fsync(fd)
        files.append((name, fd, mmap.mmap(fd, size), bytearray(size)))
    sync_folder()
    for _ in range(40):
        at = rng.randrange(size - 9000)
        data = rng.randbytes(rng.randrange(1, 9000))
        for _, _, mapping, shadow in files:
            mapping[at:at + len(data)] = shadow[at:at + len(data)] = data
    files[0][2].flush()
    os.fdatasync(files[1][1])
    volume.cut()
    for _, fd, mapping, _ in files:
        mapping.close()
        os.close(fd)
    volume.remount()
    for name, _, _, shadow in files:
        have = open(name, "rb").read()
        expect(len(have) == size, f"{name}: {len(have)} bytes of {size}")
        wrong = next((i for i in range(size) if have[i] != shadow[i]), None) if have != shadow else None
        expect(wrong is None, f"{name}: byte {wrong} is not what was synced")


def copies(number):
    rng = random.Random(number)
    os.mkdir(str(number))
    for turn in range(12):
        path = f"{number}/{turn}"
        model = bytearray(rng.randrange(1, 600_000))
        with open(path, "w+b", buffering=0) as f:
            f.truncate(len(model))
            for _ in range(rng.randrange(1, 12)):
                at = rng.randrange(len(model))
                data = rng.randbytes(min(rng.randrange(1, 70_000), len(model) - at))
                os.pwrite(f.fileno(), data, at)
                model[at:at + len(data)] = data
                if rng.random() < 0.2:
                    LIBC.sync_file_range(f.fileno(), 0, 0, 2)
        how = rng.choice(("--sparse=auto", "--sparse=always", "--reflink=never"))
        subprocess.run(("cp", how, path, path + ".copy"), check=True)
        if open(path + ".copy", "rb").read() != model:
            print(f"cp {how} {path} made another file of it", flush=True)
            return 1
        os.unlink(path + ".copy")
    return 0


@case("cp, which looks for holes, copies files that are still in memory as they are")
def copies_of_fresh_files(volume):
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = copies(number)
            finally:
                os._exit(status)
        children.append(pid)
    wrong = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
    expect(wrong == 0, f"{wrong} of 3 processes found a copy that differs")


@case("preadv2 with RWF_NOWAIT reads what is cached, and direct I/O with it gives data or EAGAIN", lacks="RWF_NOWAIT")
def reads_that_do_not_wait(volume):
    put("f", b"c" * 65536, sync=True)
    with open("f", "r+b", buffering=0) as f:
        os.pread(f.fileno(), 65536, 0)
        buffer = bytearray(65536)
        got = os.preadv(f.fileno(), [buffer], 0, os.RWF_NOWAIT)
        expect(got == 65536 and buffer == b"c" * 65536, f"{got} bytes of what is cached")
    fd = os.open("f", os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    for call in (os.preadv, os.pwritev):
        try:
            expect(call(fd, [page], 0, os.RWF_NOWAIT) == 4096, f"a short {call.__name__}")
        except BlockingIOError:
            pass
    os.close(fd)


@case("fallocate keeps, takes back and zeroes space", lacks="fallocate")
def preallocation(volume):
    keep_size, punch, zero = 1, 2, 16
    with open("f", "w+b", buffering=0) as f:
        fd = f.fileno()
        syscall(SYS_FALLOCATE, fd, 0, 0, 4 << 20)
        syscall(SYS_FALLOCATE, fd, keep_size, 0, 8 << 20)
        expect(os.fstat(fd).st_size == 4 << 20, f"{os.fstat(fd).st_size} bytes after FALLOC_FL_KEEP_SIZE")
        expect(os.fstat(fd).st_blocks * 512 >= 8 << 20, f"{os.fstat(fd).st_blocks} sectors for 8 MiB")
        os.pwrite(fd, b"x" * 65536, 0)
        os.fsync(fd)
        syscall(SYS_FALLOCATE, fd, keep_size | punch, 8192, 16384)
        syscall(SYS_FALLOCATE, fd, zero, 40960, 4096)
        want = b"x" * 8192 + bytes(16384) + b"x" * 16384 + bytes(4096) + b"x" * 20480
        expect(os.pread(fd, 65536, 0) == want, "what was punched or zeroed is not zero")

