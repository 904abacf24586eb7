#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: differential.py STEPS SEED FS=DISK...: one random sequence of system calls on several filesystems at once.

The first FS is judged by the others. After every step: the same result or errno; at the end and after a remount: the same
names, modes, sizes, link counts and contents. Each sync that follows a write sends the first disk at least as many
flushes as the least that a peer's disk got. Only what POSIX fixes is compared: no block counts, no directory sizes.
"""

import errno
import hashlib
import mmap
import os
import random
import stat
import subprocess
import sys

FOLDERS = ["d", "e"]
FILES = [f"{folder}{name}" for folder in ("", "d/", "e/") for name in ("a", "b", "c", "s")]
MAX = 1 << 20
BLOCK = 4096
MKFS = {"permfs": ["mkfs.permfs", "-q"], "ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
SYNCS = ("fsync", "fdatasync", "sync", "o_sync", "o_dsync", "msync")


def flushes(disk):
    # Documentation/block/stat.rst: flush I/O is the 16th field.
    with open(f"/sys/block/{disk}/stat", encoding="ascii") as file:
        return int(file.read().split()[15])


def aligned(data):
    """The data in memory that O_DIRECT takes."""
    buffer = mmap.mmap(-1, len(data))
    buffer[:] = data
    return buffer


def opened(path, flags, work):
    fd = os.open(path, flags, 0o644)
    try:
        return work(fd)
    finally:
        os.close(fd)


def mapped(fd, at, data):
    """Stores through a shared mapping, inside the file's size, and msync."""
    size = os.fstat(fd).st_size
    data = data[:max(0, size - at)]
    if not data:
        return 0
    with mmap.mmap(fd, size) as memory:
        memory[at:at + len(data)] = data
        memory.flush()
    return len(data)


def written(fd, at, data, sync=None):
    count = os.pwrite(fd, data, at)
    if sync:
        sync(fd)
    return count


def draw(rng):
    """(name, function of a root): a step, the same on every filesystem."""
    one, two = rng.choice(FILES), rng.choice(FILES)
    folder = rng.choice(FOLDERS)
    at, size, seed = rng.randrange(MAX), rng.choice((1, 100, 511, 4096, 5000, 65536)), rng.randrange(256)
    # Few, so that most are overwritten: such a write changes no map, and its flush depends on nothing else.
    block = rng.randrange(4) * BLOCK
    data = random.Random(seed).randbytes(size)
    page = random.Random(seed).randbytes(BLOCK)
    create = os.O_RDWR | os.O_CREAT
    calls = {
        "create": lambda r: opened(r + one, create | os.O_EXCL, lambda fd: 0),
        "replace": lambda r: opened(r + one, create | os.O_TRUNC, lambda fd: written(fd, 0, data)),
        "write": lambda r: opened(r + one, create, lambda fd: written(fd, at, data)),
        "append": lambda r: opened(r + one, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, data)),
        "direct": lambda r: opened(r + one, create | os.O_DIRECT, lambda fd: written(fd, block, aligned(page))),
        "fsync": lambda r: opened(r + one, create | os.O_DIRECT, lambda fd: written(fd, block, aligned(page), os.fsync)),
        "fdatasync": lambda r: opened(r + one, create, lambda fd: written(fd, at, data, os.fdatasync)),
        "sync": lambda r: opened(r + one, create, lambda fd: written(fd, at, data, lambda _: os.sync())),
        "o_sync": lambda r: opened(r + one, create | os.O_SYNC, lambda fd: written(fd, at, data)),
        "o_dsync": lambda r: opened(r + one, create | os.O_DSYNC | os.O_DIRECT, lambda fd: written(fd, block, aligned(page))),
        "msync": lambda r: opened(r + one, os.O_RDWR, lambda fd: mapped(fd, at, data)),
        "truncate": lambda r: os.truncate(r + one, at),
        "chmod": lambda r: os.chmod(r + one, 0o600 | seed & 0o77) if not os.path.islink(r + one) else 0,
        "rename": lambda r: os.rename(r + one, r + two),
        "rename folder": lambda r: os.rename(r + folder, r + two),
        "link": lambda r: os.link(r + one, r + two, follow_symlinks=False),
        "unlink": lambda r: os.unlink(r + one),
        "symlink": lambda r: os.symlink("a", r + one),
        "mkdir": lambda r: os.mkdir(r + folder),
        "rmdir": lambda r: os.rmdir(r + folder),
        "read": lambda r: opened(r + one, os.O_RDONLY, lambda fd: hashlib.sha1(os.pread(fd, size, at)).hexdigest()),
    }
    name = rng.choice(list(calls))
    return f"{name} {one} {two} {folder} at={at} block={block} size={size}", name, calls[name]


def result(call, root):
    try:
        return call(root)
    except OSError as error:
        return errno.errorcode[error.errno]


def picture(root):
    """What POSIX fixes of every name below the root."""
    seen = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            if path == root + "lost+found":
                continue
            st = os.lstat(path)
            what = [oct(st.st_mode), st.st_nlink]
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what += [st.st_size, hashlib.sha1(file.read()).hexdigest()]
            elif stat.S_ISLNK(st.st_mode):
                what += [st.st_size, os.readlink(path)]
            seen[path[len(root):]] = what
    return seen


def same(what, answers, faults):
    """The first filesystem is judged: where its peers differ (POSIX lets a folder that is not empty be ENOTEMPTY or EEXIST), it may be like
    either."""
    first, *peers = answers.values()
    if first not in peers:
        faults.append(f"{what}: {answers}")


def differences(what, pictures, faults):
    for name in sorted(set().union(*pictures.values())):
        same(f"{what}: {name}", {fs: seen.get(name) for fs, seen in pictures.items()}, faults)


def main():
    steps, seed = int(sys.argv[1]), int(sys.argv[2])
    disks = dict(pair.split("=") for pair in sys.argv[3:])
    roots = {fs: f"/mnt/{fs}/" for fs in disks}
    for fs, disk in disks.items():
        subprocess.run([*MKFS[fs], f"/dev/{disk}"], check=True)
        os.makedirs(roots[fs])
        subprocess.run(["mount", "-t", fs, f"/dev/{disk}", roots[fs]], check=True)
    rng, faults, done, compared = random.Random(seed), [], 0, 0
    for number in range(steps):
        text, name, call = draw(rng)
        answers, sent = {}, {}
        # What the step before left in memory is no part of this step's flushes.
        if name in SYNCS:
            os.sync()
        for fs, disk in disks.items():
            before = flushes(disk)
            answers[fs] = result(call, roots[fs])
            sent[fs] = flushes(disk) - before
        same(f"step {number}: {text}", answers, faults)
        good = all(isinstance(a, int) and a > 0 for a in answers.values())
        done += good
        # sync(2) reaches every disk, so a disk's share of it is not to be told from the others'.
        if name in SYNCS and name != "sync" and good:
            compared += 1
            first, *peers = sent.values()
            if first < min(peers):
                faults.append(f"step {number}: {text}: flushes: {sent}")
    differences("at the end", {fs: picture(root) for fs, root in roots.items()}, faults)
    for fs, disk in disks.items():
        subprocess.run(["umount", roots[fs]], check=True)
        subprocess.run(["mount", "-t", fs, f"/dev/{disk}", roots[fs]], check=True)
    differences("after the remount", {fs: picture(root) for fs, root in roots.items()}, faults)
    for root in roots.values():
        subprocess.run(["umount", root], check=True)
    for fault in faults[:20]:
        print("differs:", fault)
    print(f"steps={steps} seed={seed} wrote={done} flushes-compared={compared} differences={len(faults)}")
    return 1 if faults or not compared else 0


sys.exit(main())
