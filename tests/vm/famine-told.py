#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: famine-told.py CONSOLE: who asked for memory between famine.ko's two lines, by the stacks on the console.

The controls must have been refused, and each failure must have its stack there. Of those that are not the controls' own only
virtio's indirect descriptors are allowed. The last line is the sum.
"""

import collections
import re
import sys

CONTROL = re.compile(r"famine: (begin|end): an object is (\w+), a page is (\w+); failures so far: slab (\d+), pages (\d+)")
FAILURE = re.compile(r"FAULT_INJECTION: forcing a failure")
NAME = re.compile(r"name (\w+), interval")
FRAME = re.compile(r"\s(\? )?([\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[\w+\])?)")
ALLOWED = "virtqueue_add"


def main() -> int:
    wrong = []
    controls, failures, total = {}, [], {}
    for line in open(sys.argv[1], errors="replace"):
        if found := CONTROL.search(line):
            when, *answers, slab, pages = found.groups()
            controls[when] = answers
            total[when] = {"failslab": int(slab), "fail_page_alloc": int(pages)}
        elif FAILURE.search(line):
            failures.append(["?", []])
        elif failures and (found := NAME.search(line)):
            failures[-1][0] = found[1]
        elif failures and (found := FRAME.search(line)) and not found[1]:
            failures[-1][1].append(found[2])
    for when in ("begin", "end"):
        if controls.get(when) != ["refused", "refused"]:
            wrong.append(f"the control at the {when}: {controls.get(when)}")
    counted = collections.Counter(name for name, _ in failures)
    if "end" in total and dict(counted) != total["end"]:
        wrong.append(f"{dict(counted)} stacks of {total['end']} failures")
    asked = collections.Counter()
    for name, stack in failures:
        if any(frame.endswith("[famine]") for frame in stack):
            continue
        by = next((frame for frame in stack if frame.startswith(ALLOWED)), None)
        asked[name] += 1
        if not by:
            wrong.append(f"{name} from {' < '.join(stack)}")
    print("\n".join(wrong))
    print(f"{asked['failslab']} objects and {asked['fail_page_alloc']} pages asked for, all of them by virtqueue_add"
          if asked else "nothing was asked for")
    return 1 if wrong else 0


sys.exit(main())
