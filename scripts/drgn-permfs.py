#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Finds PermFS's static panic report in a running kernel or a vmcore, and prints it with the table of volumes.

No debug information is needed: the layout is that of Documentation/panic-path.md. The report is found by its symbol
(debug information, or /proc/kallsyms of the running kernel) or else by its magic number in the memory of modules,
which takes some seconds. Runs by itself or under the drgn program (`drgn -c vmcore drgn-permfs.py`).

Exit status: 0, printed; 1, there is none; 2, the kernel could not be read.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import struct
import sys
import uuid

try:
    import drgn
except ImportError:
    sys.exit("drgn-permfs.py: no drgn for this Python: install python3-drgn")

MAGIC = b"PERMFSPR"
# Last part of the mangled name, with its length.
SYMBOL = "19PERMFS_PANIC_REPORT"
KNOWN_VERSION = 2
# Bounds far above what any version has: what lies outside is no report.
MAX_SIZE = 4096
MAX_SLOTS = 4096
MAX_SLOT_SIZE = 1 << 20
PAGE = 4096
# Where x86-64 maps modules: behind the kernel's image, whatever KASLR did (arch/x86/include/asm/pgtable_64_types.h).
MODULES = range(0xFFFFFFFFA0000000, 0xFFFFFFFFFF000000)

STAGES = ("idle", "gate", "known", "drain", "outcome", "stop", "done", "lane", "deferred", "log",
          "recorded", "flush")
STRATEGIES = ("kernel", "halt", "reboot")
STATES = ("free", "claimed", "mounting", "mounted", "unmounting", "failed", "retired")
FLUSHES = ("not-attempted", "pending", "ok", "failed", "timeout", "refused")

# (offset, struct format, name) of the report; those past its size are of a later version, and left out.
HEADER = struct.Struct("<8sIIQII")
REPORT = (
    (32, "I", "stage"), (36, "I", "owner"), (40, "I", "reentries"), (44, "I", "installed"), (48, "I", "strategy"),
    (52, "I", "id"), (56, "I", "lines"), (60, "I", "in_flight"), (64, "Q", "wall_ns"), (72, "Q", "start_ns"),
    (80, "Q", "end_ns"),
    # From version 2 on.
    (88, "I", "flush"), (92, "I", "deferred"), (96, "I", "breaker"), (100, "I", "logs"), (104, "Q", "deadline_ns"),
    (112, "Q", "log_deadline_ns"), (120, "Q", "left_ns"),
)
SLOT = struct.Struct("<IIQ32s16sQQ")
# What version 2 has behind that: panic area (start, slots, blocks of one, next sequence), ways, times of panics, lane.
SLOT_LANE = struct.Struct("<QIIQ24s24s128sII")
LANE_STATES = ("at rest", "reading the head", "writing the record", "flushing it", "writing the tail", "flushing the tail", "abandoned",
               "flushing what was drained")
LANE_RESULTS = ("none", "ok", "refused", "failed", "timeout")


class NotFound(Exception):
    """There is no report."""


@dataclasses.dataclass
class Header:
    """What every version has, and where it was found."""

    address: int
    version: int
    size: int
    volumes: int
    slot_size: int
    slots: int


def header_at(prog: drgn.Program, address: int) -> Header | None:
    """The report's header, if one is there: all of it must make sense, for the magic alone may be a copy."""
    try:
        magic, *numbers = HEADER.unpack(prog.read(address, HEADER.size))
        header = Header(address, *numbers)
        sane = magic == MAGIC and HEADER.size <= header.size <= MAX_SIZE and 0 < header.slots <= MAX_SLOTS
        if not sane or not SLOT.size <= header.slot_size <= MAX_SLOT_SIZE:
            return None
        prog.read(header.volumes, header.slots * header.slot_size)
        return header
    except drgn.FaultError:
        return None


def symbols(prog: drgn.Program):
    """Addresses that symbols give, by debug information and by the running kernel's own table."""
    try:
        for symbol in prog.symbols():
            if symbol.name.endswith(SYMBOL):
                yield symbol.address
    except LookupError:
        pass
    if prog.flags & drgn.ProgramFlags.IS_LIVE:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as table:
            for line in table:
                address, _, name, *_ = line.split()
                # Zero: this user may not know addresses.
                if name.endswith(SYMBOL) and int(address, 16):
                    yield int(address, 16)


def search(prog: drgn.Program):
    """Addresses of the magic in the memory of modules, page by page: what is not mapped is passed over."""
    for page in range(MODULES.start, MODULES.stop, PAGE):
        try:
            text = prog.read(page, PAGE)
        except drgn.FaultError:
            continue
        # The report is aligned to 8 bytes, so its magic never lies across two pages.
        at = text.find(MAGIC)
        while at >= 0:
            yield page + at
            at = text.find(MAGIC, at + 1)


def find(prog: drgn.Program, address: int | None) -> Header:
    """The report, at `address` if that is given."""
    if address is not None:
        candidates = iter([address])
    else:
        candidates = (a for way in (symbols, search) for a in way(prog))
    for candidate in candidates:
        header = header_at(prog, candidate)
        if header is not None:
            return header
    if address is not None:
        raise NotFound(f"no PermFS panic report at {address:#x}")
    raise NotFound("no PermFS panic report: permfs is not loaded, or was built with PANIC=n")


def name_of(names: tuple[str, ...], number: int) -> str:
    """A number's name, or the number, where a later version has more."""
    return names[number] if number < len(names) else str(number)


def read_report(prog: drgn.Program, header: Header) -> dict:
    """The report's fields by name."""
    raw = prog.read(header.address, header.size)
    report = {"address": f"{header.address:#x}", "version": header.version}
    for offset, form, name in REPORT:
        if offset + struct.calcsize(form) <= header.size:
            (report[name],) = struct.unpack_from("<" + form, raw, offset)
    report["stage"] = name_of(STAGES, report["stage"])
    report["strategy"] = name_of(STRATEGIES, report["strategy"])
    report["id"] = f"{report['id']:08x}"
    owner = report.pop("owner")
    report["cpu"] = owner - 1 if owner else None
    for flag in ("installed", "deferred"):
        if flag in report:
            report[flag] = bool(report[flag])
    if "flush" in report:
        report["flush"] = name_of(FLUSHES, report["flush"])
    return report


def read_slots(prog: drgn.Program, header: Header) -> list[dict]:
    """The slots of the table that are not free."""
    table = prog.read(header.volumes, header.slots * header.slot_size)
    volumes = []
    for number in range(header.slots):
        state, lane, gate, name, uid, running, durable = SLOT.unpack_from(table, number * header.slot_size)
        if name_of(STATES, state) == "free":
            continue
        volume = {
            "slot": number,
            "state": name_of(STATES, state),
            "name": text_of(name),
            "uuid": str(uuid.UUID(bytes=uid)),
            "in_flight": gate & 0xFFFFFFFF,
            "gate_closers": gate >> 32,
            "running_epoch": running,
            "durable_epoch": durable,
        }
        if header.version >= 2 and header.slot_size >= SLOT.size + SLOT_LANE.size:
            volume |= {"lane": lane - 1 if lane else None, **read_lane(table, number * header.slot_size + SLOT.size)}
        volumes.append(volume)
    return volumes


def read_lane(table: bytes, offset: int) -> dict:
    """What a slot has of its panic area and lane."""
    _, slots, _, sequence, collects, writes, _, state, result = SLOT_LANE.unpack_from(table, offset)
    return {
        "area_slots": slots,
        "next_sequence": sequence,
        "collects": text_of(collects),
        "writes": text_of(writes),
        "lane_state": name_of(LANE_STATES, state),
        "lane_result": name_of(LANE_RESULTS, result),
    }


def text_of(padded: bytes) -> str:
    """Text up to the zeroes behind it."""
    return padded.split(b"\0")[0].decode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    """Text without what could drive a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def summary(report: dict, volumes: list[dict]) -> str:
    """The report for people."""
    out = [f"PermFS panic report at {report['address']}, version {report['version']}"]
    if report["version"] > KNOWN_VERSION:
        out.append(f"  this script knows version {KNOWN_VERSION}: what it says of a later one may be wrong")
    hooks = "installed" if report["installed"] else "not installed"
    out.append(f"  stage     {report['stage']}; hooks {hooks}, panic_strategy={report['strategy']}")
    if report["cpu"] is not None:
        time = datetime.datetime.fromtimestamp(report["wall_ns"] / 1e9, datetime.timezone.utc)
        took = max(0, report["end_ns"] - report["start_ns"]) / 1e6
        out.append(f"  panic     {report['id']} on CPU {report['cpu']}, {time:%Y-%m-%dT%H:%M:%SZ}")
        out.append(f"  handler   {report['lines']} lines, {report['in_flight']} I/O in flight, {report['reentries']} further entries, "
                   + (f"took {took:.3f} ms" if report["end_ns"] else "not at its end"))
        if "flush" in report:
            out.append(f"  flush     {report['flush']}" + ("; deferred to a kmsg dumper" if report["deferred"] else ""))
            out.append(f"  log       {report['logs']} piece(s) written for pstore")
        if report.get("breaker"):
            out.append(f"  breaker   halted after {report['breaker']} panics")
    out.append(f"  volumes   {len(volumes)}")
    for v in volumes:
        gate = "closed" if v["gate_closers"] else "open"
        out.append(f"    {plain(v['name'])} {v['uuid']}  slot {v['slot']}, {v['state']}, epoch {v['running_epoch']} running, "
                   f"{v['durable_epoch']} durable; gate {gate}, {v['in_flight']} I/O in flight")
        if "lane" in v:
            out.append(f"      panic lane {plain(v['writes']) or 'none'}, completions {plain(v['collects']) or 'none'}; {v['lane_state']}, "
                       f"last result {v['lane_result']}; next record {v['next_sequence']}, {v['area_slots']} slots")
    return "\n".join(out)


def open_program(core: str | None) -> drgn.Program:
    """The running kernel, or a vmcore."""
    prog = drgn.Program()
    if core:
        prog.set_core_dump(core)
    else:
        prog.set_kernel()
    return prog


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--core", metavar="VMCORE", help="a vmcore instead of the running kernel")
    parser.add_argument("--address", type=lambda text: int(text, 16), metavar="HEX", help="where the report is")
    parser.add_argument("--search", action="store_true", help="search memory, whatever symbols there are")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.core and not pathlib.Path(args.core).is_file():
        parser.error(f"{args.core} is not a file")
    try:
        # The drgn program brings its own.
        prog = globals().get("prog") or open_program(args.core)
        if args.search and args.address is None:
            header = next(filter(None, (header_at(prog, a) for a in search(prog))), None)
            if header is None:
                raise NotFound("no PermFS panic report in the memory of modules")
        else:
            header = find(prog, args.address)
        report, volumes = read_report(prog, header), read_slots(prog, header)
    except NotFound as e:
        print(f"drgn-permfs.py: {e}", file=sys.stderr)
        return 1
    except (OSError, ValueError, drgn.FaultError) as e:
        print(f"drgn-permfs.py: cannot read the kernel: {e}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps({**report, "volumes": volumes}, indent=2))
    else:
        print(summary(report, volumes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
