# SPDX-License-Identifier: GPL-2.0
"""What the report says of the disk, against what the disk knows: in-flight requests, drain, gate, flush, record."""

from collections.abc import Iterator

from cell import Seen
from facts import (DRAINED_CONTEXTS, EXTRA_IN_FLIGHT, SECTORS_A_WRITE, area_records, asked_since_panic, disk_lane, disk_volume,
                   expected_volumes, has_way, is_dead, mounted_ways, must_record, reports, volumes)

SECTORS_A_BLOCK = 8


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
        must = has_way(seen.cell) and seen.cell.state == "inflight" and seen.cell.context in DRAINED_CONTEXTS
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
    collects = has_way(cell) and cell.device != "null-blk" and cell.context in DRAINED_CONTEXTS
    if cell.state == "never" and held and collects and end != "deadline":
        yield f"{name}: the drain ended by {end}, and the device had {held} requests"


def check_witness(seen: Seen) -> Iterator[str]:
    """The trace has the flushes that QEMU itself has counted."""
    if seen.at_end.flushes is None:
        return
    counted = seen.at_end.flushes + seen.at_end.failed - seen.at_ready.flushes - seen.at_ready.failed
    traced = sum(request.is_flush for request in seen.requests)
    if counted != traced:
        yield f"QEMU has counted {counted} flushes since the cell was ready, and traced {traced}"


def area_sectors(seen: Seen) -> range:
    """Sectors of the panic area on the disk whose log is read; none if the volume is a file."""
    if not seen.layout:
        return range(0)
    start, blocks = seen.layout["panic_start"], seen.layout["panic_slots"] * seen.layout["panic_slot_blocks"]
    return range(start * SECTORS_A_BLOCK, (start + blocks) * SECTORS_A_BLOCK)


def check_gate(seen: Seen) -> Iterator[str]:
    """From the panic on the disk is asked for no write but into the panic area, and for none at all without a lane."""
    may = area_sectors(seen) if has_way(seen.cell) else range(0)
    for request in asked_since_panic(seen):
        if not request.is_flush and not (request.sector in may and request.sector + request.sectors <= may.stop):
            yield f"after the panic the disk was asked to write {request.sectors} sectors at {request.sector}"


def flush_behind(seen: Seen, sequence: int) -> bool:
    """Whether the disk's log has a flush between the record's write and that of its tail, the last block of the same slot."""
    size = seen.layout["panic_slot_blocks"] * SECTORS_A_BLOCK
    start = area_sectors(seen).start + sequence % seen.layout["panic_slots"] * size
    written = False
    for entry in seen.log[seen.mark:]:
        if entry.is_write and entry.overlaps(start, size):
            # The record itself may come in pieces.
            if entry.sector + entry.sectors == start + size:
                return False
            written = True
        elif entry.is_flush and written:
            return True
    return False


def check_flush(seen: Seen) -> Iterator[str]:
    """What is said of the flush is what the disk was asked for since the panic, both ways."""
    panic, lane = reports(seen.record)[0], disk_lane(seen)
    yield from check_sum_of_flushes(seen)
    flushes = [request for request in asked_since_panic(seen) if request.is_flush]
    if lane:
        claim = lane["flush"]
    elif panic["outcome"]:
        claim = panic["outcome"]["flush"]
    elif has_way(seen.cell) and seen.cell.pstore == "ours" and seen.cell.state != "unplugged":
        # A panic within the handler: pstore's pieces of the kernel's log still go to the volume; no line claims their flushes.
        return
    else:
        claim = "no"
    if claim in ("ok", "failed", "timeout") and not flushes:
        yield f"flush={claim} is claimed; since the panic the disk was asked for none"
    if claim == "ok" and not flush_behind(seen, lane["sequence"] if lane else 0):
        yield "flush=ok is claimed; the disk's log has none behind the record"
    if claim == "failed" and flushes and all(flush.failed is False for flush in flushes):
        yield "flush=failed is claimed; all of the disk's flushes since the panic were done"
    if claim in ("not-attempted", "refused", "no") and flushes:
        yield f"flush={claim} is claimed; since the panic the disk was asked for {len(flushes)}"


def check_sum_of_flushes(seen: Seen) -> Iterator[str]:
    """The outcome's flush is that of all lanes; a flush is left to the lane where there is one."""
    outcome, told = reports(seen.record)[0]["outcome"], volumes(seen)
    lanes = {name: volume["lane"] for name, volume in told.items() if volume["lane"]}
    if outcome and set(lanes) == set(told):
        claims = {lane["flush"] for lane in lanes.values()} or {"not-attempted"}
        if outcome["flush"] not in claims or outcome["flush"] == "ok" and claims != {"ok"}:
            yield f"the outcome's flush is {outcome['flush']}, and the lanes' are {sorted(claims)}"
    for name, lane in lanes.items():
        drain = told[name]["drain"]
        pending = not lane["way"].startswith("none")
        if drain and drain["flush"] != ("pending" if pending else "not-attempted"):
            yield f"{name}: the drain says flush={drain['flush']}, and the lane is {lane['way']}"


def check_lane(seen: Seen) -> Iterator[str]:
    """Each volume's ways are those of its device; a record that is claimed is on the disk without its cache."""
    for name in expected_volumes(seen) & set(volumes(seen)):
        volume = volumes(seen)[name]
        # One that is being mounted has none yet.
        new = seen.cell.context == "mount" and name == seen.kind.volume
        writes, collects = ("none", "none") if new else mounted_ways(seen)[name]
        if volume["drain"] and volume["drain"]["way"] != collects:
            yield f"{name}: the drain's way is {volume['drain']['way']}, not {collects}"
        lane = volume["lane"]
        if not lane:
            yield f"{name}: no lane is told"
            continue
        if lane["way"] != writes:
            yield f"{name}: the lane is {lane['way']}, not {writes}"
        if lane["result"] != "ok" and not lane["why"]:
            yield f"{name}: the lane's result is {lane['result']}, and no reason is told"
        if (lane["result"] == "ok") != (lane["flush"] == "ok") and lane["result"] in ("ok", "refused"):
            yield f"{name}: the lane's result is {lane['result']}, and its flush {lane['flush']}"
        if name == disk_volume(seen):
            yield from check_record(seen, name, lane)
        elif lane["result"] == "ok":
            yield f"{name}: a record is claimed, and there is no lane to write it"


def check_record(seen: Seen, name: str, lane: dict) -> Iterator[str]:
    """The record of the volume on the disk whose log is read."""
    result = lane["result"]
    if must_record(seen) and result != "ok":
        yield f"{name}: the lane's result is {result} ({lane['why']}), and nothing hinders it"
    records = area_records(seen, "panic-lines")
    if result == "ok":
        if is_dead(seen.cell):
            yield f"{name}: the lane claims a record on a device that takes none"
        if not any(record["state"] == "whole" and record["sequence"] == lane["sequence"] for record in records):
            yield f"{name}: the lane claims record {lane['sequence']}; the disk without its cache has {records}"
    elif result == "refused" and records:
        yield f"{name}: the lane refused, and the disk has a record"
