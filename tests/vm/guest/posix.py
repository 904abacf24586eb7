#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What POSIX and Linux promise of names and attributes, checked on the folder given as the only argument."""

import ctypes
import errno
import os
import stat
import sys
import time

from promises import fails, get, put, run

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def rename2(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


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
    # What other checks have left in memory has its blocks now.
    os.sync()
    before = os.statvfs(".")
    put("a", b"x" * (4 << 20))
    os.sync()
    after = os.statvfs(".")
    assert before.f_bsize == 4096 and before.f_namemax == 255
    assert before.f_bfree - after.f_bfree >= 1024
    os.unlink("a")
    os.sync()
    assert before.f_bfree - os.statvfs(".").f_bfree < 64


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


def many_files_in_many_directories():
    for d in range(20):
        os.makedirs(f"t/{d}")
        for i in range(40):
            put(f"t/{d}/{i}", f"{d} {i}".encode() * (i + 1))
    for d in range(20):
        for i in range(40):
            assert get(f"t/{d}/{i}") == f"{d} {i}".encode() * (i + 1)


sys.exit(run([
    names_are_created_looked_up_and_removed,
    directories_count_their_links,
    hard_links_share_an_inode,
    symlinks_hold_any_target,
    rename_moves_and_replaces,
    rename_of_a_directory_moves_its_parent,
    rename_flags,
    an_open_file_outlives_its_name,
    readdir_gives_every_name_once_while_others_go,
    times_follow_the_rules,
    owner_and_mode_are_kept,
    special_files_are_kept,
    statfs_tells_space,
    names_are_bytes,
    deep_paths,
    a_replaced_file_lives_on_for_who_has_it_open,
    a_removed_directory_takes_no_names,
    unlinking_while_listing_ends,
    many_files_in_many_directories,
]))
