#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What POSIX and Linux promise of a filesystem, checked on the folder given as the only argument.

Every check is a function named by what must hold; a failed assertion says where. The closing line counts.
"""

import ctypes
import errno
import mmap
import os
import shutil
import signal
import stat
import sys
import time
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
SEEK_DATA, SEEK_HOLE = 3, 4


def rename2(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def fails(number, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as e:
        assert e.errno == number, f"{errno.errorcode.get(e.errno)} instead of {errno.errorcode[number]}"
    else:
        raise AssertionError(f"succeeded instead of {errno.errorcode[number]}")


def put(path, data=b"x"):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def cold(path):
    """What the device holds of the file: what is in memory is written and dropped first."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return get(path)


def names_are_created_looked_up_and_removed():
    put("a")
    assert os.path.isfile("a") and os.listdir(".") == ["a"]
    fails(errno.EEXIST, os.open, "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.unlink("a")
    fails(errno.ENOENT, os.stat, "a")
    fails(errno.ENAMETOOLONG, put, "n" * 256)
    put("n" * 255)
    assert os.listdir(".") == ["n" * 255]


def directories_count_their_links():
    os.mkdir("d")
    base = os.stat(".").st_nlink
    assert os.stat("d").st_nlink == 2
    os.mkdir("d/e")
    assert os.stat("d").st_nlink == 3
    fails(errno.ENOTEMPTY, os.rmdir, "d")
    fails(errno.EISDIR, os.unlink, "d")
    os.rmdir("d/e")
    assert os.stat("d").st_nlink == 2
    os.rmdir("d")
    assert os.stat(".").st_nlink == base - 1
    put("f")
    fails(errno.ENOTDIR, os.rmdir, "f")


def hard_links_share_an_inode():
    put("a", b"one")
    os.link("a", "b")
    assert os.stat("a").st_ino == os.stat("b").st_ino and os.stat("a").st_nlink == 2
    with open("b", "ab") as f:
        f.write(b" two")
    assert get("a") == b"one two"
    os.unlink("a")
    assert os.stat("b").st_nlink == 1 and get("b") == b"one two"
    os.mkdir("d")
    fails(errno.EPERM, os.link, "d", "e")


def symlinks_hold_any_target():
    for length in (1, 60, 1023, 1024, 1025, 4000, 4095):
        target = ("t" * 100 + "/") * 41
        target = target[:length]
        os.symlink(target, f"s{length}")
        assert os.readlink(f"s{length}") == target, length
        assert os.lstat(f"s{length}").st_size == length
    put("real", b"data")
    os.symlink("real", "short")
    assert get("short") == b"data"


def rename_moves_and_replaces():
    put("a", b"a")
    put("b", b"b")
    os.rename("a", "b")
    assert get("b") == b"a" and not os.path.exists("a")
    os.mkdir("d")
    os.mkdir("e")
    put("e/x")
    fails(errno.ENOTEMPTY, os.rename, "d", "e")
    os.unlink("e/x")
    os.rename("d", "e")
    assert os.path.isdir("e") and not os.path.exists("d")
    fails(errno.EISDIR, os.rename, "b", "e")
    fails(errno.ENOTDIR, os.rename, "e", "b")
    fails(errno.EINVAL, os.rename, "e", "e/f")
    os.link("b", "c")
    os.rename("b", "c")
    assert os.path.exists("b") and os.path.exists("c"), "two links to one inode: nothing happens"


def rename_of_a_directory_moves_its_parent():
    os.makedirs("p/d")
    os.mkdir("q")
    os.rename("p/d", "q/d")
    assert os.stat("q/d/..").st_ino == os.stat("q").st_ino
    assert os.stat("p").st_nlink == 2 and os.stat("q").st_nlink == 3


def rename_flags():
    put("a", b"a")
    put("b", b"b")
    fails(errno.EEXIST, rename2, "a", "b", RENAME_NOREPLACE)
    rename2("a", "c", RENAME_NOREPLACE)
    rename2("b", "c", RENAME_EXCHANGE)
    assert get("b") == b"a" and get("c") == b"b"
    os.makedirs("d/sub")
    rename2("b", "d", RENAME_EXCHANGE)
    assert os.path.isdir("b/sub") and get("d") == b"a"
    fails(errno.ENOENT, rename2, "b", "none", RENAME_EXCHANGE)


def an_open_file_outlives_its_name():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"kept" * 5000)
    os.unlink("a")
    assert os.fstat(fd).st_nlink == 0
    os.fsync(fd)
    assert os.pread(fd, 8, 19992) == b"keptkept"
    os.write(fd, b"more")
    os.close(fd)


def readdir_gives_every_name_once_while_others_go():
    os.mkdir("d")
    for i in range(1500):
        put(f"d/file-{i:04}")
    seen = []
    with os.scandir("d") as entries:
        for n, entry in enumerate(entries):
            seen.append(entry.name)
            if n == 300:
                for i in range(0, 1500, 3):
                    os.unlink(f"d/file-{i:04}")
    assert len(seen) == len(set(seen)), "a name came twice"
    left = {f"file-{i:04}" for i in range(1500) if i % 3}
    assert left <= set(seen), "a name that stayed was not seen"
    assert set(os.listdir("d")) == left


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


def times_follow_the_rules():
    put("a")
    first = os.stat("a")
    parent = os.stat(".").st_mtime_ns
    time.sleep(0.02)
    put("a", b"new")
    second = os.stat("a")
    assert second.st_mtime_ns > first.st_mtime_ns and second.st_ctime_ns > first.st_ctime_ns
    assert os.stat(".").st_mtime_ns == parent, "rewriting a file is no change of its directory"
    os.chmod("a", 0o600)
    assert os.stat("a").st_mtime_ns == second.st_mtime_ns
    os.utime("a", ns=(1_000_000_001, 2_000_000_003))
    assert (os.stat("a").st_atime_ns, os.stat("a").st_mtime_ns) == (1_000_000_001, 2_000_000_003)
    os.utime("a", ns=(-1_000_000_000, 4_000_000_000_000_000_007))
    assert os.stat("a").st_mtime_ns == 4_000_000_000_000_000_007
    put("b")
    assert os.stat(".").st_mtime_ns > parent


def owner_and_mode_are_kept():
    put("a")
    os.chmod("a", 0o4751)
    assert stat.S_IMODE(os.stat("a").st_mode) == 0o4751
    os.chown("a", 12345, 54321)
    st = os.stat("a")
    assert (st.st_uid, st.st_gid) == (12345, 54321)
    os.mkdir("g")
    os.chown("g", 0, 777)
    os.chmod("g", 0o2775)
    put("g/f")
    os.mkdir("g/d")
    assert os.stat("g/f").st_gid == 777 and os.stat("g/d").st_mode & stat.S_ISGID


def special_files_are_kept():
    os.mkfifo("fifo")
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod("sock", stat.S_IFSOCK | 0o600)
    assert stat.S_ISFIFO(os.stat("fifo").st_mode) and stat.S_ISSOCK(os.stat("sock").st_mode)
    assert os.stat("null").st_rdev == os.makedev(1, 3)
    put("null", b"gone")
    assert get("null") == b""


def statfs_tells_space():
    before = os.statvfs(".")
    put("a", b"x" * (4 << 20))
    os.sync()
    after = os.statvfs(".")
    assert before.f_bsize == 4096 and before.f_namemax == 255
    assert before.f_bfree - after.f_bfree >= 1024
    os.unlink("a")
    os.sync()
    assert before.f_bfree - os.statvfs(".").f_bfree < 64


def sizes_have_a_limit():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    for call in (lambda: os.pwrite(fd, b"x", (1 << 63) - 2), lambda: os.ftruncate(fd, (1 << 63) - 1)):
        fails(errno.EFBIG, call)
    fails(errno.ENXIO, os.lseek, fd, 0, SEEK_DATA)
    assert os.fstat(fd).st_size == 0
    os.close(fd)


def names_are_bytes():
    names = [bytes([b]) for b in range(1, 256) if b not in b"./"] + [b"\xff" * 255, b"...", b"-" * 200]
    for name in names:
        put(b"./" + name, name)
    assert sorted(os.listdir(b".")) == sorted(names)
    for name in names:
        assert get(b"./" + name) == name


def deep_paths():
    os.mkdir("top")
    fd = os.open("top", os.O_RDONLY)
    for n in range(120):
        os.mkdir(f"level-{n}", dir_fd=fd)
        fd, old = os.open(f"level-{n}", os.O_RDONLY, dir_fd=fd), fd
        os.close(old)
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.fsync(fd)
    os.close(fd)
    path = "top/" + "/".join(f"level-{n}" for n in range(120))
    assert os.listdir(path) == ["bottom"]
    os.rename("top", "moved")
    assert os.listdir("moved" + path[3:]) == ["bottom"]


def a_replaced_file_lives_on_for_who_has_it_open():
    put("a", b"old" * 2000)
    put("b", b"new")
    with open("a", "rb") as f:
        os.rename("b", "a")
        os.sync()
        assert f.read() == b"old" * 2000 and os.fstat(f.fileno()).st_nlink == 0
    assert get("a") == b"new"


def a_removed_directory_takes_no_names():
    os.mkdir("d")
    fd = os.open("d", os.O_RDONLY)
    os.rmdir("d")
    fails(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    fails(errno.ENOENT, os.mkdir, "x", dir_fd=fd)
    assert os.listdir(fd) == []
    os.close(fd)


def unlinking_while_listing_ends():
    for i in range(3000):
        os.close(os.open(f"{i:04}-{'x' * (i % 50)}", os.O_CREAT | os.O_WRONLY))
    rounds = 0
    while names := os.listdir("."):
        for name in names[:1000]:
            os.unlink(name)
        rounds += 1
    assert rounds == 3


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


def many_files_in_many_directories():
    for d in range(20):
        os.makedirs(f"t/{d}")
        for i in range(40):
            put(f"t/{d}/{i}", f"{d} {i}".encode() * (i + 1))
    for d in range(20):
        for i in range(40):
            assert get(f"t/{d}/{i}") == f"{d} {i}".encode() * (i + 1)


CHECKS = [f for f in list(globals().values())
          if callable(f) and getattr(f, "__module__", "") == "__main__"
          and f.__name__ not in ("rename2", "fails", "put", "get", "cold", "main")]


def main():
    root = os.path.abspath(sys.argv[1])
    passed = failed = 0
    for check in CHECKS:
        folder = os.path.join(root, check.__name__)
        os.mkdir(folder)
        os.chdir(folder)
        try:
            check()
            passed += 1
        except Exception:
            failed += 1
            print(f"FAIL: {check.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
