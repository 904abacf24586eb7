# SPDX-License-Identifier: GPL-2.0
"""Judges a cell: its end and its report. What the disk knows is in expect_disk.py, what the next boot read in expect_next.py.

A check gets all that was seen of a cell and yields a sentence for each thing that is not as it must be; facts.py has the tables.
"""

import re
from collections.abc import Iterator

from cell import Seen, heartbeat
from expect_disk import check_drain_end, check_flush, check_gate, check_in_flight, check_lane, check_witness
from expect_next import check_disk, check_mount_log, check_next_log, check_pstore
from facts import (CONTEXT, DEADLINE, DEVICE_STATES, INSIDE, KERNEL, NEXT, PRINTING, SYSRQ, TIMEOUT, VOLUME_STATES, WAITS,
                   end_event, expected_volumes, message_of, reports, time_to_end, volumes)


def judge(seen: Seen) -> list[str]:
    """Everything that is wrong with a cell; empty if it holds."""
    if seen.failed:
        return [seen.failed]
    if seen.outcome != "over":
        return [hang(seen)]
    wrong = list(check_end(seen))
    if not reports(seen.record):
        return [*wrong, "no report on the console"]
    if time_to_end(seen) is None:
        return wrong
    checks = {"nested": NESTED, "rust": (check_oops, *CHECKS)}.get(seen.cell.context, CHECKS)
    for check in checks:
        wrong += check(seen)
    return wrong


def hang(seen: Seen) -> str:
    last = seen.console.rstrip().split("\n")[-1][-160:]
    if seen.outcome == "gone":
        return f"QEMU went away before the machine's end; the console's last line: {last}"
    when = "after the panic began" if "Kernel panic - not syncing" in seen.console else "before any panic"
    return f"HANG: no halt or reset in time, {when}; the console's last line: {last}"


def check_end(seen: Seen) -> Iterator[str]:
    """The machine reached its halt or reboot policy, in time, and by the way that the cell asked for."""
    end = seen.cell.end
    took = time_to_end(seen)
    if took is None:
        yield "the machine ended without a panic"
        return
    limit = DEADLINE + PRINTING + KERNEL + (heartbeat(seen.cell) if end == "watchdog" else WAITS[end])
    if took > limit:
        yield f"from panic to end it took {took:.1f} s, more than {limit:.1f}"
    last = end_event(seen)
    how = "the watchdog" if last.name == "WATCHDOG" else last.data.get("reason")
    if how != ("the watchdog" if end == "watchdog" else "guest-reset"):
        yield f"the machine was to {NEXT[end]}, and ended by {how}"
    if end == "watchdog" and "---[ end Kernel panic" not in seen.console:
        yield "the kernel did not come to its halt before the watchdog"


def check_alone(seen: Seen) -> Iterator[str]:
    """There is one panic, every line of it is whole, and no oops unless the cell makes one."""
    record = seen.record
    if len(reports(record)) != 1:
        yield f"{len(reports(record))} panics on the console, not one"
    if record["damaged_lines"] or record["unknown_lines"]:
        yield f"{record['damaged_lines']} damaged and {record['unknown_lines']} unknown lines"
    if record["oopses"] and seen.cell.context != "rust":
        yield f"an oops is told: {record['oopses']}"


def check_report(seen: Seen) -> Iterator[str]:
    """The report of the panic is complete and true."""
    cell, panic = seen.cell, reports(seen.record)[0]
    if not panic["complete"]:
        yield f"the report is not complete: {panic['lines']} of {panic['lines_written']} lines"
        return
    facts = {"context": CONTEXT.get(cell.context, "task"), "strategy": "kernel", "timeout": TIMEOUT[cell.end]}
    for name, want in facts.items():
        if panic[name] != want:
            yield f"{name} is {panic[name]!r}, not {want!r}"
    if not re.fullmatch(message_of(cell), panic["message"] or ""):
        yield f"the message is {panic['message']!r}, not {message_of(cell)!r}"
    if panic["outcome"]["next"] != NEXT[cell.end]:
        yield f"next is {panic['outcome']['next']!r}, not {NEXT[cell.end]!r}"
    elapsed = panic["outcome"]["elapsed_ns"] / 1e9
    if elapsed > DEADLINE + PRINTING:
        yield f"the handler took {elapsed:.2f} s, more than {DEADLINE + PRINTING:.2f}"


def check_volume(seen: Seen) -> Iterator[str]:
    """Every volume is named, in its true state."""
    told, cell = volumes(seen), seen.cell
    if set(told) != expected_volumes(seen):
        yield f"volumes told: {sorted(map(str, told))}, not {sorted(expected_volumes(seen))}"
        return
    for name, volume in told.items():
        if name == seen.kind.volume:
            may = VOLUME_STATES.get(cell.context) or DEVICE_STATES.get(cell.state) or {"mounted"}
            if cell.context == "unmount":
                may = may | DEVICE_STATES.get(cell.state, set())
        else:
            may = {"mounted"}
        if volume["state"] not in may:
            yield f"{name} is told to be {volume['state']}, not {' or '.join(sorted(may))}"


def check_nested(seen: Seen) -> Iterator[str]:
    """A panic within the handler, before its first line, is told with its stage, and nothing else is."""
    panic = reports(seen.record)[0]
    if panic["nested_in_stage"] != "known":
        yield f"nested in stage {panic['nested_in_stage']!r} is told, not 'known'"
    if int(panic["id"], 16) == 0:
        yield "the nested panic has no id, as that of another boot may have none"
    # The point is before the first line: what else is told, the handler went on with.
    if panic["lines"] != 1 or panic["volumes"] or panic["outcome"]:
        yield f"the handler did not come to its first line, and {panic['lines']} lines are told"
    said = re.findall(r"Kernel panic - not syncing: (.*)", seen.console.split("---[ end Kernel panic")[0])
    if said != [SYSRQ, INSIDE]:
        yield f"the kernel was to panic by sysrq and then in the handler; it said {said}"


def check_oops(seen: Seen) -> Iterator[str]:
    """A Rust panic is an oops first: it is told, whole, with the volume that it was in, and the panic names it."""
    oopses, panic = seen.record["oopses"], reports(seen.record)[0]
    failed = [volume for oops in oopses for volume in oops["volumes"] if volume["name"] == seen.kind.volume]
    if len(oopses) != 1 or not oopses[0]["complete"] or len(failed) != 1:
        yield f"the oops is not told once, whole, with its volume: {oopses}"
        return
    if failed[0]["in_flight"] != seen.truth.get("in_flight", 0):
        yield f"{seen.truth.get('in_flight', 0)} were in flight at the oops, and it tells of {failed[0]['in_flight']}"
    if not failed[0]["lock_held"]:
        yield "the oops came in the middle of an operation, and is told to hold no lock of the volume"
    if (panic["oops"], oopses[0]["panic"]) != (oopses[0]["id"], panic["id"]):
        yield f"oops and panic do not name each other: {panic['oops']!r}, {oopses[0]['panic']!r}"


# What is so of every panic, whatever the handler came to.
ALWAYS = (check_alone, check_witness, check_gate, check_flush, check_mount_log, check_next_log, check_pstore, check_disk)
CHECKS = (*ALWAYS, check_report, check_volume, check_in_flight, check_drain_end, check_lane)
NESTED = (*ALWAYS, check_nested)


def summary(seen: Seen) -> str:
    """Figures of a cell that holds."""
    panic = reports(seen.record)[0]
    outcome = panic["outcome"] or {}
    elapsed = f"{outcome['elapsed_ns'] / 1e6:.0f} ms" if outcome else "nested"
    took = time_to_end(seen)
    log = seen.log[seen.mark:]
    return (f"handler {elapsed}, panic to end {took:.1f} s, in flight {seen.truth.get('in_flight', 0)}, "
            f"disk saw {sum(entry.is_write for entry in log)} writes and {sum(entry.is_flush for entry in log)} flushes after")
