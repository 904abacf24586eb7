#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What POSIX and Linux promise of the contents of files, checked on the folder given as the only argument."""

import errno
import mmap
import os
import shutil
import signal
import sys

from promises import cold, fails, get, put, run

SEEK_DATA, SEEK_HOLE = 3, 4


def truncate_cuts_and_extends_with_zeros():
    put("a", b"x" * 10000)
    os.truncate("a", 5000)
    assert cold("a") == b"x" * 5000
    os.truncate("a", 9000)
    assert get("a") == b"x" * 5000 + bytes(4000) and cold("a") == b"x" * 5000 + bytes(4000)
    os.truncate("a", 0)
    assert get("a") == b"" and os.stat("a").st_blocks == 0
    os.truncate("a", 1 << 40)
    assert os.stat("a").st_size == 1 << 40 and os.stat("a").st_blocks == 0


def holes_are_zero_and_cost_nothing():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"end", 1 << 20)
    os.fsync(fd)
    assert os.pread(fd, 4096, 4096) == bytes(4096)
    assert os.fstat(fd).st_blocks <= 16
    assert os.lseek(fd, 0, SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 0, SEEK_HOLE) == 0
    os.pwrite(fd, b"start", 0)
    assert os.lseek(fd, 0, SEEK_HOLE) == 4096
    os.close(fd)


def a_gap_behind_the_end_reads_as_zeros():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"y" * 100)
    os.fsync(fd)
    os.pwrite(fd, b"z", 3000)
    os.pwrite(fd, b"z", 9000)
    os.fsync(fd)
    want = b"y" * 100 + bytes(2900) + b"z" + bytes(5999) + b"z"
    assert os.pread(fd, 10000, 0) == want and cold("a") == want
    os.close(fd)


def append_mode_appends():
    put("a", b"0")
    one = os.open("a", os.O_WRONLY | os.O_APPEND)
    two = os.open("a", os.O_WRONLY | os.O_APPEND)
    for i in range(50):
        os.write(one, b"1" * 100)
        os.write(two, b"2" * 100)
    os.close(one)
    os.close(two)
    assert get("a") == b"0" + (b"1" * 100 + b"2" * 100) * 50 == cold("a")


def mmap_writes_reach_the_file():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 1 << 20)
    with mmap.mmap(fd, 1 << 20) as m:
        m[5000:5004] = b"mmap"
        m[(1 << 20) - 4:] = b"last"
        m.flush()
    assert os.pread(fd, 4, 5000) == b"mmap" and os.pread(fd, 4, (1 << 20) - 4) == b"last"
    os.close(fd)


def a_mapping_ends_with_the_file():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"m" * 8192)
    with mmap.mmap(fd, 8192) as m:
        os.ftruncate(fd, 6000)
        m[6000:8192] = b"!" * 2192  # behind the end, in its page: allowed, and never the file's
        m.flush()
        os.ftruncate(fd, 5000)
        os.ftruncate(fd, 8192)
        assert m[4990:5010] == b"m" * 10 + bytes(10) and m[6000:8192] == bytes(2192)
        m[8191:8192] = b"e"
    os.close(fd)
    assert cold("a") == b"m" * 5000 + bytes(3191) + b"e"
    child = os.fork()
    if child == 0:
        with open("a", "r+b") as f, mmap.mmap(f.fileno(), 8192) as m:
            os.ftruncate(f.fileno(), 0)
            m[5000]
        os._exit(0)
    assert os.waitpid(child, 0)[1] & 127 == signal.SIGBUS


def a_private_mapping_is_private():
    put("a", b"p" * 4096)
    with open("a", "r+b") as f, mmap.mmap(f.fileno(), 4096, access=mmap.ACCESS_COPY) as m:
        m[:4] = b"mine"
        assert m[:6] == b"minepp"
    assert cold("a") == b"p" * 4096


def direct_io_at_the_end_and_in_holes():
    page = mmap.mmap(-1, 4096)
    fd = os.open("a", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    os.ftruncate(fd, 10000)
    page.write(b"!" * 4096)
    assert os.preadv(fd, [page], 8192) == 1808 and page[:1808] == bytes(1808)
    assert os.preadv(fd, [page], 12288) == 0
    page[:] = b"d" * 4096
    assert os.pwrite(fd, page, 4096) == 4096
    os.close(fd)
    assert get("a") == bytes(4096) + b"d" * 4096 + bytes(1808)
    assert os.stat("a").st_blocks == 8


def direct_writes_and_buffered_reads_at_once():
    size = 1 << 20
    put("a", b"0" * size)
    child = os.fork()
    if child == 0:
        fd = os.open("a", os.O_RDWR | os.O_DIRECT)
        page = mmap.mmap(-1, 65536)
        for n in range(1, 10):
            page[:] = b"%d" % n * 65536
            for at in range(0, size, 65536):
                os.pwrite(fd, page, at)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        data = get("a")
        assert len(data) == size
        for at in range(0, size, 4096):
            assert len(set(data[at:at + 4096])) == 1, "a torn page"
    assert get("a") == b"9" * size


def direct_io_and_the_page_cache_agree():
    page = mmap.mmap(-1, 8192)
    page.write(b"d" * 8192)
    fd = os.open("a", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    assert os.pwrite(fd, page, 0) == 8192
    assert os.pwrite(fd, page, 1 << 20) == 8192
    assert get("a")[:8192] == b"d" * 8192 and len(get("a")) == (1 << 20) + 8192
    with open("a", "r+b") as f:
        f.seek(4096)
        f.write(b"buffered")
    os.preadv(fd, [page], 0)
    assert page[4096:4104] == b"buffered"
    fails(errno.EINVAL, os.pwrite, fd, b"odd", 1)
    os.close(fd)


def a_direct_write_that_is_refused_has_written_nothing():
    # Its first block is in the file, and its last sector is none.
    page = mmap.mmap(-1, 8192)
    page.write(b"n" * 8192)
    put("a", b"o" * 4096)
    fd = os.open("a", os.O_RDWR | os.O_DIRECT)
    os.fsync(fd)
    fails(errno.EINVAL, os.pwrite, fd, memoryview(page)[:5000], 0)
    os.close(fd)
    assert cold("a") == b"o" * 4096


def sync_flags_are_taken():
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open("a", os.O_CREAT | os.O_WRONLY | flag)
        os.write(fd, b"s" * 5000)
        os.close(fd)
    assert len(get("a")) == 5000
    os.sync()


def sizes_have_a_limit():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    for call in (lambda: os.pwrite(fd, b"x", (1 << 63) - 2), lambda: os.ftruncate(fd, (1 << 63) - 1)):
        fails(errno.EFBIG, call)
    fails(errno.ENXIO, os.lseek, fd, 0, SEEK_DATA)
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def data_is_copied_in_the_kernel():
    data = os.urandom(300000)
    put("a", data)
    with open("a", "rb") as f, open("b", "wb") as g, open("c", "wb") as h:
        assert os.copy_file_range(f.fileno(), g.fileno(), len(data)) > 0
        at = 0
        while at < len(data):
            at += os.sendfile(h.fileno(), f.fileno(), at, len(data) - at)
    assert data.startswith(get("b")) and get("c") == data


def programs_run():
    put("sh", b"#!/bin/sh\nexit 7\n")
    os.chmod("sh", 0o755)
    assert os.waitstatus_to_exitcode(os.system("./sh")) == 7
    shutil.copy("/bin/true", "true")
    assert os.system("./true") == 0
    os.chmod("true", 0o644)


def appenders_do_not_overwrite_each_other():
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            fd = os.open("a", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            for _ in range(200):
                os.write(fd, b"%d" % number * 99 + b"\n")
            os._exit(0)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    lines = cold("a").split(b"\n")[:-1]
    assert len(lines) == 800 and all(len(line) == 99 and len(set(line)) == 1 for line in lines)


sys.exit(run([
    truncate_cuts_and_extends_with_zeros,
    holes_are_zero_and_cost_nothing,
    a_gap_behind_the_end_reads_as_zeros,
    append_mode_appends,
    mmap_writes_reach_the_file,
    a_mapping_ends_with_the_file,
    a_private_mapping_is_private,
    direct_io_at_the_end_and_in_holes,
    direct_writes_and_buffered_reads_at_once,
    direct_io_and_the_page_cache_agree,
    sync_flags_are_taken,
    sizes_have_a_limit,
    data_is_copied_in_the_kernel,
    programs_run,
    appenders_do_not_overwrite_each_other,
]))
