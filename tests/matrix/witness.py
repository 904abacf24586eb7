# SPDX-License-Identifier: GPL-2.0
"""Reads QEMU's trace of a disk's controller: which writes and flushes it was asked for, and when.

The block log (logwrites.py) has no times, and leaves out a flush that has nothing to flush or that fails. This has all of them,
by the clock that QEMU's events have too, so that what was asked for before the panic is told from what came after.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

# What each controller's model traces. NVMe, SCSI and ATA tell a flush when it comes; virtio-blk only tells that a request which was
# neither read nor written has completed, and how.
EVENTS = {
    "--disk": ("virtio_blk_handle_write", "virtio_blk_rw_complete", "virtio_blk_req_complete"),
    "--nvme": ("pci_nvme_write", "pci_nvme_flush_ns"),
    "--scsi": ("scsi_req_parsed", "scsi_disk_dma_command_WRITE"),
    # Queued writes: others there are none on a disk that queues.
    "--sata": ("execute_ncq_command_write", "ide_bus_exec_cmd"),
}
# SYNCHRONIZE CACHE of 10 and 16 bytes.
SCSI_FLUSH = ("53", "145")
# FLUSH CACHE, and EXT.
ATA_FLUSH = ("0xe7", "0xea")
LINE = re.compile(r"\d+@(\d+\.\d+):(\w+) (.*)")
REQUEST = re.compile(r"vdev (\S+) req (\S+) (?:status|ret|sector) (-?\d+)(?: nsectors (\d+))?")
NVME_WRITE = re.compile(r"nlb (\d+) .*lba 0x([0-9a-f]+)")
SCSI_WRITE = re.compile(r"\(sector (\d+), count (\d+)\)")
SCSI_COMMAND = re.compile(r"command (\d+) ")
NCQ_WRITE = re.compile(r"writing (\d+) sectors to LBA (\d+)")
ATA_COMMAND = re.compile(r"cmd (0x[0-9a-f]+)")


@dataclasses.dataclass
class Request:
    """A write (`sectors` of 512 bytes) or a flush (none), `at` by the host's clock; `failed` if that is known."""

    at: float
    sector: int = 0
    sectors: int = 0
    failed: bool | None = None

    @property
    def is_flush(self) -> bool:
        return self.sectors == 0


def arguments(bus: str, path: pathlib.Path) -> str:
    """QEMU's arguments for a trace to `path`, with times."""
    return " ".join(f"-trace enable={event}" for event in EVENTS[bus]) + f" -msg timestamp=on -D {path}"


def read(path: pathlib.Path, since: int = 0) -> list[Request]:
    """The writes and flushes in the trace from byte `since` on."""
    with open(path, "rb") as trace:
        trace.seek(since)
        return list(requests(trace.read().decode(errors="replace")))


def tell_failed(asked: list[Request], done: int | None, failed: int | None) -> None:
    """Says of the flushes of which the trace does not tell it whether they have failed, if QEMU's counts say the same of all."""
    for request in asked:
        if request.is_flush and request.failed is None and bool(done) != bool(failed):
            request.failed = done == 0


def requests(text: str) -> Iterator[Request]:
    done = None
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        at, event, rest = float(match[1]), match[2], match[3]
        if event.startswith("virtio_blk"):
            _, request, number, sectors = REQUEST.search(rest).groups()
            if event == "virtio_blk_handle_write":
                yield Request(at, int(number), int(sectors))
            elif event == "virtio_blk_rw_complete":
                done = request
            else:
                if request != done:
                    yield Request(at, failed=number != "0")
                done = None
        elif event == "pci_nvme_write":
            sectors, lba = NVME_WRITE.search(rest).groups()
            yield Request(at, int(lba, 16), int(sectors))
        elif event == "pci_nvme_flush_ns":
            yield Request(at)
        elif event == "scsi_disk_dma_command_WRITE":
            sector, sectors = SCSI_WRITE.search(rest).groups()
            yield Request(at, int(sector), int(sectors))
        elif event == "execute_ncq_command_write":
            sectors, sector = NCQ_WRITE.search(rest).groups()
            yield Request(at, int(sector), int(sectors))
        elif event == "ide_bus_exec_cmd" and ATA_COMMAND.search(rest)[1] in ATA_FLUSH:
            yield Request(at)
        elif event == "scsi_req_parsed" and SCSI_COMMAND.search(rest)[1] in SCSI_FLUSH:
            yield Request(at)
