#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's side of the panic matrix: reads what the cell before left, then sets up its own cell and panics.

What is to be done stands in spec.json beside this file's folder; what is seen goes to the runner, one JSON object a line.
"""

import json
import sys

from cell import PANIC_AT, Cell
from common import FILES, Failed, Runner, run
from verify import verify


def main() -> int:
    runner = Runner()
    spec = json.loads((FILES / "spec.json").read_text())
    try:
        if spec["verify"]:
            runner.ask(ask="verified", seen=verify(spec["verify"]))
        if spec["cell"]:
            runner.tell(features={"panic_at": PANIC_AT.exists()})
            Cell(spec["cell"], runner).go()
    except (Failed, OSError, StopIteration) as error:
        runner.ask(ask="failed", reason=f"{type(error).__name__}: {error}", log=run("dmesg").stdout[-4000:])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
