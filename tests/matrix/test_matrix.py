#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the panic matrix itself, without a machine: the choice of cells, the disk's witnesses, and (test_lies.py) each lie."""

import pathlib
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import logwrites  # noqa: E402
import space  # noqa: E402
import witness  # noqa: E402


class Cells(unittest.TestCase):
    """The choice of cells."""

    @classmethod
    def setUpClass(cls):
        cls.cells = space.matrix()

    def test_every_possible_pair_is_covered(self):
        self.assertEqual(space.missing_groups(self.cells, 2), set())

    def test_there_are_enough_and_each_is_possible_and_there_once(self):
        self.assertGreaterEqual(len(self.cells), 150)
        self.assertEqual(len(set(self.cells)), len(self.cells))
        self.assertEqual([c for c in self.cells if space.excluded(c)], [])

    def test_the_seed_decides(self):
        self.assertEqual(self.cells, space.matrix())
        self.assertNotEqual(self.cells, space.matrix(seed=2))
        self.assertEqual(space.missing_groups(space.matrix(seed=2), 2), set())

    def test_the_subset_has_every_value(self):
        subset = space.subset()
        self.assertGreaterEqual(len(subset), 20)
        self.assertLessEqual(set(subset), set(self.cells))
        for place, values in enumerate(space.DIMENSIONS):
            self.assertEqual({c[place] for c in subset}, set(values))

    def test_every_rule_excludes_something_and_no_value_altogether(self):
        every = space.everything()
        for name, _, applies in space.RULES:
            self.assertTrue(any(map(applies, every)), name)
        possible = [c for c in every if not space.excluded(c)]
        for place, values in enumerate(space.DIMENSIONS):
            self.assertEqual({c[place] for c in possible}, set(values))

    def test_names(self):
        name = "nmi.loop.never.erst.once"
        self.assertEqual(space.parse(name).name, name)
        for bad, why in (("nmi.loop", "is not a cell"), ("nmi.tape.never.erst.once", "'tape'"),
                         ("mount.loop.inflight.erst.once", "writers-need-a-mounted-volume")):
            with self.assertRaisesRegex(ValueError, why):
                space.parse(bad)


def log_bytes(*entries: tuple[int, bytes, int], head: bool = True) -> bytes:
    """A log with (sector, data, flags)."""
    out = logwrites.SUPER.pack(logwrites.MAGIC, 1, 0, 512).ljust(512, b"\0") if head else bytes(512)
    for sector, data, flags in entries:
        out += struct.pack("<QQQQ", sector, len(data) // 512, flags, 0).ljust(512, b"\0") + data
    return out


class Log(unittest.TestCase):
    """The disk's log."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "log")
        self.image = pathlib.Path(folder.name, "image")

    def test_only_what_was_flushed_or_fua_is_durable(self):
        a, b, c, d = (bytes([x]) * 512 for x in b"abcd")
        self.path.write_bytes(log_bytes((0, a, 0), (1, b, 0), (0, b"", logwrites.FLUSH), (1, c, 0), (2, d, logwrites.FUA)))
        log = logwrites.read(self.path)
        self.assertEqual([(e.sector, e.is_flush) for e in log], [(0, False), (1, False), (0, True), (1, False), (2, False)])
        self.image.write_bytes(bytes(2048))
        logwrites.replay(self.path, logwrites.durable(log), self.image)
        self.assertEqual(self.image.read_bytes(), a + b + d + bytes(512))

    def test_nothing_is_durable_without_a_flush(self):
        self.path.write_bytes(log_bytes((0, bytes(512), 0), head=False))
        log = logwrites.read(self.path)
        self.assertEqual(len(log), 1)
        self.assertEqual(logwrites.durable(log), [])

    def test_a_log_may_end_anywhere(self):
        whole = log_bytes((0, b"x" * 1024, 0), (4, b"y" * 512, 0))
        self.path.write_bytes(whole + bytes(2048))
        self.assertEqual(len(logwrites.read(self.path)), 2)
        self.assertEqual(len(logwrites.read(self.path, 1536)), 1)
        self.path.write_bytes(b"")
        self.assertEqual(logwrites.read(self.path), [])
        self.path.write_bytes(whole[:-256])
        self.image.write_bytes(bytes(8192))
        with self.assertRaises(logwrites.LogError):
            logwrites.replay(self.path, logwrites.read(self.path), self.image)

    def test_something_else_is_refused(self):
        self.path.write_bytes(b"not a log" * 100)
        with self.assertRaises(logwrites.LogError):
            logwrites.read(self.path)


class Trace(unittest.TestCase):
    """QEMU's trace of a disk's controller."""

    def requests(self, *lines: str) -> list[tuple]:
        text = "qemu: a warning\n" + "".join(f"77@5.5:{line}\n" for line in lines)
        return [(r.at, r.sector, r.sectors, r.failed) for r in witness.requests(text)]

    def test_virtio_blk_tells_flushes_by_what_they_are_not(self):
        read = ("virtio_blk_rw_complete vdev 0x1 req 0xa ret 0", "virtio_blk_req_complete vdev 0x1 req 0xa status 0")
        flush = "virtio_blk_req_complete vdev 0x1 req 0xa status {}"
        self.assertEqual(self.requests(*read), [])
        self.assertEqual(self.requests(*read, flush.format(0), flush.format(1)), [(5.5, 0, 0, False), (5.5, 0, 0, True)])
        self.assertEqual(self.requests("virtio_blk_handle_write vdev 0x1 req 0xa sector 800 nsectors 16"), [(5.5, 800, 16, None)])

    def test_ata(self):
        self.assertEqual(self.requests("execute_ncq_command_write ahci(0x1)[0][tag:18]: NCQ writing 16 sectors to LBA 800",
                                       "ide_bus_exec_cmd IDE exec cmd: bus 0x1; state 0x2; cmd 0xec",
                                       "ide_bus_exec_cmd IDE exec cmd: bus 0x1; state 0x2; cmd 0xe7",
                                       "ide_bus_exec_cmd IDE exec cmd: bus 0x1; state 0x2; cmd 0xea"),
                         [(5.5, 800, 16, None), (5.5, 0, 0, None), (5.5, 0, 0, None)])

    def test_nvme_and_scsi(self):
        self.assertEqual(self.requests("pci_nvme_write cid 9 opname 'NVME_NVM_CMD_WRITE' nsid 1 nlb 16 count 8192 lba 0x320",
                                       "pci_nvme_flush_ns nsid 0x1"), [(5.5, 800, 16, None), (5.5, 0, 0, None)])
        self.assertEqual(self.requests("scsi_req_parsed target 0 lun 0 tag 5 command 42 dir 2 length 8192",
                                       "scsi_disk_dma_command_WRITE Write (sector 800, count 16)",
                                       "scsi_req_parsed target 0 lun 0 tag 5 command 53 dir 0 length 0"),
                         [(5.5, 800, 16, None), (5.5, 0, 0, None)])

    def test_whether_flushes_failed_is_known_if_all_went_one_way(self):
        for counts, failed in (((2, 0), False), ((0, 2), True), ((1, 1), None), ((0, 0), None), ((None, None), None)):
            asked = [witness.Request(5.5), witness.Request(6.5, 800, 8)]
            witness.tell_failed(asked, *counts)
            self.assertEqual([request.failed for request in asked], [failed, None])

    def test_it_is_read_from_a_place_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "trace")
            path.write_text("77@5.5:pci_nvme_flush_ns nsid 0x1\n77@6.5:pci_nvme_flush_ns nsid 0x1\n")
            self.assertEqual([r.at for r in witness.read(path, 34)], [6.5])


if __name__ == "__main__":
    unittest.main(module=None, argv=[sys.argv[0], "discover", "-s", str(HERE), "-p", "test_*.py", *sys.argv[1:]])
