# SPDX-License-Identifier: GPL-2.0
"""What the mounts say in the kernel's log, before the panic and after it; what pstore kept; what is left of the volume."""

import re
from collections.abc import Iterator

from cell import Seen
from facts import NS, area_records, disk_lane, has_way, is_dead, mounted_ways, reports

MOUNT_LINE = re.compile(r"\((\S+)\): panic_lane=(\S+), what is in flight is collected by (\S+)$")
LAST_PANIC = re.compile(r"\(\S+\): the last panic that it recorded: panic ([0-9a-f]{8}), (\d+) s after 1970(?:: (.*))?$")


def check_mount_log(seen: Seen) -> Iterator[str]:
    """Each mount has said in the kernel's log how a panic would write to this device, or why not."""
    said = [match.groups() for line in seen.truth.get("mount_log", []) if (match := MOUNT_LINE.search(line))]
    for name, ways in mounted_ways(seen).items():
        found = {(writes, collects) for volume, writes, collects in said if volume == name}
        if found != {ways}:
            yield f"{name}: mount says that its ways to write and collect are {sorted(found) or 'nothing'}, not {ways}"


def check_next_log(seen: Seen) -> Iterator[str]:
    """The next mount names this panic in one line if the volume has its record, and names none if not."""
    panic = reports(seen.record)[0]
    records = area_records(seen, "panic-lines")
    said = [match for line in seen.next_log if (match := LAST_PANIC.search(line))]
    if not records:
        if said:
            yield f"the next mount names a panic of which the volume has no record: {said[0][1]}"
        return
    if len(said) != 1:
        yield f"the next mount names {len(said)} panics, not one"
        return
    named, seconds, message = said[0].groups()
    if (named, int(seconds)) != (panic["id"], panic["wall_ns"] // NS):
        yield f"the next mount names panic {named} of {seconds} s, not {panic['id']} of {panic['wall_ns'] // NS} s"
    if any(record["state"] == "whole" for record in records) and message != panic["message"]:
        yield f"the next mount says that the message was {message!r}, not {panic['message']!r}"


def check_pstore(seen: Seen) -> Iterator[str]:
    """The next boot reads the same report that was printed, through the backend of the cell."""
    cell, found = seen.cell, seen.pstore
    if not found:
        yield "pstore was not read in the next boot"
        return
    backend = {"ours": "permfs", "erst": "erst", "ramoops": "ramoops"}[cell.pstore]
    if cell.pstore == "ours" and cell.device == "loop":
        # On loop there is no lane in the next boot either, and so no backend.
        backend = "(null)"
    if found["backend"] != backend:
        yield f"the next boot's pstore is {found['backend']!r}, not {backend!r}"
    panics = reports(found["json"])
    if cell.pstore == "ours" and not must_keep_log(seen):
        yield from check_no_log(seen, panics)
        return
    if len(panics) != 1:
        yield f"pstore holds {len(panics)} panics, not one: {found['files']}"
        return
    told = reports(seen.record)[0]
    # What comes from a kmsg dumper of ours, after pstore's, is not in what another backend keeps; all else is. Ours shows the volume's
    # own record beside the kernel's log, whose tail has the outcome.
    part = early if told.get("deferred") and not panics[0]["complete"] else whole
    if told.get("deferred") and not (panics[0]["outcome_deferred"] or panics[0]["complete"]):
        yield f"pstore's report ends neither with its outcome nor where that was deferred: {panics[0]['lines']} lines"
    differs = [key for key, value in part(told).items() if part(panics[0]).get(key) != value]
    if differs:
        yield f"pstore's report differs from the one on the console in {', '.join(differs)}"


def must_keep_log(seen: Seen) -> bool:
    """Whether the volume itself must have the kernel's log: its lane has worked, or would have, had the handler come to it."""
    if seen.cell.context == "nested":
        return has_way(seen.cell) and not is_dead(seen.cell)
    lane = disk_lane(seen)
    return bool(lane) and lane["result"] == "ok"


def check_no_log(seen: Seen, panics: list[dict]) -> Iterator[str]:
    """The kernel's log is not on the volume, and the report says why: no volume, or a lane that wrote no record.

    Of a panic within the handler no line says so; the mount has, or the device is dead.
    """
    if panics or area_records(seen, "kernel-log"):
        yield f"pstore has the kernel's log on a volume whose lane did not work: {seen.pstore['files']}"
    lane = disk_lane(seen)
    if seen.cell.context not in ("nested", "unload") and not (lane and lane["result"] != "ok" and lane["why"]):
        yield f"the kernel's log is not in pstore, and the report does not say why: {lane}"


def whole(panic: dict) -> dict:
    """A panic as told, without the place where it was read."""
    return {key: value for key, value in panic.items() if key not in ("sources", "records", "raw_lines")}


def early(panic: dict) -> dict:
    """What the notifier itself tells, before anything that could fail."""
    left_out = ("complete", "lines", "lines_written", "outcome", "outcome_deferred", "timeline")
    told = {key: value for key, value in whole(panic).items() if key not in left_out}
    return {**told, "volumes": [{**volume, "drain": None, "lane": None} for volume in panic["volumes"]]}


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
