#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: direct-writers.py FILE...: overwrites the first 64 KiB of each, around the page cache, again and again. Prints
`writing` when each was written once: from then on a request of each is in flight nearly always."""

import mmap
import os
import sys
import threading

BYTES = 64 << 10

begun = threading.Barrier(len(sys.argv))


def write(path: str) -> None:
    buffer = mmap.mmap(-1, BYTES)
    fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
    os.pwrite(fd, buffer, 0)
    begun.wait()
    while True:
        os.pwrite(fd, buffer, 0)


for path in sys.argv[1:]:
    threading.Thread(target=write, args=(path,)).start()
begun.wait()
print("writing", flush=True)
