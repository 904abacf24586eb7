#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What POSIX and Linux promise of a filesystem, checked on the folder given as the only argument.

Every check is a function named by what must hold; a failed assertion says where. The closing line counts.
"""

import ctypes
import errno
import mmap
import os
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
    os.truncate("a", 9000)
    assert get("a") == b"x" * 5000 + bytes(4000)
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
    assert os.pread(fd, 10000, 0) == want
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
    assert get("a") == b"0" + (b"1" * 100 + b"2" * 100) * 50


def mmap_writes_reach_the_file():
    fd = os.open("a", os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 1 << 20)
    with mmap.mmap(fd, 1 << 20) as m:
        m[5000:5004] = b"mmap"
        m[(1 << 20) - 4:] = b"last"
        m.flush()
    assert os.pread(fd, 4, 5000) == b"mmap" and os.pread(fd, 4, (1 << 20) - 4) == b"last"
    os.close(fd)


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
          and f.__name__ not in ("rename2", "fails", "put", "get", "main")]


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
