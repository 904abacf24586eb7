#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: many-writers.py DIR WORKERS SECONDS SEED: processes that write, cut, move and remove files until it is full, and on.

Each worker knows what its files hold and checks that whenever it meets them, and all of them at its end. A full volume is no
failure; a wrong byte is. Prints what was done and exits with 1 on a failure.
"""

import errno
import mmap
import os
import random
import sys
import time


class Worker:
    def __init__(self, root, number, seed):
        self.folder = os.path.join(root, f"worker-{number}")
        os.makedirs(self.folder, exist_ok=True)
        self.rng = random.Random(seed * 1000 + number)
        self.files = {}  # name: (4 KiB pattern, size)
        self.next = 0
        self.count = dict.fromkeys(("written", "direct", "cut", "moved", "removed", "full"), 0)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self):
        name = self.rng.choice([*self.files][:3] + [f"f{self.next}"])
        self.next += 1
        pattern = self.rng.randbytes(4096)
        blocks = self.rng.choice((1, 1, 3, 16, 200, 1200))
        direct = self.rng.random() < 0.3
        data = mmap.mmap(-1, blocks * 4096)
        data.write(pattern * blocks)
        self.files.pop(name, None)
        fd = os.open(self.path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC | (os.O_DIRECT if direct else 0))
        try:
            done = 0
            while done < len(data):
                step = min(self.rng.choice((1, 7, 64)) * 4096, len(data) - done)
                done += os.write(fd, memoryview(data)[done:done + step])
            if self.rng.random() < 0.2:
                os.fsync(fd)
        except OSError as e:
            os.close(fd)
            os.unlink(self.path(name))
            raise e
        os.close(fd)
        self.files[name] = (pattern, len(data))
        self.count["direct" if direct else "written"] += 1

    def cut(self):
        name = self.rng.choice([*self.files])
        pattern, size = self.files[name]
        size = self.rng.randrange(size + 1)
        os.truncate(self.path(name), size)
        self.files[name] = (pattern, size)
        self.count["cut"] += 1

    def move(self):
        name = self.rng.choice([*self.files])
        target = f"m{self.next}"
        self.next += 1
        os.rename(self.path(name), self.path(target))
        self.files[target] = self.files.pop(name)
        self.count["moved"] += 1

    def remove(self):
        name = self.rng.choice([*self.files])
        os.unlink(self.path(name))
        del self.files[name]
        self.count["removed"] += 1

    def check(self, name, cold=False):
        pattern, size = self.files[name]
        with open(self.path(name), "rb") as f:
            if cold:  # from the device, not from memory
                os.fsync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            data = f.read()
        assert len(data) == size, f"{self.path(name)}: {len(data)} bytes instead of {size}"
        assert data == (pattern * (size // 4096 + 1))[:size], f"{self.path(name)}: wrong bytes"

    def run(self, seconds):
        end = time.monotonic() + seconds
        # A slow machine needs longer until the volume is full.
        while time.monotonic() < (end if self.count["full"] else end + 240):
            try:
                if not self.files or self.rng.random() < 0.5:
                    self.write()
                else:
                    self.rng.choice((self.cut, self.move, self.remove, lambda: self.check(self.rng.choice([*self.files]))))()
            except OSError as e:
                if e.errno != errno.ENOSPC:
                    raise
                self.count["full"] += 1
                if self.files:
                    self.remove()
        for name in self.files:
            self.check(name, cold=True)
        assert set(os.listdir(self.folder)) == set(self.files), f"{self.folder}: other names than it should have"
        print(f"{self.folder}:", " ".join(f"{k} {v}" for k, v in self.count.items()), flush=True)


def main():
    root, workers, seconds, seed = sys.argv[1], *map(int, sys.argv[2:])
    children = []
    for number in range(workers):
        child = os.fork()
        if child == 0:
            Worker(root, number, seed).run(seconds)
            os._exit(0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return 1 if any(statuses) else 0


sys.exit(main())
