#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: fsync-cost.py DIR DISK ROUNDS: device writes and flushes of one 4 KiB append + fsync, from /sys/block/DISK/stat.

Prints `writes=W flushes=F kib=K` an operation and fails above 2 writes or 2 flushes.
"""

import os
import sys


def counters(disk):
    # Documentation/block/stat.rst: writes I/O is the 5th field, write sectors the 7th, flush I/O the 16th.
    fields = [int(f) for f in open(f"/sys/block/{disk}/stat").read().split()]
    return fields[4], fields[6] / 2, fields[15]


def main():
    folder, disk, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fd = os.open(os.path.join(folder, "appended"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    block = os.urandom(4096)
    for _ in range(3):
        os.write(fd, block)
        os.fsync(fd)
    before = counters(disk)
    for _ in range(rounds):
        os.write(fd, block)
        os.fsync(fd)
    after = counters(disk)
    writes, kib, flushes = ((a - b) / rounds for a, b in zip(after, before))
    print(f"writes={writes:.2f} flushes={flushes:.2f} kib={kib:.2f}")
    assert writes > 0.9 and flushes > 0.9, "an fsync that writes nothing, or flushes nothing, is no fsync"
    return 0 if writes <= 2 and flushes <= 2 else 1


sys.exit(main())
