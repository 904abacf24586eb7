#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""io-mix.py FOLDER SEED SECONDS: writes, cuts, maps, renames and removes six files, through the page cache and directly,
and holds them against a model in memory; at the end once more from the device."""
import mmap
import os
import random
import sys
import time

folder, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
base = f"{folder}/mix{seed}"
rng = random.Random(seed)
model = {}


def path(n):
    return f"{base}/f{n}"


def put(n, at, data):
    if at > len(model[n]):
        model[n].extend(bytes(at - len(model[n])))
    model[n][at:at + len(data)] = data


def write(n):
    at, data = rng.randrange(300000), rng.randbytes(rng.randrange(1, 70000))
    file = os.open(path(n), os.O_RDWR | (os.O_DSYNC if rng.random() < 0.05 else 0))
    assert os.pwrite(file, data, at) == len(data)
    put(n, at, data)
    if rng.random() < 0.2:
        os.fsync(file)
    os.close(file)


def write_direct(n):
    unit = rng.choice((512, 4096))
    at, data = rng.randrange(350000) // unit * unit, rng.randbytes(rng.randrange(1, 60) * unit)
    memory = mmap.mmap(-1, len(data))
    memory.write(data)
    file = os.open(path(n), os.O_RDWR | os.O_DIRECT)
    assert os.pwritev(file, [memory], at) == len(data)
    put(n, at, data)
    os.close(file)


def write_mapped(n):
    size = len(model[n])
    if not size:
        return
    file = os.open(path(n), os.O_RDWR)
    with mmap.mmap(file, size) as memory:
        for _ in range(5):
            at = rng.randrange(size)
            data = rng.randbytes(min(rng.randrange(1, 5000), size - at))
            memory[at:at + len(data)] = data
            put(n, at, data)
        if rng.random() < 0.3:
            memory.flush()
    os.close(file)


def truncate(n):
    size = rng.randrange(400000)
    os.truncate(path(n), size)
    del model[n][size:]
    model[n].extend(bytes(size - len(model[n])))


def check(n):
    with open(path(n), "rb") as file:
        assert file.read() == model[n], f"{path(n)} differs"


def check_direct(n):
    size = len(model[n])
    if not size:
        return
    memory = mmap.mmap(-1, -(-size // 4096) * 4096)
    file = os.open(path(n), os.O_RDONLY | os.O_DIRECT)
    assert os.preadv(file, [memory], 0) == size
    assert memory[:size] == model[n], f"{path(n)} differs when read directly"
    os.close(file)


def rename(n):
    other = rng.randrange(6)
    if other != n:
        os.rename(path(n), path(other))
        model[other] = model.pop(n)


def remove(n):
    os.unlink(path(n))
    del model[n]


STEPS = [write] * 4 + [write_direct] * 2 + [write_mapped, truncate, check, check_direct, rename] + [remove]
os.mkdir(base)
end, steps = time.time() + seconds, 0
while time.time() < end:
    n = rng.randrange(6)
    if n not in model:
        model[n] = bytearray()
        open(path(n), "w").close()
    rng.choice(STEPS)(n)
    steps += 1
os.sync()
with open("/proc/sys/vm/drop_caches", "w") as file:
    file.write("3")
for n in model:
    check(n)
print(f"seed {seed}: {steps} steps as the model says")
