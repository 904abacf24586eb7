# SPDX-License-Identifier: GPL-2.0
"""What must hold in each cell: tables first, then the checks that read them.

A check gets all that was seen of a cell and yields a sentence for each thing that is not as it must be.
"""

import re
from collections.abc import Iterator

import logwrites
from cell import ENDS, Seen, heartbeat
from machine import Event
from space import Cell

# The handler's deadline, and what its lines may take beside it on an emulated serial console.
DEADLINE = 0.5
PRINTING = 1.0
# From the first notifier to halt or reset: the handler, the kernel's own lines, pstore, and kernel.panic seconds.
KERNEL = 6.0
WAITS = {"once": 1.0, "now": 0.0}
NEXT = {"once": "reboot", "now": "reboot", "watchdog": "halt"}
TIMEOUT = {"once": 1, "now": -1, "watchdog": 0}

# Of the size that the guest's writers use.
SECTORS_A_WRITE = 8

# What the report calls the context.
CONTEXT = {"softirq": "softirq", "hardirq": "hardirq", "nmi": "nmi"}
# The panic's message, a regular expression; sysrq's for the others.
MESSAGE = {"softirq": "panicker: softirq", "hardirq": "panicker: hardirq", "nmi": "panicker: nmi", "spin": "panicker: spin",
           "rust": "Fatal exception.*"}
SYSRQ = "sysrq triggered crash"
INSIDE = "permfs: panic_at"
# States that a volume may be in, by context; then by the device's state.
VOLUME_STATES = {"mount": {"claimed", "mounting"}, "unmount": {"mounted", "unmounting"}, "rust": {"failed"}}
DEVICE_STATES = {"errors": {"mounted", "failed"}, "unplugged": {"mounted", "failed"}}
# Requests that PermFS counts beside those that the device holds: at that point one is counted and not yet submitted.
EXTRA_IN_FLIGHT = {"submit": 1}

# The ways to collect and to write that a device has, as its volume's lines name them; devices not named have none.
WAYS = {"virtio-poll": "virtio-poll", "virtio-shared": "virtio-shared", "virtio-scsi": "virtio-scsi", "nvme-poll": "nvme-poll",
        "nvme-default": "nvme-reap", "null-blk": "virtio-shared"}
# A record must be on the disk in these contexts and states of the device, if it has a way; elsewhere it may be refused.
RECORDED_CONTEXTS = {"process", "softirq", "hardirq", "spin", "commit", "alloc", "unmount", "rust"}
RECORDED_STATES = {"idle", "inflight"}
# With such a device there can be no record, and none may be claimed.
DEAD_STATES = {"never", "errors", "unplugged"}
# All in flight must be collected there.
DRAINED_CONTEXTS = {"process", "softirq", "hardirq", "spin"}


def judge(seen: Seen) -> list[str]:
    """Everything that is wrong with a cell; empty if it holds."""
    if seen.failed:
        return [seen.failed]
    if seen.outcome != "over":
        return [hang(seen)]
    wrong = list(check_end(seen))
    if not reports(seen.record):
        return [*wrong, "no report on the console"]
    checks = {"nested": (check_nested, check_disk), "rust": (check_oops, *CHECKS)}.get(seen.cell.context, CHECKS)
    for check in checks:
        wrong += check(seen)
    return wrong


def reports(record: dict | None) -> list[dict]:
    """The panics in what `permfs panic` has read."""
    return (record or {}).get("panics", [])


def hang(seen: Seen) -> str:
    last = seen.console.rstrip().split("\n")[-1][-160:]
    if seen.outcome == "gone":
        return f"QEMU went away before the machine's end; the console's last line: {last}"
    when = "after the panic began" if "Kernel panic - not syncing" in seen.console else "before any panic"
    return f"HANG: no halt or reset in time, {when}; the console's last line: {last}"


def end_event(seen: Seen) -> Event:
    return next(event for event in seen.events if event.name in ENDS)


def time_to_end(seen: Seen) -> float | None:
    """Seconds from the first notifier (pvpanic's) to the machine's end, by QEMU's clock."""
    panicked = next((event.at for event in seen.events if event.name == "GUEST_PANICKED"), None)
    return None if panicked is None else end_event(seen).at - panicked


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


def check_report(seen: Seen) -> Iterator[str]:
    """The report of the one panic is whole and true."""
    record, cell = seen.record, seen.cell
    if len(reports(record)) != 1:
        yield f"{len(reports(record))} panics on the console, not one"
    panic = reports(record)[0]
    if record["damaged_lines"] or record["unknown_lines"]:
        yield f"{record['damaged_lines']} damaged and {record['unknown_lines']} unknown lines"
    if record["oopses"] and cell.context != "rust":
        yield f"an oops is told: {record['oopses']}"
    if not panic["complete"]:
        yield f"the report is not complete: {panic['lines']} of {panic['lines_written']} lines"
        return
    message = MESSAGE.get(cell.context, SYSRQ if by_sysrq(cell) else INSIDE)
    facts = {"context": CONTEXT.get(cell.context, "task"), "strategy": "kernel", "timeout": TIMEOUT[cell.end]}
    for name, want in facts.items():
        if panic[name] != want:
            yield f"{name} is {panic[name]!r}, not {want!r}"
    if not re.fullmatch(message, panic["message"] or ""):
        yield f"the message is {panic['message']!r}, not {message!r}"
    if panic["outcome"]["next"] != NEXT[cell.end]:
        yield f"next is {panic['outcome']['next']!r}, not {NEXT[cell.end]!r}"
    elapsed = panic["outcome"]["elapsed_ns"] / 1e9
    if elapsed > DEADLINE + PRINTING:
        yield f"the handler took {elapsed:.2f} s, more than {DEADLINE + PRINTING:.2f}"


def by_sysrq(cell: Cell) -> bool:
    """Whether the panic is the one that sysrq makes: a mount or unmount may simply hang on its device."""
    return cell.context in ("process", "nested") or (cell.context in ("mount", "unmount") and cell.state == "never")


def volumes(seen: Seen) -> dict[str, dict]:
    return {volume["name"]: volume for volume in reports(seen.record)[0]["volumes"]}


def expected_volumes(seen: Seen) -> set[str]:
    """Names of the volumes that are mounted, or on their way."""
    if seen.cell.context == "unload":
        return set()
    return {seen.kind.volume} | ({"vda"} if seen.cell.device == "null-blk" else set())


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


def check_in_flight(seen: Seen) -> Iterator[str]:
    """What was in flight is what the test knows was, and a drain that is claimed has been."""
    told = volumes(seen)
    for name in expected_volumes(seen) & set(told):
        volume = told[name]
        truth = seen.truth.get("in_flight", 0) if name == seen.kind.volume else 0
        if name == seen.kind.volume:
            truth += EXTRA_IN_FLIGHT.get(seen.cell.context, 0)
        if volume["in_flight"] != truth:
            yield f"{name}: {volume['in_flight']} told to be in flight, {truth} were"
        drain = volume["drain"]
        if not drain:
            yield f"{name}: no drain is told"
            continue
        if drain["drained"] != (drain["in_flight"] == 0):
            yield f"{name}: drained={drain['drained']} with {drain['in_flight']} in flight"
        if drain["in_flight"] > volume["in_flight"]:
            yield f"{name}: {drain['in_flight']} in flight after the drain, {volume['in_flight']} before it"
        if seen.cell.device == "null-blk" or not seen.truth.get("writers"):
            continue
        # The writers' blocks that the disk itself has seen: at least those which are told to have completed.
        reached = sum(entry.sectors for entry in seen.log[seen.mark:] if entry.is_write) // SECTORS_A_WRITE
        if reached < seen.truth["writers"] - drain["in_flight"]:
            yield f"{name}: {drain['in_flight']} of {truth} told to be left, but only {reached} reached the disk"
        if seen.cell.state == "never" and drain["drained"]:
            yield f"{name}: told to be drained, and the device completes nothing"
        must = seen.cell.device in WAYS and seen.cell.state == "inflight" and seen.cell.context in DRAINED_CONTEXTS
        if must and not drain["drained"]:
            yield f"{name}: {drain['in_flight']} of {truth} were not collected, though the device completes them"


def check_drain_end(seen: Seen) -> Iterator[str]:
    """The drain waits for what the device has, to its deadline, and for nothing else."""
    name, cell = seen.kind.volume, seen.cell
    drain = volumes(seen).get(name, {}).get("drain")
    if not drain:
        return
    held, end = seen.truth.get("in_flight", 0), drain["end"]
    if drain["drained"] and end != "done":
        yield f"{name}: drained, and the drain ended by {end}"
    if cell.state == "idle" and end == "deadline":
        yield f"{name}: the drain waited for its deadline, and the device had nothing"
    collects = cell.device in WAYS and cell.device != "null-blk" and cell.context in DRAINED_CONTEXTS
    if cell.state == "never" and held and collects and end != "deadline":
        yield f"{name}: the drain ended by {end}, and the device had {held} requests"


def check_flush(seen: Seen) -> Iterator[str]:
    """A flush that is claimed was seen by the disk, and one that was made is not denied."""
    panic = reports(seen.record)[0]
    if not panic["outcome"]:
        return
    lane = (volumes(seen).get(disk_volume(seen)) or {}).get("lane")
    claim = lane["flush"] if lane else panic["outcome"]["flush"]
    flushes = seen.at_end.flushes - seen.at_ready.flushes
    log = seen.log[seen.mark:]
    in_log = sum(entry.is_flush for entry in log)
    if claim == "ok" and not (flushes and in_log):
        yield f"flush=ok is claimed; the device saw {flushes} flushes, and {in_log} reached the disk"
    quiet = seen.cell.context in ("process", "softirq", "hardirq", "nmi", "spin", "nested") and seen.cell.state == "idle"
    if claim in ("not-attempted", "refused") and quiet and flushes:
        yield f"flush={claim} is claimed; the device saw {flushes} flushes"


def disk_volume(seen: Seen) -> str:
    """Name of the volume that is on the disk whose log is read: the witness beside null_blk, else the cell's."""
    return "vda" if seen.cell.device == "null-blk" else seen.kind.volume


def must_record(seen: Seen) -> bool:
    """Whether there must be a record on the disk."""
    cell = seen.cell
    healthy = cell.state in RECORDED_STATES or cell.device == "null-blk"
    return cell.device in WAYS and healthy and cell.context in RECORDED_CONTEXTS


def check_lane(seen: Seen) -> Iterator[str]:
    """A record that is claimed written is on the disk without its cache; where one must be, it is claimed."""
    volume = volumes(seen).get(disk_volume(seen))
    lane = volume and volume.get("lane")
    if not lane:
        if must_record(seen):
            yield "no lane is told"
        return
    result, name = lane["result"], volume["name"]
    if must_record(seen) and result != "ok":
        yield f"{name}: the lane's result is {result} ({lane['why']}), and nothing hinders it"
    # A volume that is being mounted has no lane yet.
    if seen.cell.context == "mount" and lane["way"].startswith("none"):
        return
    if seen.cell.device in WAYS and seen.cell.state not in DEAD_STATES and not lane["way"].startswith(WAYS[seen.cell.device]):
        yield f"{name}: the lane is {lane['way']}, not {WAYS[seen.cell.device]}"
    if seen.area is None:
        return
    panic = reports(seen.record)[0]["id"]
    records = [record for area in seen.area["areas"] for record in area["records"] if record["panic"] == panic]
    if result == "ok":
        if seen.cell.device != "null-blk" and seen.cell.state in DEAD_STATES:
            yield f"{name}: the lane claims a record on a device that takes none"
        if not any(record["state"] == "whole" and record["sequence"] == lane["sequence"] for record in records):
            yield f"{name}: the lane claims record {lane['sequence']}; the disk without its cache has {records}"
    elif result == "refused" and records:
        yield f"{name}: the lane refused, and the disk has a record"


def check_pstore(seen: Seen) -> Iterator[str]:
    """The next boot reads the same report that was printed, through the backend of the cell."""
    cell = seen.cell
    if cell.pstore == "ours" and not must_record(seen):
        return
    found = seen.pstore
    if not found:
        yield "pstore was not read in the next boot"
        return
    if cell.pstore != "ours" and found["backend"] != {"erst": "erst", "ramoops": "ramoops"}[cell.pstore]:
        yield f"the next boot's pstore is {found['backend']!r}, not {cell.pstore!r}"
    if cell.pstore == "ours":
        yield from check_own_pstore(seen)
        return
    panics = reports(found["json"])
    if len(panics) != 1:
        yield f"pstore holds {len(panics)} panics, not one: {found['files']}"
        return
    told = reports(seen.record)[0]
    # What comes from a kmsg dumper of ours, after pstore's, is not in pstore; all else is.
    part = early if told.get("deferred") else whole
    if told.get("deferred") and not panics[0]["outcome_deferred"]:
        yield f"pstore's report ends neither with its outcome nor where that was deferred: {panics[0]['lines']} lines"
    differs = [key for key, value in part(told).items() if part(panics[0]).get(key) != value]
    if differs:
        yield f"pstore's report differs from the one on the console in {', '.join(differs)}"


def whole(panic: dict) -> dict:
    """A panic as told, without the place where it was read."""
    return {key: value for key, value in panic.items() if key not in ("sources", "records", "raw_lines")}


def early(panic: dict) -> dict:
    """What the notifier itself tells, before anything that could fail."""
    left_out = ("complete", "lines", "lines_written", "outcome", "outcome_deferred", "timeline")
    told = {key: value for key, value in whole(panic).items() if key not in left_out}
    return {**told, "volumes": [{**volume, "drain": None, "lane": None} for volume in panic["volumes"]]}


def check_own_pstore(seen: Seen) -> Iterator[str]:
    """The kernel's log of the panic is in /sys/fs/pstore, from the volume, with the report in it."""
    found = seen.pstore
    if found["backend"] != "permfs":
        yield f"pstore's backend after the mount is {found['backend']!r}, not 'permfs'"
        return
    panics = reports(found["json"])
    told = reports(seen.record)[0]
    if [panic["id"] for panic in panics] != [told["id"]]:
        yield f"pstore has {[panic['id'] for panic in panics]}, not {told['id']}: {found['files']}"
    elif panics[0]["message"] != told["message"]:
        yield f"pstore's message is {panics[0]['message']!r}"


def check_disk(seen: Seen) -> Iterator[str]:
    """What was fsynced is there on the disk without its cache; the volume mounts, takes a write and is clean."""
    volume = seen.volume
    if not volume:
        yield "the volume was not looked at in the next boot"
        return
    if volume["error"]:
        yield f"the volume after the panic: {volume['error']}"
        return
    if volume["lost"]:
        yield f"fsynced data is lost: {'; '.join(volume['lost'])}"
    if seen.fsck:
        yield f"fsck.permfs after the mount: {seen.fsck}"


def check_nested(seen: Seen) -> Iterator[str]:
    """A panic within the handler is told, with the stage, and costs nothing but what was still to come."""
    panic = reports(seen.record)[0]
    if panic["nested_in_stage"] != "known":
        yield f"nested in stage {panic['nested_in_stage']!r} is told, not 'known'"
    if int(panic["id"], 16) == 0:
        yield "the nested panic has no id, as that of another boot may have none"
    if seen.cell.pstore != "ours":
        panics = reports((seen.pstore or {}).get("json"))
        if [p["nested_in_stage"] for p in panics] != ["known"]:
            yield f"pstore does not tell the nested panic: {seen.pstore}"


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


CHECKS = (check_report, check_volume, check_in_flight, check_drain_end, check_flush, check_lane, check_pstore, check_disk)


def summary(seen: Seen) -> str:
    """Figures of a cell that holds."""
    panic = reports(seen.record)[0]
    outcome = panic["outcome"] or {}
    elapsed = f"{outcome['elapsed_ns'] / 1e6:.0f} ms" if outcome else "nested"
    took = time_to_end(seen)
    writes = sum(entry.is_write for entry in seen.log[seen.mark:])
    return (f"handler {elapsed}, panic to end {took:.1f} s, in flight {seen.truth.get('in_flight', 0)}, "
            f"disk saw {writes} writes and {sum(map(is_flush, seen.log[seen.mark:]))} flushes after")


def is_flush(entry: logwrites.Entry) -> bool:
    return entry.is_flush
