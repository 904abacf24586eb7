# SPDX-License-Identifier: GPL-2.0
"""Reads the log of QEMU's `blklogwrites` (format of dm-log-writes, drivers/md/dm-log-writes.c), and replays it.

The log is the disk's own witness: what reached it, in which order, and what was flushed.
"""

import dataclasses
import pathlib
import struct
from collections.abc import Iterator

MAGIC = 0x6A736677736872
VERSION = 1
SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


class LogError(Exception):
    """The file is not such a log."""


@dataclasses.dataclass
class Entry:
    """A request: `sector` and `sectors` of 512 bytes, `flags`, and `offset` of its data in the log (none: discard)."""

    sector: int
    sectors: int
    flags: int
    offset: int
    end: int

    @property
    def is_flush(self) -> bool:
        return bool(self.flags & FLUSH)

    @property
    def is_write(self) -> bool:
        return self.sectors > 0 and not self.flags & DISCARD

    def overlaps(self, sector: int, sectors: int) -> bool:
        return self.sector < sector + sectors and sector < self.sector + self.sectors


def read(path: pathlib.Path, size: int | None = None) -> list[Entry]:
    """All entries in the first `size` bytes of the log, oldest first.

    The count in the super block is brought up to date only now and then, so it is not believed: an entry that says
    nothing is the end.
    """
    return list(entries(path, size))


def entries(path: pathlib.Path, size: int | None) -> Iterator[Entry]:
    size = path.stat().st_size if size is None else min(size, path.stat().st_size)
    if size == 0:
        return
    with open(path, "rb") as log:
        head = log.read(SUPER.size)
        if len(head) < SUPER.size:
            raise LogError(f"{path} is too short for a log of writes")
        magic, version, _, unit = SUPER.unpack(head)
        if not any(head):
            # QEMU writes the super block with the first flush.
            unit = SECTOR
        elif (magic, version) != (MAGIC, VERSION) or unit < SECTOR:
            raise LogError(f"{path} is not a log of writes")
        at = unit
        while at + unit <= size:
            log.seek(at)
            sector, sectors, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
            if not (sectors or flags):
                return
            # In the super block's unit, whatever the device's own is.
            sector, sectors = sector * unit // SECTOR, sectors * unit // SECTOR
            data = 0 if flags & DISCARD else sectors * SECTOR
            yield Entry(sector, sectors, flags, at + unit, at + unit + data)
            at += unit + data


def durable(log: list[Entry]) -> list[Entry]:
    """The writes that a disk must still have if it loses its cache at the end: those before the last flush, and FUA."""
    flushes = [n for n, entry in enumerate(log) if entry.is_flush]
    last = flushes[-1] if flushes else -1
    return [entry for n, entry in enumerate(log) if entry.is_write and (n <= last or entry.flags & FUA)]


def replay(log_path: pathlib.Path, writes: list[Entry], image: pathlib.Path) -> None:
    """Writes the entries to an image, in their order. A write whose data the log does not hold whole is an error."""
    with open(log_path, "rb") as log, open(image, "r+b") as disk:
        for entry in writes:
            log.seek(entry.offset)
            data = log.read(entry.sectors * SECTOR)
            if len(data) != entry.sectors * SECTOR:
                raise LogError(f"{log_path} ends inside the data of a write to sector {entry.sector}")
            disk.seek(entry.sector * SECTOR)
            disk.write(data)
