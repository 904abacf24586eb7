#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: segments.py DISK READERS: so many readers at once, for good; a read is of as many segments as the disk takes."""

import mmap
import os
import pathlib
import sys

BLOCK = 512
disk, readers = sys.argv[1], int(sys.argv[2])
segments = int(pathlib.Path("/sys/block", os.path.basename(disk), "queue/max_segments").read_text())
for n in range(readers - 1):
    if os.fork() == 0:
        break
fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
# A block at the begin of each page: none is next to another.
pages = memoryview(mmap.mmap(-1, segments * mmap.PAGESIZE))
pieces = [pages[n * mmap.PAGESIZE:][:BLOCK] for n in range(segments)]
while True:
    os.preadv(fd, pieces, 0)
