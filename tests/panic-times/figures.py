# SPDX-License-Identifier: GPL-2.0
"""From what was seen of panics to figures: the facts of each, what is wrong with it, statistics and tables."""

import math
from collections.abc import Iterable

from classes import CLASSES
from panics import Seen

ALONE, TOGETHER = "alone", "all"


def facts(seen: Seen) -> dict:
    """A panic as a line of JSON: what the report says, and what was found of it; `wrong` names every lie and loss."""
    plan = seen.plan
    out = {"panic": plan.number, "begun": "saved" if seen.saved else "boot", "mounted": plan.names,
           "state": "writers" if plan.load else "idle", "outcome": seen.outcome, "seconds": seen.seconds,
           "reset_ms": seen.reset_ms, "handler_us": None, "volumes": {}, "wrong": []}
    wrong = out["wrong"]
    for name, volume in seen.volumes.items():
        wrong += [f"{name}: after the panic before: {sentence}" for sentence in volume["lost"]]
    if not plan.panic:
        wrong += [] if seen.outcome == "end" else [seen.outcome]
        return out
    wrong += [f"{name}: fsck.permfs: {trouble}" for name, trouble in seen.fsck.items() if trouble]
    panics = (seen.record or {}).get("panics", [])
    if seen.outcome != "reset":
        wrong.append(seen.outcome)
    elif len(panics) != 1 or not panics[0]["complete"] or not panics[0]["outcome"]:
        wrong.append("the report on the console is not whole, or not the only one")
    if not panics or not panics[0]["outcome"]:
        return out
    panic = panics[0]
    out["id"], out["lines"] = panic["id"], panic["lines"]
    out["handler_us"] = panic["outcome"]["elapsed_ns"] / 1000
    told = {volume["name"]: volume for volume in panic["volumes"]}
    if set(told) != {volume["disk"] for volume in seen.volumes.values()}:
        wrong.append(f"volumes told: {sorted(map(str, told))}")
    for name in plan.names:
        volume = told.get(seen.volumes[name]["disk"])
        if volume:
            out["volumes"][name] = of_volume(name, volume, records(seen.areas.get(name), panic["id"]), wrong)
    return out


def records(areas: dict | None, panic: str) -> list[dict]:
    """The records of a panic's lines in what `permfs panic` reads of a volume."""
    return [record for area in (areas or {}).get("areas", []) for record in area["records"]
            if record["panic"] == panic and record["kind"] == "panic-lines"]


def of_volume(name: str, volume: dict, found: list[dict], wrong: list[str]) -> dict:
    """What was told of a volume, and whether the record that is claimed is there; lies go to `wrong`."""
    drain, lane = volume["drain"], volume["lane"]
    if not drain or not lane:
        wrong.append(f"{name}: no line tells of drain or lane")
        return {"in_flight": volume["in_flight"]}
    claimed = lane["result"] == "ok"
    whole = [record for record in found if record["state"] == "whole" and record["sequence"] == lane["sequence"]]
    if lane["way"] != CLASSES[name].way:
        wrong.append(f"{name}: the lane is {lane['way']}")
    if claimed and not whole:
        wrong.append(f"{name}: LOST: record {lane['sequence']} is claimed, and not on the disk")
    if lane["result"] == "refused" and found:
        wrong.append(f"{name}: the lane refused ({lane['why']}), and there is a record")
    if drain["drained"] != (drain["in_flight"] == 0) or drain["lost"] > volume["in_flight"]:
        wrong.append(f"{name}: drained={drain['drained']}, {drain['lost']} of {volume['in_flight']} lost")
    return {"in_flight": volume["in_flight"], "lost": drain["lost"], "drain_us": drain["us"], "drain_end": drain["end"],
            "result": lane["result"], "why": lane["why"], "flush": lane["flush"], "write_us": lane["write_us"],
            "flush_us": lane["flush_us"], "claimed": claimed, "found": bool(whole), "sequence": lane["sequence"],
            "tail": any(record["flushed"] for record in whole)}


def quantile(values: Iterable[float], q: float) -> float:
    """The smallest value that at least the part `q` of all is not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(q * len(ordered))) - 1]


def spread(microseconds: Iterable[float | None]) -> str:
    """`min / median / p99 / max` in milliseconds."""
    values = [value / 1000 for value in microseconds if value is not None]
    if not values:
        return "-"
    return " / ".join(f"{value:.1f}" for value in (min(values), quantile(values, 0.5), quantile(values, 0.99), max(values)))


def lost_records(volumes: list[dict]) -> int:
    """How many of the records that are claimed are not on their disks. One that is not claimed may be there all the same."""
    return sum(volume["claimed"] and not volume["found"] for volume in volumes)


def group(line: dict) -> str:
    """Whose volumes were mounted: all classes', or one's."""
    return TOGETHER if len(line["mounted"]) > 1 else line["mounted"][0]


def markdown(head: list[str], rows: list[list[object]]) -> str:
    """A table, its columns padded so that it can be read as text too."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def handler_table(lines: list[dict]) -> str:
    """The handler's times, by what was mounted and what it did."""
    rows = []
    for mounted in [*CLASSES, TOGETHER]:
        for state in ("idle", "writers"):
            these = [line for line in lines if group(line) == mounted and line["state"] == state]
            for begun in ("saved", "boot"):
                some = [line for line in these if line["begun"] == begun]
                if some:
                    name = {TOGETHER: "one of each class"}.get(mounted, f"{mounted}, one")
                    rows.append([name, state + (", after a boot" if begun == "boot" else ""), len(some),
                                 sum(line["outcome"] == "hang" for line in some),
                                 spread(line["handler_us"] for line in some),
                                 spread(line["reset_ms"] and line["reset_ms"] * 1000 for line in some)])
    return markdown(["volumes", "state", "panics", "hangs", "handler, ms", "first notifier to reset, ms"], rows)


def told_of(name: str, lines: list[dict]) -> list[dict]:
    """What the reports say of a class's volumes, alone or together with others."""
    return [line["volumes"][name] for line in lines if "lost" in line["volumes"].get(name, {})]


def class_table(lines: list[dict]) -> str:
    """A row for each class: all panics in which a lane of it took part."""
    rows = []
    for name in CLASSES:
        these = [line for line in lines if name in line["mounted"]]
        told = told_of(name, these)
        if not these:
            continue
        flight, lost = (sum(volume[key] for volume in told) for key in ("in_flight", "lost"))
        claimed, gone = sum(volume["claimed"] for volume in told), lost_records(told)
        rows.append([name, len(these), sum(line["outcome"] == "hang" for line in these),
                     spread(line["handler_us"] for line in these), f"{flight} / {flight - lost} / {lost}",
                     f"{claimed} / {claimed - gone} / {gone}"])
    return markdown(["class", "panics", "hangs", "handler, ms", "in flight / collected / lost", "records claimed / found / lost"],
                    rows)


def stage_table(lines: list[dict]) -> str:
    """What the stages took for each class's volumes; the drain where there was something to collect."""
    rows = []
    for name in CLASSES:
        for state in ("idle", "writers"):
            told = told_of(name, [line for line in lines if line["state"] == state])
            if not told:
                continue
            done = [volume for volume in told if volume["claimed"]]
            rows.append([name, state, len(told), spread(volume["drain_us"] for volume in told if volume["in_flight"]),
                         spread(volume["write_us"] for volume in done), spread(volume["flush_us"] for volume in done)])
    return markdown(["class", "state", "panics", "drain, ms", "write, ms", "flush, ms"], rows)


def totals(lines: list[dict]) -> dict[str, int]:
    """Counts over all panics."""
    volumes = [volume for line in lines for volume in line["volumes"].values() if "lost" in volume]
    hangs = sum(line["outcome"] == "hang" for line in lines)
    return {"panics": hangs + sum(line["outcome"] == "reset" for line in lines), "hangs": hangs,
            "lanes": len(volumes), "claimed": sum(volume["claimed"] for volume in volumes), "lost": lost_records(volumes),
            "wrong": sum(bool(line["wrong"]) for line in lines)}


def held(lines: list[dict]) -> bool:
    """Whether there was something to see, and all of it was as it must be."""
    n = totals(lines)
    return n["panics"] > 0 and n["claimed"] > 0 and not (n["hangs"] or n["lost"] or n["wrong"])


def one_line(line: dict) -> str:
    """A panic for the one who watches."""
    told = [volume for volume in line["volumes"].values() if "lost" in volume]
    begin = f"panic {line['panic']:4}  {group(line):13}  {line['state']:7}  {line['begun']:5}  "
    if line["outcome"] == "reset" and line["handler_us"] is not None:
        begin += f"handler {line['handler_us'] / 1000:6.1f} ms, in flight {sum(v['in_flight'] for v in told):2}, " \
                 f"lost {sum(v['lost'] for v in told)}, records {sum(v['found'] for v in told)} of {len(line['mounted'])}  " \
                 f"({line['seconds'].get('looked', 0):.1f} s)"
    else:
        begin += line["outcome"]
    return "\n    ".join([begin, *line["wrong"]])


def fewest(lines: list[dict]) -> int:
    """In how many panics a lane of each class took part, at least."""
    return min(sum(name in line["mounted"] for line in lines) for name in CLASSES)


def report(lines: list[dict]) -> str:
    """The tables, and what did not go as it should."""
    out = [class_table(lines), "", handler_table(lines), "", stage_table(lines), ""]
    reasons: dict[str, int] = {}
    for line in lines:
        for name, volume in line["volumes"].items():
            if not volume.get("claimed"):
                reason = f"{name}: no record: {volume.get('result')}, {volume.get('why')}"
                reasons[reason] = reasons.get(reason, 0) + 1
    out += [f"{count} x {reason}" for reason, count in sorted(reasons.items())]
    out += [f"panic {line['panic']}: {sentence}" for line in lines for sentence in line["wrong"]]
    return "\n".join(out)


def last_line(lines: list[dict]) -> str:
    """What a person and a CI read."""
    n = totals(lines)
    return (f"panic-times: {n['panics']} panics, each class in {fewest(lines)} or more; {n['claimed']} records of {n['lanes']} "
            f"volumes claimed, {n['lost']} lost; {n['hangs']} hangs; {n['wrong']} told wrongly")
