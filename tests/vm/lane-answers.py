#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: lane-answers.py FOLDER CONSOLE CONTEXT VOLUME=WAY[:WHY]...: of the one panic on the console, in that context, each
VOLUME's lane had that WAY and wrote its record, or refused because of WHY (deadline: it was given up), and FOLDER/VOLUME.img, the
disk that the machine left, has the record or none. No other volume is told."""

import json
import pathlib
import subprocess
import sys

PERMFS = pathlib.Path(__file__).resolve().parent.parent.parent / "build/bin/permfs"


def read(place: pathlib.Path) -> dict:
    return json.loads(subprocess.run([PERMFS, "panic", "--json", place], stdout=subprocess.PIPE, check=False).stdout)


def wrong(panic: dict, folder: pathlib.Path, name: str, want: str):
    way, _, why = want.rpartition(":") if not want.startswith("none:") else (want, "", want.removeprefix("none:"))
    way, why = (way, why) if way else (why, None)
    lane = next((volume["lane"] for volume in panic["volumes"] if volume["name"] == name), None)
    if not lane:
        return "no lane is told"
    if lane["way"] != way:
        return f"the way is {lane['way']}, not {way}"
    result = {None: "ok", "deadline": "timeout"}.get(why, "refused")
    if (lane["result"], lane["why"]) != (result, why):
        return f"{lane['result']} ({lane['why']}), not {why or 'ok'}"
    if lane["flush"] != ("not-attempted" if why else "ok"):
        return f"the flush is told to be {lane['flush']}"
    [area] = read(folder / f"{name}.img")["areas"]
    records = [(record["kind"], record["state"], record["flushed"]) for record in area["records"] if record["panic"] == panic["id"]]
    # The first that could has the kernel's log, too.
    if records[:1] != ([] if why else [("panic-lines", "whole", True)]):
        return f"records of this panic on the disk, and whether flushed: {records}"
    return None


def main():
    folder, console, context, *answers = sys.argv[1:]
    report = read(pathlib.Path(console))
    if len(report["panics"]) != 1 or report["unknown_lines"] or report["damaged_lines"]:
        sys.exit(f"not one panic, or not all lines understood: {report}")
    [panic] = report["panics"]
    if not panic["complete"] or panic["context"] != context:
        sys.exit(f"complete: {panic['complete']}, context {panic['context']}, not {context}")
    wanted = dict(answer.split("=") for answer in answers)
    if {volume["name"] for volume in panic["volumes"]} != wanted.keys():
        sys.exit(f"volumes told: {[volume['name'] for volume in panic['volumes']]}")
    found = {name: wrong(panic, pathlib.Path(folder), name, want) for name, want in wanted.items()}
    sys.exit("\n".join(f"{name}: {sentence}" for name, sentence in found.items() if sentence) or 0)


if __name__ == "__main__":
    main()
