#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: damage.py set IMAGE FIELD VALUE | flip IMAGE SEED COUNT | craft IMAGE SEED COUNT | break IMAGE KIND NTH | own IMAGE INO |
                 log IMAGE NTH | blocks IMAGE INO

Damages a volume's image. `set` writes a field of the super block and makes its checksum right, `flip` turns COUNT bits of
metadata blocks, `craft` does the same and makes the checksums right again, so that what stands behind them is met,
`break` turns over the NTH block of a kind (numbers as in Documentation/format.md) but for its magic, `own` does that to all
blocks that belong to an inode, `blocks` only prints their numbers, `log` turns one bit in the NTH record of the log that the
next mount would replay (0 is the oldest) and prints how many there are. The same SEED gives the same damage.
"""

import random
import struct
import sys

BLOCK = 4096
HEADER = 64
SECTOR = 512
JOURNAL_HEADER = 7
JOURNAL_RECORD = 8
MAGIC = b"PmFS"
FIELDS = {  # offset in the block, bytes
    "magic": (0, 4), "version": (6, 2), "compat": (HEADER + 80, 8), "ro_compat": (HEADER + 88, 8),
    "incompat": (HEADER + 96, 8), "blocks": (HEADER + 104, 8), "block_size": (HEADER + 112, 4),
    "shard_blocks": (HEADER + 116, 4), "shards": (HEADER + 120, 8), "summary_blocks": (HEADER + 128, 8),
    "journal_header": (HEADER + 136, 8), "journal_start": (HEADER + 144, 8), "journal_blocks": (HEADER + 152, 8),
    "panic_start": (HEADER + 160, 8), "panic_slots": (HEADER + 168, 4),
    "panic_slot_blocks": (HEADER + 172, 4),
}


def table():
    entries = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        entries.append(n)
    return entries


TABLE = table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def sealed(block):
    """The block with its checksum, which covers all of it with the checksum's own field zero."""
    block = block[:8] + bytes(4) + block[12:]
    return block[:8] + struct.pack("<I", crc32c(block)) + block[12:]


def metadata(image):
    """Numbers of the blocks that are metadata, those of the journal's ring left out after the first few."""
    found, records = [], 0
    image.seek(0)
    number = 0
    while head := image.read(BLOCK):
        if head[:4] == MAGIC:
            records += head[4] == 8
            if head[4] != 8 or records <= 4:
                found.append(number)
        number += 1
    return found


def owner(image, number):
    image.seek(number * BLOCK + 48)
    return struct.unpack("<Q", image.read(8))[0]


def turned_over(block):
    return block[:8] + bytes(b ^ 255 for b in block[8:])


def of_kind(image, kind):
    found = []
    for number in metadata(image):
        image.seek(number * BLOCK)
        if image.read(6)[4:] == struct.pack("<H", kind):
            found.append(number)
    return found


def field(image, name):
    """A number of the super block."""
    offset, size = FIELDS[name]
    image.seek(offset)
    return int.from_bytes(image.read(size), "little")


def journal_header(image):
    """The two blocks of it."""
    first = field(image, "journal_header")
    return [first, first + 1]


def log_records(image):
    """(epoch, byte offset, bytes) of the records of the newest generation, the oldest first."""
    start, length = field(image, "journal_start") * BLOCK, field(image, "journal_blocks") * BLOCK
    image.seek(start)
    ring = image.read(length)
    found = []
    for at in range(0, length, SECTOR):
        if ring[at:at + 4] == MAGIC and ring[at + 4:at + 6] == struct.pack("<H", JOURNAL_RECORD):
            epoch, generation, sectors = struct.unpack("<QQI", ring[at + HEADER:at + HEADER + 20])
            found.append((generation, epoch, start + at, sectors * SECTOR))
    newest = max(generation for generation, *_ in found)
    return sorted((epoch, at, size) for generation, epoch, at, size in found if generation == newest)


def damage_log(image, nth):
    records = log_records(image)
    _, at, size = records[nth]
    image.seek(at + size // 2)
    byte = image.read(1)[0]
    image.seek(at + size // 2)
    image.write(bytes([byte ^ 1]))
    print(len(records))


def change(image, number, how):
    image.seek(number * BLOCK)
    block = how(image.read(BLOCK))
    image.seek(number * BLOCK)
    image.write(block)


def flip(image, seed, count, craft):
    rng = random.Random(seed)
    blocks = metadata(image)
    for _ in range(count):
        # Most of a block is empty: half of the flips go where the first entries are.
        limit = rng.choice((HEADER + 192, BLOCK))
        number, byte, bit = rng.choice(blocks), rng.randrange(HEADER if craft else 0, limit), rng.randrange(8)

        def turned(block):
            block = bytearray(block)
            block[byte] ^= 1 << bit
            return sealed(bytes(block)) if craft else bytes(block)

        change(image, number, turned)


def main():
    what, path, *rest = sys.argv[1:]
    with open(path, "r+b") as image:
        if what == "set":
            offset, size = FIELDS[rest[0]]
            value = int(rest[1], 0).to_bytes(size, "little")
            change(image, 0, lambda block: sealed(block[:offset] + value + block[offset + size:]))
        elif what == "break":
            kind, nth = int(rest[0]), int(rest[1])
            for number in journal_header(image) if kind == JOURNAL_HEADER else [of_kind(image, kind)[nth]]:
                change(image, number, turned_over)
        elif what == "log":
            damage_log(image, int(rest[0]))
        elif what in ("own", "blocks"):
            owned = [n for n in metadata(image) if owner(image, n) == int(rest[0])]
            assert owned, "no metadata block belongs to that inode"
            for number in owned:
                if what == "own":
                    change(image, number, turned_over)
                else:
                    print(number)
        else:
            flip(image, int(rest[0]), int(rest[1]), what == "craft")


if __name__ == "__main__":
    main()
