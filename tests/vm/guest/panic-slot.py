#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: panic-slot.py put DEVICE SEQUENCE PART TEXT [compressed] [torn] [lines] | erase DEVICE SEQUENCE | show DEVICE

`put` writes a record with the kernel's log into the panic area of a volume that is not mounted, as a panic would have:
TEXT is its data. `compressed` deflates it as pstore does, `torn` leaves out the guard, `lines` makes it a record of panic lines.
`erase` marks a record as erased, as an unlink in /sys/fs/pstore does. `show` prints a line for each record: sequence, kind (1 lines, 2 log), erased (0 or 1).
"""

import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from damage import BLOCK, HEADER, MAGIC, crc32c, sealed  # noqa: E402

KIND_SLOT = 9
HEAD = "<IIQIIIIQQIIIIQI20x"


class Area:
    """The panic area of the volume on a device."""

    def __init__(self, path):
        self.dev = os.open(path, os.O_RDWR | os.O_SYNC)
        # The module writes past the page cache.
        os.posix_fadvise(self.dev, 0, 0, os.POSIX_FADV_DONTNEED)
        block = self.read(0)
        self.uuid = block[HEADER : HEADER + 16]
        self.start, self.slots, self.slot_blocks = struct.unpack_from("<QII", block, HEADER + 160)

    def read(self, block):
        return os.pread(self.dev, BLOCK, block * BLOCK)

    def head_block(self, slot):
        return self.start + slot * self.slot_blocks

    def put(self, sequence, part, data, kind, compressed, torn):
        """Head, data and guard in one."""
        at = self.head_block(sequence % self.slots)
        header = struct.pack("<4sHHIIQQ16sQQ", MAGIC, KIND_SLOT, 1, 0, 0, at, sequence, self.uuid, 0, 0)
        old = self.read(at)
        header = header[:48] + old[48:HEADER]
        head = struct.pack(HEAD, kind, 0, sequence, 0x1234, len(data), crc32c(data), part, 10**18, 10**9, 0, 1, 1,
                           int(compressed), 1_000_000_000 + sequence, 0)
        block = sealed((header + head).ljust(BLOCK, b"\0"))
        guard = b"" if torn else struct.pack("<4sIQ", b"PmFE", len(data), sequence)
        body = data + guard
        body = body.ljust(-(-len(body) // BLOCK) * BLOCK, b"\0")
        os.pwrite(self.dev, block + body, at * BLOCK)

    def erase(self, sequence):
        """Sets the flag in the record's head."""
        at = self.head_block(sequence % self.slots)
        block = bytearray(self.read(at))
        kind, flags, found = struct.unpack_from("<IIQ", block, HEADER)
        if not kind or found != sequence:
            sys.exit(f"no record {sequence}")
        struct.pack_into("<I", block, HEADER + 4, flags | 1)
        os.pwrite(self.dev, sealed(bytes(block)), at * BLOCK)

    def show(self):
        """Sequence, kind and erased flag of every record, oldest first."""
        found = []
        for slot in range(self.slots):
            kind, flags, sequence = struct.unpack_from("<IIQ", self.read(self.head_block(slot)), HEADER)
            if kind:
                found.append((sequence, kind, flags & 1))
        return sorted(found)


def main():
    verb, path, *args = sys.argv[1:]
    area = Area(path)
    if verb == "show":
        for record in area.show():
            print(*record)
        return
    if verb == "erase":
        area.erase(int(args[0]))
        return
    sequence, part, text, *how = args
    data = text.encode()
    if "compressed" in how:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = deflate.compress(data) + deflate.flush()
    area.put(int(sequence), int(part), data, 1 if "lines" in how else 2, "compressed" in how, "torn" in how)


if __name__ == "__main__":
    main()
