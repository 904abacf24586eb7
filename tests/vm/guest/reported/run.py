#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: run.py KIND DEVICE [WORD]: the reported cases (with WORD in their titles), each on a fresh filesystem of KIND on DEVICE.

A case that PermFS cannot pass yet says for which feature it waits: it is counted, and fails the run when it holds after all.
"""

import os
import sys
import traceback

import data  # noqa: F401 its cases are registered
import names  # noqa: F401
import tools  # noqa: F401
from cases import CASES, MNT, Volume, Wrong


def wrong_in(volume, function):
    """None, or what was wrong."""
    try:
        volume.make()
        os.chdir(MNT)
        function(volume)
        volume.check()
    except (Wrong, OSError) as e:
        return f"{type(e).__name__}: {e}"
    except Exception:  # A command of the case's own failed: the place says which.
        return traceback.format_exc(limit=-1)
    return None


def outcome(volume, function):
    """The same, in a process of its own: what a case that failed has still open goes with it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, (wrong_in(volume, function) or "").encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told, errors="replace") as f:
        wrong = " ".join(f.read().split())
    status = os.waitpid(child, 0)[1]
    if os.path.ismount(MNT):
        volume.umount()
    return wrong or (f"the case ended with {status}" if status else None)


def main(kind, device, word=""):
    MNT.mkdir(exist_ok=True)
    volume, count = Volume(kind, device), {"ok": 0, "waits": 0, "FAIL": 0}
    for title, function, lacks in CASES:
        if word not in title:
            continue
        wrong = outcome(volume, function)
        awaited = lacks if kind == "permfs" else None
        if wrong is None and awaited:
            result, more = "FAIL", f": it holds now, so it no longer waits for {awaited}"
        elif wrong is None:
            result, more = "ok", ""
        elif awaited:
            result, more = "waits", f": for {awaited} ({wrong[:160]})"
        else:
            result, more = "FAIL", f": {wrong}"
        count[result] += 1
        print(f"{result}: {kind}: {title}{more}", flush=True)
    print(f"{kind}: {count['ok']} hold, {count['waits']} wait for a feature, {count['FAIL']} failed")
    return 1 if count["FAIL"] or not count["ok"] else 0


sys.exit(main(*sys.argv[1:]))
