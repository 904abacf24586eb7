# SPDX-License-Identifier: GPL-2.0
"""For each sentence that a check can say there is a lie that makes it say so, and cells that hold are passed."""

import pathlib
import sys
import unittest
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import expect  # noqa: E402
import expect_disk  # noqa: E402
import expect_next  # noqa: E402
import sample  # noqa: E402
import space  # noqa: E402
from machine import Event  # noqa: E402
from witness import Request  # noqa: E402

IDLE = "hardirq.virtio-shared.idle.erst.once"
WATCHED = "hardirq.virtio-shared.idle.erst.watchdog"
WRITING = "hardirq.virtio-shared.inflight.erst.now"
NEVER = "hardirq.nvme-poll.never.ramoops.now"
DEAD = "hardirq.virtio-shared.never.erst.now"
ERRORS = "hardirq.virtio-poll.errors.erst.now"
NVME = "commit.nvme-default.idle.erst.now"
SCSI = "hardirq.virtio-scsi.idle.erst.now"
OURS = "hardirq.virtio-shared.idle.ours.now"
OURS_NMI = "nmi.virtio-shared.idle.ours.now"
OURS_LOOP = "hardirq.loop.idle.ours.now"
OURS_MOUNT = "mount.virtio-shared.idle.ours.once"
LOOP = "hardirq.loop.idle.erst.now"
DM = "hardirq.dm-linear.idle.erst.now"
NULL = "process.null-blk.idle.erst.now"
MOUNT = "mount.nvme-poll.idle.erst.now"
UNLOAD = "unload.loop.idle.ours.now"
NESTED = "nested.virtio-shared.idle.erst.once"
NESTED_OURS = "nested.nvme-default.idle.ours.now"
NESTED_GONE = "nested.nvme-poll.unplugged.ours.watchdog"
NESTED_LOOP = "nested.loop.errors.ours.now"
RUST = "rust.virtio-shared.idle.ours.now"


def panic(**changes) -> Callable:
    return lambda seen: seen.record["panics"][0].update(changes)


def outcome(**changes) -> Callable:
    return lambda seen: seen.record["panics"][0]["outcome"].update(changes)


def volume(number: int = 0, **changes) -> Callable:
    return lambda seen: seen.record["panics"][0]["volumes"][number].update(changes)


def part(name: str, number: int = 0, **changes) -> Callable:
    return lambda seen: seen.record["panics"][0]["volumes"][number][name].update(changes)


def lane(number: int = 0, **changes) -> Callable:
    return part("lane", number, **changes)


def drain(**changes) -> Callable:
    return part("drain", **changes)


def record(**changes) -> Callable:
    return lambda seen: seen.record.update(changes)


def oops(**changes) -> Callable:
    return lambda seen: seen.record["oopses"][0].update(changes)


def failed(**changes) -> Callable:
    return lambda seen: seen.record["oopses"][0]["volumes"][0].update(changes)


def found(**changes) -> Callable:
    return lambda seen: seen.volume.update(changes)


def kept(**changes) -> Callable:
    return lambda seen: seen.pstore["json"]["panics"][0].update(changes)


def records(*all_of_them: dict) -> Callable:
    return lambda seen: seen.area["areas"][0].update(records=list(all_of_them))


def seen(**changes) -> Callable:
    return lambda seen: [setattr(seen, name, value) for name, value in changes.items()]


def more(*requests: Request) -> Callable:
    return lambda seen: seen.requests.extend(requests)


def both(*changes: Callable) -> Callable:
    return lambda seen: [change(seen) for change in changes]


def no_flush_since(seen) -> None:
    """Only the ordinary commit's flush, before the panic, was made; QEMU's count and the log agree."""
    since = [request for request in seen.requests if request.is_flush and request.at > sample.PANIC]
    seen.requests = [request for request in seen.requests if request not in since]
    if seen.at_end.flushes:
        seen.at_end.flushes -= sum(not request.failed for request in since)
        seen.at_end.failed -= sum(bool(request.failed) for request in since)


def mount_line(old: str, new: str) -> Callable:
    return lambda seen: seen.truth.update(mount_log=[line.replace(old, new) for line in seen.truth["mount_log"]])


def next_line(old: str, new: str) -> Callable:
    return lambda seen: setattr(seen, "next_log", [line.replace(old, new) for line in seen.next_log])


WHOLE = sample.record("panic-lines", 1)
LOG = sample.record("kernel-log", 2)
LAST = "permfs: (vda): the last panic that it recorded: panic 00000009, 5 s after 1970: another"
DEFERRED = {"deferred": True, "complete": False, "lines": 3, "outcome": None}

# Cell, what is changed in what is seen of it, and what must be said then.
LIES = (
    # The end.
    (IDLE, seen(failed="no disk"), "no disk"),
    (IDLE, seen(outcome="timeout"), "HANG: no halt or reset in time, after the panic began"),
    (IDLE, seen(outcome="timeout", console="booting"), "HANG: no halt or reset in time, before any panic"),
    (IDLE, seen(outcome="gone"), "QEMU went away"),
    (IDLE, lambda s: s.events.pop(0), "without a panic"),
    (IDLE, lambda s: setattr(s.events[1], "at", 108.6), "from panic to end it took 8.6 s, more than 8.5"),
    (WATCHED, lambda s: setattr(s.events[1], "at", 113.6), "from panic to end it took 13.6 s, more than 13.5"),
    (WATCHED, lambda s: s.events.__setitem__(1, Event("SHUTDOWN", 101.0, {"reason": "guest-reset"})),
     "was to halt, and ended by guest-reset"),
    (IDLE, lambda s: s.events.__setitem__(1, Event("WATCHDOG", 101.0, {})), "was to reboot, and ended by the watchdog"),
    (WATCHED, lambda s: setattr(s, "console", s.console.split("\n")[0]), "did not come to its halt"),
    # The report.
    (IDLE, seen(record=None), "no report on the console"),
    (IDLE, lambda s: s.record["panics"].append(s.record["panics"][0]), "2 panics on the console"),
    (IDLE, record(damaged_lines=1), "1 damaged"),
    (IDLE, record(unknown_lines=1), "1 unknown"),
    (IDLE, record(oopses=[{}]), "an oops is told"),
    (IDLE, panic(complete=False), "the report is not complete"),
    (IDLE, panic(context="task"), "context is 'task'"),
    (IDLE, panic(strategy="halt"), "strategy is 'halt'"),
    (IDLE, panic(timeout=0), "timeout is 0, not 1"),
    (IDLE, panic(message="another"), "the message is 'another'"),
    (IDLE, outcome(next="halt"), "next is 'halt'"),
    (IDLE, outcome(elapsed_ns=1_600_000_000), "the handler took 1.60 s"),
    (IDLE, lambda s: s.record["panics"][0]["volumes"].clear(), "volumes told: []"),
    (UNLOAD, lambda s: s.record["panics"][0]["volumes"].append({"name": "vda", "lane": None}), "volumes told: ['vda']"),
    (IDLE, volume(state="failed"), "told to be failed"),
    (NULL, volume(1, state="failed"), "vda is told to be failed"),
    # In flight, drain.
    (NEVER, volume(in_flight=63), "63 told to be in flight, 64 were"),
    ("submit.virtio-poll.idle.erst.now", volume(in_flight=0), "0 told to be in flight, 1 were"),
    (NEVER, volume(drain=None), "no drain is told"),
    (NEVER, drain(drained=True), "drained=True with 64 in flight"),
    (NEVER, drain(drained=True, in_flight=0), "told to be drained, and the device completes nothing"),
    (NEVER, drain(in_flight=65), "65 in flight after the drain, 64 before it"),
    (NEVER, drain(in_flight=60), "60 of 64 told to be left, but only 1 reached the disk"),
    (NEVER, drain(end="driver-empty"), "and the device had 64 requests"),
    (WRITING, drain(drained=False, in_flight=5), "5 of 64 were not collected"),
    (WRITING, lambda s: setattr(s.log[2], "sectors", 8), "0 of 64 told to be left, but only"),
    (IDLE, drain(end="deadline"), "and the device had nothing"),
    (IDLE, drain(end="no-way"), "drained, and the drain ended by no-way"),
    # Gate and flush.
    (IDLE, lambda s: s.requests.pop(), "QEMU has counted 3 flushes since the cell was ready, and traced 2"),
    (IDLE, more(Request(100.5, 5000, 8)), "after the panic the disk was asked to write 8 sectors at 5000"),
    (IDLE, more(Request(100.5, 800 + 8 * 128 - 8, 16)), "asked to write 16 sectors at 1816"),
    (LOOP, more(Request(100.5, sample.SLOT, 8)), "asked to write 8 sectors at 928"),
    (DM, more(Request(100.5, sample.SLOT, 8)), "asked to write 8 sectors at 928"),
    (NESTED, more(Request(100.5, 5000, 8)), "asked to write 8 sectors at 5000"),
    (IDLE, no_flush_since, "flush=ok is claimed; since the panic the disk was asked for none"),
    (NVME, no_flush_since, "flush=ok is claimed; since the panic the disk was asked for none"),
    (NULL, no_flush_since, "flush=ok is claimed; since the panic the disk was asked for none"),
    # Of the log's flushes only the one before the record, and only the tail's.
    (NVME, lambda s: s.log.__delitem__(slice(3, None)), "the disk's log has none behind the record"),
    (NVME, lambda s: s.log.pop(3), "the disk's log has none behind the record"),
    (IDLE, seen(mark=4), "the disk's log has none behind the record"),
    (ERRORS, no_flush_since, "flush=failed is claimed; since the panic the disk was asked for none"),
    (ERRORS, lambda s: setattr(s.requests[-1], "failed", False), "all of the disk's flushes since the panic were done"),
    (DEAD, lane(flush="timeout"), "flush=timeout is claimed; since the panic the disk was asked for none"),
    (IDLE, lane(flush="not-attempted"), "flush=not-attempted is claimed; since the panic the disk was asked for 2"),
    (SCSI, lane(flush="refused"), "flush=refused is claimed; since the panic the disk was asked for 2"),
    (DEAD, more(Request(100.5)), "flush=not-attempted is claimed; since the panic the disk was asked for 1"),
    (LOOP, more(Request(100.5)), "flush=not-attempted is claimed; since the panic the disk was asked for 1"),
    (UNLOAD, more(Request(100.5)), "flush=not-attempted is claimed; since the panic the disk was asked for 1"),
    (NESTED, more(Request(100.5)), "flush=no is claimed; since the panic the disk was asked for 1"),
    (NESTED_LOOP, more(Request(100.5)), "flush=no is claimed; since the panic the disk was asked for 1"),
    (NESTED_GONE, more(Request(100.5)), "flush=no is claimed; since the panic the disk was asked for 1"),
    (NULL, outcome(flush="ok"), "the outcome's flush is ok, and the lanes' are ['not-attempted', 'ok']"),
    (IDLE, outcome(flush="failed"), "the outcome's flush is failed"),
    (IDLE, drain(flush="not-attempted"), "the drain says flush=not-attempted, and the lane is virtio-shared"),
    (DM, drain(flush="pending"), "the drain says flush=pending, and the lane is none:not-mq"),
    # Lane and record.
    (IDLE, volume(lane=None), "no lane is told"),
    (LOOP, volume(lane=None), "no lane is told"),
    (IDLE, lane(way="none:vectors"), "the lane is none:vectors, not virtio-shared"),
    (DEAD, lane(way="virtio-poll"), "the lane is virtio-poll, not virtio-shared"),
    (IDLE, drain(way="none:vectors"), "the drain's way is none:vectors, not virtio-shared"),
    (MOUNT, drain(way="nvme-reap"), "the drain's way is nvme-reap, not none"),
    (DM, lane(way="none:driver"), "the lane is none:driver, not none:not-mq"),
    (MOUNT, lane(way="nvme-poll"), "the lane is nvme-poll, not none"),
    (DM, lane(why=None), "the lane's result is refused, and no reason is told"),
    (IDLE, lane(flush="failed"), "the lane's result is ok, and its flush failed"),
    (NULL, lane(result="ok", flush="ok", sequence=1), "a record is claimed, and there is no lane to write it"),
    (IDLE, lane(result="refused", why="nmi"), "and nothing hinders it"),
    (DEAD, lane(result="ok", sequence=1), "on a device that takes none"),
    (IDLE, records(), "the lane claims record 1"),
    (IDLE, records({**WHOLE, "state": "torn"}), "the lane claims record 1"),
    (IDLE, records({**WHOLE, "sequence": 2}), "the lane claims record 1"),
    ("nmi.nvme-default.idle.erst.now", records(WHOLE), "the lane refused, and the disk has a record"),
    # The mounts' lines.
    (IDLE, lambda s: s.truth.update(mount_log=[]), "vda: mount says that its ways to write and collect are nothing"),
    (IDLE, mount_line("panic_lane=virtio-shared", "panic_lane=none:driver"), "('none:driver', 'virtio-shared')"),
    (IDLE, mount_line("by virtio-shared", "by none:driver"), "('virtio-shared', 'none:driver')"),
    (LOOP, mount_line("none:driver", "none:not-mq"), "('none:not-mq', 'none:not-mq')"),
    (NULL, lambda s: s.truth["mount_log"].pop(), "vda: mount says that its ways to write and collect are nothing"),
    (NESTED, mount_line("vda", "vdc"), "vda: mount says"),
    (IDLE, seen(next_log=[]), "the next mount names 0 panics, not one"),
    (IDLE, lambda s: s.next_log.append(LAST), "the next mount names 2 panics, not one"),
    (IDLE, next_line("00000001", "00000009"), "the next mount names panic 00000009"),
    (IDLE, next_line(f"{sample.SECONDS} s", "5 s"), "the next mount names panic 00000001 of 5 s"),
    (IDLE, next_line("panicker: hardirq", "another"), "the next mount says that the message was 'another'"),
    (DEAD, seen(next_log=[LAST]), "names a panic of which the volume has no record: 00000009"),
    (LOOP, seen(next_log=[LAST]), "names a panic of which the volume has no record: 00000009"),
    (NESTED_OURS, seen(next_log=[LAST]), "names a panic of which the volume has no record: 00000009"),
    # pstore of others.
    (IDLE, seen(pstore=None), "pstore was not read"),
    (IDLE, lambda s: s.pstore.update(backend="permfs"), "the next boot's pstore is 'permfs', not 'erst'"),
    (IDLE, lambda s: s.pstore["json"]["panics"].clear(), "pstore holds 0 panics"),
    (IDLE, both(panic(cpu=1), kept(cpu=9)), "differs from the one on the console in cpu"),
    (IDLE, both(panic(deferred=True), kept(**DEFERRED)), "ends neither with its outcome nor where that was deferred: 3 lines"),
    (NESTED, lambda s: s.pstore.update(backend="ramoops"), "the next boot's pstore is 'ramoops', not 'erst'"),
    (NESTED, lambda s: s.pstore["json"]["panics"].clear(), "pstore holds 0 panics"),
    (NESTED, kept(nested_in_stage="gate"), "differs from the one on the console in nested_in_stage"),
    # pstore of ours.
    (OURS, seen(pstore=None), "pstore was not read"),
    (OURS, lambda s: s.pstore.update(backend="(null)"), "the next boot's pstore is '(null)', not 'permfs'"),
    (OURS, lambda s: s.pstore["json"]["panics"].clear(), "pstore holds 0 panics"),
    (OURS, kept(id="00000009"), "differs from the one on the console in id"),
    (OURS, kept(message="another"), "differs from the one on the console in message"),
    (OURS_NMI, lambda s: s.pstore["json"]["panics"].append({}), "a volume whose lane did not work"),
    (OURS_NMI, records(LOG), "a volume whose lane did not work"),
    (OURS_NMI, lane(why=None), "the kernel's log is not in pstore, and the report does not say why"),
    (OURS_MOUNT, lane(why=None), "the kernel's log is not in pstore, and the report does not say why"),
    (OURS_LOOP, volume(lane=None), "the kernel's log is not in pstore, and the report does not say why"),
    (OURS_LOOP, lambda s: s.pstore.update(backend="permfs"), "the next boot's pstore is 'permfs', not '(null)'"),
    (UNLOAD, lambda s: s.pstore["json"]["panics"].append({}), "a volume whose lane did not work"),
    (NESTED_OURS, lambda s: s.pstore["json"]["panics"].clear(), "pstore holds 0 panics"),
    (NESTED_GONE, lambda s: s.pstore["json"]["panics"].append({}), "a volume whose lane did not work"),
    # What is left of the volume.
    (LOOP, found(lost=["kept/100 has other contents"]), "fsynced data is lost"),
    (LOOP, found(error="mount: status 32"), "mount: status 32"),
    (LOOP, seen(fsck="status 4"), "fsck.permfs after the mount: status 4"),
    (LOOP, seen(volume=None), "was not looked at"),
    (NESTED, found(lost=["kept/100 has other contents"]), "fsynced data is lost"),
    # A panic within the handler.
    (NESTED, panic(nested_in_stage="gate"), "nested in stage 'gate'"),
    (NESTED, panic(nested_in_stage=None), "nested in stage None"),
    (NESTED, panic(id="00000000"), "has no id"),
    (NESTED, panic(lines=2), "did not come to its first line, and 2 lines are told"),
    (NESTED, panic(outcome={"flush": "not-attempted"}), "did not come to its first line"),
    (NESTED, lambda s: setattr(s, "console", s.console.split("\n", 1)[1]), "the kernel was to panic by sysrq and then"),
    (NESTED, record(oopses=[{}]), "an oops is told"),
    # A Rust panic, which is an oops first.
    (RUST, record(oopses=[]), "the oops is not told"),
    (RUST, oops(complete=False), "the oops is not told"),
    (RUST, failed(name="vdb"), "the oops is not told"),
    (RUST, oops(panic=None), "do not name each other"),
    (RUST, failed(in_flight=3), "and it tells of 3"),
    (RUST, failed(lock_held=False), "no lock of the volume"),
)


def sentences() -> set[tuple[str, int]]:
    """File and line of each sentence that a check can say."""
    all_of_them = set()
    for module in (expect, expect_disk, expect_next):
        lines = pathlib.Path(module.__file__).read_text().split("\n")
        all_of_them |= {(module.__file__, n) for n, line in enumerate(lines, 1)
                        if line.strip().startswith("yield ") and not line.strip().startswith("yield from ")}
    return all_of_them


class Lies(unittest.TestCase):
    """What is not as it must be is seen."""

    def test_every_cell_of_the_matrix_can_hold(self):
        for c in space.matrix():
            with self.subTest(c.name):
                self.assertEqual(expect.judge(sample.good(c.name)), [])

    def test_each_lie_is_seen_and_each_sentence_has_one(self):
        said = set()

        def trace(frame, event, _):
            if event == "line":
                said.add((frame.f_code.co_filename, frame.f_lineno))
            return trace

        for name, change, sentence in LIES:
            with self.subTest(cell=name, sentence=sentence):
                lie = sample.good(name)
                self.assertEqual(expect.judge(lie), [])
                change(lie)
                before = sys.gettrace()
                sys.settrace(trace)
                try:
                    found_out = expect.judge(lie)
                finally:
                    sys.settrace(before)
                self.assertTrue(any(sentence in wrong for wrong in found_out), f"not in {found_out}")
        self.assertEqual(sentences() - said, set())

    def test_a_report_that_was_deferred_is_whole_without_its_outcome(self):
        cell = sample.good(NEVER)
        panic(deferred=True)(cell)
        kept(**DEFERRED, outcome_deferred=True)(cell)
        self.assertEqual(expect.judge(cell), [])

    def test_of_a_torn_record_the_message_may_be_lost(self):
        cell = sample.good("process.virtio-shared.never.erst.now")
        records({**WHOLE, "state": "torn"})(cell)
        cell.next_log = [f"permfs: (vda): the last panic that it recorded: panic {sample.ID}, {sample.SECONDS} s after 1970"]
        self.assertEqual(expect.judge(cell), [])
