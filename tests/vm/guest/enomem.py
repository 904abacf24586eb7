#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: enomem.py tasks|module DIR SECONDS SEED | verify DIR: work on DIR while the kernel's allocations fail now and then.

tasks: those of this process, whatever for. module: those with permfs.ko on the stack, of any task, so that writeback's and the
journal's threads have their share. Every call may fail with ENOMEM or EIO and with nothing else. What an fsync has acknowledged
is kept on a list beside DIR, and `verify` compares it, after a remount, when nothing fails any more.
"""

import collections
import errno
import json
import mmap
import os
import random
import sys
import time
import traceback

FAULTS = "/sys/kernel/debug"
ALLOWED = (errno.ENOMEM, errno.EIO)
MAX_BLOCKS = 300
# In percent: seldom enough that a call with a few dozen allocations often gets through.
KNOBS = {"failslab": {"ignore_gfp_wait": "N"},
         "fail_page_alloc": {"ignore_gfp_wait": "N", "ignore_gfp_highmem": "N", "min_order": 0}}


def put(path, value):
    """Writes, if need be again and again: that too is a call that may fail."""
    while True:
        try:
            fd = os.open(path, os.O_WRONLY)
            try:
                os.write(fd, str(value).encode())
                return
            finally:
                os.close(fd)
        except (OSError, MemoryError) as e:
            if getattr(e, "errno", errno.ENOMEM) != errno.ENOMEM:
                raise


def knobs(kind, **values):
    for name, value in values.items():
        put(f"{FAULTS}/{kind}/{name.replace('_', '-')}", value)


def text_of_module():
    """Addresses of permfs.ko's code."""
    lines = (line.split() for line in open("/proc/kallsyms"))
    at = [int(words[0], 16) for words in lines if words[1] in "tT" and words[-1] == "[permfs]"]
    return min(at), max(at) + 4096


def begin(whose):
    for kind, more in KNOBS.items():
        knobs(kind, probability=0, interval=1, times=1 << 30, verbose=0, **more)
        if whose == "tasks":
            knobs(kind, task_filter="Y")
        else:
            start, end = text_of_module()
            knobs(kind, task_filter="N", stacktrace_depth=32, require_start=hex(start), require_end=hex(end))
    if whose == "tasks":
        put("/proc/self/make-it-fail", 1)
    for kind in KNOBS:
        knobs(kind, probability=2)


def end():
    """Nothing fails any more; how much did, by kind."""
    put("/proc/self/make-it-fail", 0)
    for kind in KNOBS:
        knobs(kind, probability=0)
    return {kind: (1 << 30) - int(open(f"{FAULTS}/{kind}/times").read()) for kind in KNOBS}


class Work:
    def __init__(self, root, seed):
        self.root, self.rng, self.next = root, random.Random(seed), 0
        self.sure = {}  # name: (seed of the pattern, blocks), acknowledged by an fsync
        self.maybe = set()  # names that may be there
        # Private, and made before anything fails: shared memory is a file of tmpfs, which says ENOSPC for want of memory.
        self.buffer = mmap.mmap(-1, MAX_BLOCKS << 12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.count = collections.Counter()
        self.failed = collections.Counter()

    def path(self, name):
        return os.path.join(self.root, name)

    @staticmethod
    def data(seed, blocks):
        return random.Random(seed).randbytes(4096) * blocks

    def write(self):
        # Old names too, of which some failed to be made: what is there must be found, and what is not must not be in the way.
        name, seed = self.rng.choice([f"f{self.next}", f"f{self.rng.randrange(self.next + 1)}"]), self.next
        self.next += 1
        self.maybe.add(name)
        self.sure.pop(name, None)
        blocks = self.rng.choice((1, 3, 16, 64, MAX_BLOCKS))
        data = self.data(seed, blocks)
        how = self.rng.choice(("buffered", "buffered", "direct", "mapped"))
        fd = os.open(self.path(name), os.O_CREAT | os.O_TRUNC | os.O_RDWR | (os.O_DIRECT if how == "direct" else 0))
        try:
            if how == "mapped":
                os.ftruncate(fd, len(data))
                with mmap.mmap(fd, len(data)) as view:
                    view[:] = data
                    view.flush()
            else:
                self.buffer[:len(data)] = data
                done = 0
                while done < len(data):
                    done += os.pwrite(fd, memoryview(self.buffer)[done:min(done + (16 << 12), len(data))], done)
            os.fsync(fd)
        finally:
            os.close(fd)
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.sure[name] = (seed, blocks)

    def any(self):
        return self.rng.choice(sorted(self.maybe))

    def move(self):
        name, target = self.any(), f"m{self.next}"
        self.next += 1
        known = self.sure.pop(name, None)
        self.maybe.add(target)
        os.rename(self.path(name), self.path(target))
        self.maybe.discard(name)
        if known:
            os.sync()
            self.sure[target] = known

    def remove(self):
        name = self.any()
        self.sure.pop(name, None)
        os.unlink(self.path(name))
        self.maybe.discard(name)

    def folders(self):
        name = self.path(f"d{self.next}")
        self.next += 1
        os.mkdir(name)
        os.symlink("target", name + "/link")
        os.link(name + "/link", name + "/hard")
        assert sorted(os.listdir(name)) == ["hard", "link"]
        for left in ("link", "hard"):
            os.unlink(f"{name}/{left}")
        os.rmdir(name)

    def read(self):
        name = self.any()
        fd = os.open(self.path(name), os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            # A read that meets a failure in the middle is short.
            data = b"".join(iter(lambda: os.read(fd, 1 << 21), b""))
        finally:
            os.close(fd)
        if name in self.sure:
            assert data == self.data(*self.sure[name]), f"{name}: wrong bytes"

    def cut(self):
        name = self.any()
        self.sure.pop(name, None)
        os.truncate(self.path(name), self.rng.randrange(1 << 16))

    def run(self, seconds):
        wrong = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            works = (self.write, self.read, self.move, self.remove, self.folders, self.cut)
            work = self.rng.choices(works, (8, 5, 2, 2, 2, 1))[0]
            if work != self.write and not self.maybe:
                continue
            self.count[work.__name__] += 1
            try:
                work()
            except FileNotFoundError as e:
                # Of a file whose making or moving has failed nobody knows whether it is there.
                if any(e.filename == self.path(name) for name in self.sure):
                    wrong.append(f"{work.__name__}: {e}")
                self.maybe -= {name for name in self.maybe if self.path(name) == e.filename}
            except OSError as e:
                self.failed[errno.errorcode.get(e.errno, e.errno)] += 1
                if e.errno not in ALLOWED:
                    lines = [frame.lineno for frame in traceback.extract_tb(e.__traceback__)]
                    space = os.statvfs(self.root)
                    wrong.append(f"{work.__name__}: {e}, at {lines}; {space.f_bavail} blocks of {space.f_blocks} are free")
            except MemoryError:
                self.failed["MemoryError"] += 1
            except AssertionError as e:
                wrong.append(f"{work.__name__}: {e}")
            if len(wrong) > 10:
                break
        return wrong


def verify(root):
    wrong = 0
    sure = json.load(open(root.rstrip("/") + ".sure"))
    for name, (seed, blocks) in sure.items():
        try:
            with open(os.path.join(root, name), "rb") as file:
                right = file.read() == Work.data(seed, blocks)
        except OSError as e:
            right = print(e)
        if not right:
            print(f"{name}: not what was acknowledged")
            wrong += 1
    print(f"{len(sure)} files acknowledged, {wrong} of them wrong")
    return 1 if wrong or not sure else 0


def main():
    if sys.argv[1] == "verify":
        return verify(sys.argv[2])
    whose, root, seconds, seed = sys.argv[1:]
    work = Work(root, int(seed))
    begin(whose)
    try:
        wrong = work.run(int(seconds))
    finally:
        injected = end()
    print("\n".join(wrong))
    print(f"{whose}: {sum(work.count.values())} operations, failures injected {injected}, failed {dict(work.failed)}")
    with open(root.rstrip("/") + ".sure", "w") as file:
        json.dump(work.sure, file)
    return 1 if wrong or not all(injected.values()) or not work.failed else 0


sys.exit(main())
