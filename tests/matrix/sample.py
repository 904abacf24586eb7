# SPDX-License-Identifier: GPL-2.0
"""What is seen of a cell that holds, put together by hand: the tests of the checks begin with it and change one thing."""

import copy
import pathlib

import cell
import facts
import space
from logwrites import FLUSH, Entry
from machine import Event
from witness import Request

ID = "00000001"
SECONDS = 1_700_000_000
# Slots of 128 sectors; that of the first record begins behind slot 0.
LAYOUT = {"panic_start": 100, "panic_slots": 8, "panic_slot_blocks": 16}
SLOT = (100 + 16) * 8
TAIL = SLOT + 15 * 8
READY, PANIC, END = 99.0, 100.0, 101.5
MESSAGES = {**{name: f"panicker: {name}" for name in ("softirq", "hardirq", "nmi", "spin")}, "rust": "Fatal exception"}


def message(c: space.Cell) -> str:
    return MESSAGES.get(c.context, facts.SYSRQ if facts.by_sysrq(c) else facts.INSIDE)


def outcome_of(c: space.Cell, ways: tuple[str, str], dead: bool) -> dict:
    """What becomes of a lane: result, why, flush, sequence."""
    if ways[0].startswith("none"):
        return {"result": "refused", "why": ways[0][5:], "flush": "not-attempted", "sequence": None}
    if c.context == "nmi" or c.state == "unplugged" and dead:
        return {"result": "refused", "why": "nmi", "flush": "not-attempted", "sequence": None}
    if dead and c.state == "errors":
        return {"result": "failed", "why": "io-error", "flush": "failed", "sequence": 1}
    if dead:
        return {"result": "timeout", "why": "deadline", "flush": "not-attempted", "sequence": 1}
    return {"result": "ok", "why": None, "flush": "ok", "sequence": 1}


def told(seen: cell.Seen, name: str, ways: tuple[str, str]) -> dict:
    """A volume as a report tells it."""
    c, own = seen.cell, name == seen.kind.volume
    dead = own and c.state in facts.DEAD_STATES
    was = seen.truth["in_flight"] + facts.EXTRA_IN_FLIGHT.get(c.context, 0) if own else 0
    lane = {"way": ways[0], **outcome_of(c, ways, dead)}
    if c.context == "mount" and own:
        lane = {"way": "none", "result": "refused", "why": "not-ready", "flush": "not-attempted", "sequence": None}
    collects = "none" if lane["way"] == "none" else ways[1]
    left = was if dead or not lane["result"] == "ok" else 0
    no_way = lane["way"].startswith("none")
    drain = {"way": collects, "drained": left == 0, "in_flight": left, "flush": "not-attempted" if no_way else "pending",
             "end": "done" if left == 0 else "no-way" if no_way else "deadline"}
    state = {"mount": "claimed", "rust": "failed"}.get(c.context, "mounted") if own else "mounted"
    return {"name": name, "state": state, "in_flight": was, "lane": lane, "drain": drain}


def panic_of(seen: cell.Seen) -> dict:
    """The panic as the console has it."""
    c = seen.cell
    panic = {"id": ID, "complete": True, "lines": 6, "lines_written": 6, "nested_in_stage": None, "oops": None,
             "message": message(c), "context": facts.CONTEXT.get(c.context, "task"), "strategy": "kernel", "deferred": False,
             "timeout": facts.TIMEOUT[c.end], "wall_ns": SECONDS * facts.NS, "outcome_deferred": False}
    if c.context == "nested":
        return {**panic, "complete": False, "lines": 1, "nested_in_stage": "known", "message": None, "context": None,
                "strategy": None, "timeout": None, "wall_ns": None, "volumes": [], "outcome": None}
    volumes = [told(seen, name, ways) for name, ways in facts.mounted_ways(seen).items() if c.context != "unload"]
    claims = [volume["lane"]["flush"] for volume in volumes]
    worst = next((claim for claim in ("failed", "not-attempted", "ok") if claim in claims), "not-attempted")
    return {**panic, "volumes": volumes, "oops": "00000002" if c.context == "rust" else None,
            "outcome": {"flush": worst, "elapsed_ns": 5_000_000, "next": facts.NEXT[c.end]}}


def good(name: str) -> cell.Seen:
    """What is seen of the cell of that name, if it holds."""
    c = space.parse(name)
    seen = cell.Seen(c, pathlib.Path("."))
    held = 64 if c.state in ("inflight", "never") else 0
    seen.outcome = "over"
    ways = facts.mounted_ways(seen)
    mounts = [f"[    3.0] permfs: ({volume}): panic_lane={writes}, what is in flight is collected by {collects}"
              for volume, (writes, collects) in ways.items()]
    seen.truth = {"writers": held, "in_flight": held, "mount_log": mounts}
    panic = panic_of(seen)
    seen.record = {"panics": [panic], "oopses": [], "damaged_lines": 0, "unknown_lines": 0}
    if c.context == "rust":
        volume = {"name": seen.kind.volume, "in_flight": held, "lock_held": True}
        seen.record["oopses"].append({"id": "00000002", "panic": ID, "complete": True, "volumes": [volume]})
    seen.events = [Event("GUEST_PANICKED", PANIC, {}),
                   Event("WATCHDOG", 109.0, {}) if c.end == "watchdog" else Event("SHUTDOWN", END, {"reason": "guest-reset"})]
    said = [facts.SYSRQ, facts.INSIDE] if c.context == "nested" else [message(c)]
    seen.console = "".join(f"[    1.0] Kernel panic - not syncing: {text}\n" for text in said)
    seen.console += f"[    1.1] ---[ end Kernel panic - not syncing: {said[-1]} ]---\n"
    seen.layout = None if c.device == "loop" else dict(LAYOUT)
    lane = facts.disk_lane(seen)
    write_disk(seen, lane)
    # What nested panics leave is only the log.
    log = c.pstore == "ours" and (lane["result"] == "ok" if lane else c.context == "nested" and facts.has_way(c)
                                  and not facts.is_dead(c))
    kept = [copy.deepcopy(panic)] if log or c.pstore != "ours" else []
    backend = "(null)" if c.pstore == "ours" and c.device == "loop" else {"ours": "permfs"}.get(c.pstore, c.pstore)
    seen.pstore = {"files": {}, "backend": backend, "json": {"panics": kept}}
    records = [record("kernel-log", 2)] if log else []
    if lane and lane["result"] == "ok":
        records.insert(0, record("panic-lines", 1))
        last = f"panic {ID}, {SECONDS} s after 1970: {message(c)}"
        seen.next_log = [f"[    9.0] permfs: (vda): the last panic that it recorded: {last}"]
    seen.area = None if c.device == "loop" else {"areas": [{"records": records}]}
    seen.volume = {"error": None, "lost": [], "mounted": True}
    return seen


def record(kind: str, sequence: int) -> dict:
    return {"panic": ID, "kind": kind, "state": "whole", "sequence": sequence}


def write_disk(seen: cell.Seen, lane: dict | None) -> None:
    """What the disk was asked for, and its log: an ordinary commit before the panic, and what the lane has done."""
    flush = Entry(0, 0, FLUSH, 0, 0)
    seen.requests = [Request(READY + 0.1, 5000, 8, None), Request(READY + 0.2, failed=False)]
    seen.log = [Entry(5000, 8, 0, 0, 0), flush]
    if seen.cell.state == "inflight" and seen.cell.device != "null-blk":
        seen.log.append(Entry(9000, 8 * 64, 0, 0, 0))
    if lane and lane["result"] == "ok":
        seen.requests += [Request(100.1, SLOT, 16), Request(100.2, failed=False), Request(100.3, TAIL, 8),
                          Request(100.4, failed=False)]
        seen.log += [Entry(SLOT, 16, 0, 0, 0), flush, Entry(TAIL, 8, 0, 0, 0), flush]
    elif lane and lane["sequence"]:
        seen.requests.append(Request(100.1, SLOT, 16))
        if lane["flush"] == "failed":
            seen.requests.append(Request(100.2, failed=True))
    failed = sum(request.is_flush and bool(request.failed) for request in seen.requests)
    done = sum(request.is_flush for request in seen.requests) - failed
    counts = seen.kind.bus != "--nvme"
    seen.at_ready = cell.Disk(512, 0, *(5, 0) if counts else (None, None))
    seen.at_end = cell.Disk(4096, 900, *(5 + done, failed) if counts else (None, None))
