#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of the panic matrix itself, without a machine: the choice of cells, the disk's log, and that each lie is caught."""

import copy
import pathlib
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cell  # noqa: E402
import expect  # noqa: E402
import logwrites  # noqa: E402
import space  # noqa: E402
from machine import Event  # noqa: E402


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


def told(c: space.Cell, name: str) -> dict:
    """A volume as a report tells it: with a lane that wrote its record if there can be one."""
    was = 64 if c.state in ("inflight", "never") else 0
    ok = c.state in expect.RECORDED_STATES and c.device in expect.WAYS
    left = 0 if ok else was
    lane = {"way": expect.WAYS.get(c.device, "none:not-mq"), "result": "ok" if ok else "refused", "why": None,
            "flush": "ok" if ok else "not-attempted", "sequence": 1 if ok else None}
    return {"name": name, "state": "mounted", "in_flight": was, "lane": lane,
            "drain": {"drained": left == 0, "in_flight": left, "flush": "pending" if ok else "not-attempted",
                      "end": "done" if left == 0 else "deadline" if c.device in expect.WAYS else "no-way"}}


def good(name: str) -> cell.Seen:
    """What is seen of a cell that holds."""
    c = space.parse(name)
    in_flight = 64 if c.state in ("inflight", "never") else 0
    seen = cell.Seen(c, pathlib.Path("."))
    end = {"watchdog": Event("WATCHDOG", 109.0, {})}.get(c.end, Event("SHUTDOWN", 101.5, {"reason": "guest-reset"}))
    volume = told(c, seen.kind.volume)
    ok = volume["lane"]["result"] == "ok"
    panic = {"id": "00000001", "complete": True, "lines": 6, "lines_written": 6, "nested_in_stage": None, "oops": None,
             "message": "panicker: hardirq", "context": "hardirq", "strategy": "kernel", "timeout": expect.TIMEOUT[c.end],
             "volumes": [volume],
             "outcome": {"drained": volume["drain"]["drained"], "in_flight": volume["drain"]["in_flight"],
                         "flush": volume["lane"]["flush"], "elapsed_ns": 5_000_000, "next": expect.NEXT[c.end]}}
    seen.outcome = "over"
    seen.truth = {"writers": in_flight, "in_flight": in_flight}
    seen.at_ready, seen.at_end = cell.Disk(512, 5, 5), cell.Disk(512, 6 if ok else 5, 6)
    if ok:
        seen.log = [logwrites.Entry(9000, 8 * 64 if in_flight else 8, 0, 0, 0), logwrites.Entry(0, 0, logwrites.FLUSH, 0, 0)]
    seen.area = {"areas": [{"records": [{"panic": "00000001", "state": "whole", "sequence": 1}] if ok else []}]}
    seen.events = [Event("GUEST_PANICKED", 100.0, {}), end]
    seen.console = ("[    1.0] Kernel panic - not syncing: panicker: hardirq\n"
                    "[    1.1] ---[ end Kernel panic - not syncing: panicker: hardirq ]---\n")
    seen.record = {"panics": [panic], "oopses": [], "damaged_lines": 0, "unknown_lines": 0}
    seen.pstore = {"files": {}, "backend": c.pstore, "json": {"panics": [copy.deepcopy(panic)]}}
    seen.volume = {"error": None, "lost": [], "mounted": True}
    return seen


class Judge(unittest.TestCase):
    """A cell that holds is passed, and each thing that could be wrong is seen."""

    def wrong(self, name: str, change, pattern: str) -> None:
        seen = good(name)
        self.assertEqual(expect.judge(seen), [])
        change(seen, seen.record["panics"][0])
        found = expect.judge(seen)
        self.assertTrue(any(pattern in sentence for sentence in found), f"'{pattern}' is not in {found}")

    def test_hangs(self):
        idle = "hardirq.virtio-shared.idle.erst.once"
        self.wrong(idle, lambda s, p: setattr(s, "outcome", "timeout"), "HANG: no halt or reset in time, after the panic began")
        self.wrong(idle, lambda s, p: s.events.pop(0), "without a panic")
        self.wrong(idle, lambda s, p: setattr(s.events[1], "at", 120.0), "from panic to end it took 20.0 s")
        self.wrong(idle, lambda s, p: p["outcome"].update(elapsed_ns=3_000_000_000), "the handler took 3.00 s")
        watched = "hardirq.virtio-shared.idle.erst.watchdog"
        self.wrong(watched, lambda s, p: s.events.__setitem__(1, Event("SHUTDOWN", 101.0, {"reason": "guest-reset"})),
                   "was to halt, and ended by guest-reset")
        self.wrong(watched, lambda s, p: setattr(s, "console", s.console.split("\n")[0]), "did not come to its halt")

    def test_reports(self):
        name = "hardirq.nvme-poll.never.ramoops.now"
        self.wrong(name, lambda s, p: p.update(context="task"), "context is 'task'")
        self.wrong(name, lambda s, p: p.update(complete=False), "not complete")
        self.wrong(name, lambda s, p: p.update(message="another"), "message is 'another'")
        self.wrong(name, lambda s, p: p["volumes"][0].update(state="failed"), "told to be failed")
        self.wrong(name, lambda s, p: p["volumes"].clear(), "volumes told: []")
        self.wrong(name, lambda s, p: s.record.update(damaged_lines=1), "1 damaged")
        self.wrong(name, lambda s, p: s.record.update(unknown_lines=1), "1 unknown")
        self.wrong(name, lambda s, p: s.record["oopses"].append({}), "an oops is told")
        self.wrong(name, lambda s, p: s.record["panics"].append(p), "2 panics")
        self.wrong(name, lambda s, p: s.pstore["json"]["panics"][0].update(cpu=9) or p.update(cpu=1), "differs from the one")
        self.wrong(name, lambda s, p: s.pstore["json"]["panics"].clear(), "pstore holds 0 panics")

        def deferred(all_of_it: bool):
            def change(s, p):
                p.update(deferred=True)
                s.pstore["json"]["panics"][0].update(deferred=True, complete=False, lines=3, outcome=None, outcome_deferred=all_of_it)
            return change

        self.wrong(name, deferred(False), "ends neither with its outcome nor where that was deferred: 3 lines")
        seen = good(name)
        deferred(True)(seen, seen.record["panics"][0])
        self.assertEqual(expect.judge(seen), [])

    def test_lies_about_the_disk(self):
        name = "hardirq.nvme-poll.never.ramoops.now"
        self.wrong(name, lambda s, p: p["volumes"][0].update(in_flight=63), "63 told to be in flight, 64 were")
        self.wrong(name, lambda s, p: p["volumes"][0]["drain"].update(drained=True), "drained=True with 64 in flight")
        self.wrong(name, lambda s, p: p["volumes"][0]["drain"].update(drained=True, in_flight=0), "only 0 reached the disk")
        self.wrong(name, lambda s, p: p["volumes"][0]["drain"].update(end="driver-empty"), "and the device had 64 requests")
        idle = "hardirq.virtio-shared.idle.erst.now"
        self.wrong(idle, lambda s, p: p["volumes"][0]["drain"].update(end="deadline"), "and the device had nothing")
        self.wrong(idle, lambda s, p: p["volumes"][0]["drain"].update(end="no-way"), "drained, and the drain ended by no-way")
        self.wrong(idle, lambda s, p: setattr(s.at_end, "flushes", 5), "flush=ok is claimed; the device saw 0")
        self.wrong(idle, lambda s, p: s.log.pop(), "0 reached the disk")
        self.wrong(idle, lambda s, p: p["volumes"][0]["lane"].update(flush="not-attempted"),
                   "flush=not-attempted is claimed; the device saw 1")
        writing = "hardirq.virtio-shared.inflight.erst.now"
        self.wrong(writing, lambda s, p: p["volumes"][0]["drain"].update(drained=False, in_flight=5), "5 of 64 were not collected")
        self.wrong(writing, lambda s, p: setattr(s.log[0], "sectors", 8), "0 of 64 told to be left, but only 1 reached")

    def test_lies_about_the_lane(self):
        def records(*found):
            return lambda s, p: s.area["areas"][0].update(records=list(found))

        idle = "hardirq.virtio-shared.idle.erst.now"
        whole = {"panic": "00000001", "state": "whole", "sequence": 1}
        self.wrong(idle, records(), "the lane claims record 1")
        self.wrong(idle, records({**whole, "state": "torn"}), "the lane claims record 1")
        self.wrong(idle, records({**whole, "sequence": 2}), "the lane claims record 1")
        self.wrong(idle, lambda s, p: p["volumes"][0]["lane"].update(result="refused", why="nmi"), "and nothing hinders it")
        self.wrong(idle, lambda s, p: p["volumes"][0]["lane"].update(way="none:vectors"), "the lane is none:vectors")
        dead = "hardirq.virtio-shared.never.erst.now"
        self.wrong(dead, records(whole), "the lane refused, and the disk has a record")
        self.wrong(dead, lambda s, p: p["volumes"][0]["lane"].update(result="ok", sequence=1), "on a device that takes none")

    def test_an_oops_that_is_not_told(self):
        seen = good("hardirq.virtio-shared.idle.erst.now")
        seen.cell = seen.cell._replace(context="rust")
        for one in (seen.record["panics"][0], seen.pstore["json"]["panics"][0]):
            one.update(context="task", message="Fatal exception", oops="00000002")
            one["volumes"][0]["state"] = "failed"

        def says(sentence: str) -> None:
            self.assertTrue(any(sentence in found for found in expect.judge(seen)), expect.judge(seen))

        says("the oops is not told")
        volume = {"name": "vda", "in_flight": 0, "lock_held": True}
        oops = {"id": "00000002", "panic": "00000001", "complete": True, "volumes": [volume]}
        seen.record["oopses"] = [oops]
        self.assertEqual(expect.judge(seen), [])
        for part, name, lie, sentence in ((oops, "complete", False, "the oops is not told"),
                                          (oops, "panic", None, "do not name each other"),
                                          (volume, "name", "vdb", "the oops is not told"),
                                          (volume, "in_flight", 3, "and it tells of 3"),
                                          (volume, "lock_held", False, "no lock of the volume")):
            true = part[name]
            part[name] = lie
            says(sentence)
            part[name] = true
        self.assertEqual(expect.judge(seen), [])

    def test_a_nested_panic_without_an_id(self):
        seen = good("hardirq.virtio-shared.idle.erst.now")
        seen.cell = seen.cell._replace(context="nested")
        for one in (seen.record["panics"][0], seen.pstore["json"]["panics"][0]):
            one.update(nested_in_stage="known", outcome=None)
        self.assertEqual(expect.judge(seen), [])
        seen.record["panics"][0]["id"] = "00000000"
        self.assertTrue(any("has no id" in found for found in expect.judge(seen)), expect.judge(seen))

    def test_lost_data(self):
        name = "hardirq.loop.idle.erst.now"
        self.wrong(name, lambda s, p: s.volume.update(lost=["kept/100 has other contents"]), "fsynced data is lost")
        self.wrong(name, lambda s, p: s.volume.update(error="mount: status 32"), "mount: status 32")
        self.wrong(name, lambda s, p: setattr(s, "fsck", "status 4"), "fsck.permfs after the mount: status 4")
        self.wrong(name, lambda s, p: setattr(s, "volume", None), "was not looked at")


if __name__ == "__main__":
    unittest.main()
