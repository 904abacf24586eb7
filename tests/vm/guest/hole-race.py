#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""hole-race.py FOLDER SECONDS: unaligned writes into holes while another thread has them written back. What lies
beside a write in its first and last block must read as zeroes, never as what the device held there before."""
import os
import random
import sys
import threading
import time

BLOCK = 4096
FILE = 64 << 20
STEP = 8 << 20


def written_back(file, stop):
    while not stop.is_set():
        os.fdatasync(file)


def one_file(path):
    """Writes six times, then reads all back. Gives the number of writes that were not as they should be."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.ftruncate(file, FILE)
    stop = threading.Event()
    syncer = threading.Thread(target=written_back, args=(file, stop))
    syncer.start()
    writes = []
    for at in range(0, 6 * STEP, STEP):
        start = at + random.randrange(1, BLOCK)
        length = random.randrange(20, 700) * BLOCK + random.randrange(1, BLOCK)
        assert os.pwrite(file, b"\x11" * length, start) == length
        writes.append((start, start + length))
    stop.set()
    syncer.join()
    wrong = 0
    for start, end in writes:
        first, last = start // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK
        want = bytes(start - first) + b"\x11" * (end - start) + bytes(last - end)
        if os.pread(file, last - first, first) != want:
            print(f"bytes beside {start}..{end} are not zero")
            wrong += 1
    os.close(file)
    return wrong


folder, end = sys.argv[1], time.time() + float(sys.argv[2])
files = wrong = 0
while time.time() < end:
    wrong += one_file(f"{folder}/hole{files % 3}")
    files += 1
print(f"{6 * files} writes into holes, {wrong} wrong")
sys.exit(wrong != 0 or files < 5)
