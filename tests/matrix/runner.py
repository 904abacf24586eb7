# SPDX-License-Identifier: GPL-2.0
"""Runs cells one after the other, each verified by the boot of the next, and prints a line for each."""

import collections
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import sys
import time

import expect
import space
from cell import REPO, Boot, Seen, after, check_image, make_image, read_console
from machine import MachineError
from space import Cell

# Faults of the emulator, not of the guest: the boot is done again, and the output says so.
EMULATOR = (REPO / "scripts/lib/emulator-faults").read_text().splitlines()
TRIES = 3

# What is written to debugfs permfs/panic_at for a context.
POINTS = {"submit": "submit", "commit": "commit", "alloc": "allocator", "mount": "mount", "unmount": "unmount",
          "unload": "unload", "nested": "notifier", "rust": "allocator oops"}
PANIC_AT_MISSING = "permfs.ko has no debugfs permfs/panic_at, which this context needs"


def needs_panic_at(cell: Cell) -> bool:
    """Contexts that are reached through PermFS's own points; a mount or unmount that hangs on its device needs none."""
    return cell.context in POINTS and not (cell.context in ("mount", "unmount") and cell.state == "never")


def has_panic_at() -> bool:
    """Whether permfs.ko was built with it: the name of its file in debugfs stands in it."""
    module = pathlib.Path(os.environ.get("PERMFS_KO") or REPO / "permfs.ko")
    return b"panic_at" in module.read_bytes()


def show(cells: list[Cell]) -> None:
    """The cells, and how many combinations each rule excludes."""
    for cell in cells:
        print(cell.name)
    every = space.everything()
    by_rule = collections.Counter(rule[0] for cell in every if (rule := space.excluded(cell)))
    print(f"\n{len(cells)} cells; of {len(every)} combinations {sum(by_rule.values())} cannot be:")
    for name, reason, _ in space.RULES:
        print(f"  {by_rule[name]:4} {name}: {reason}")
    pairs = space.missing_groups(cells, 2)
    print(f"pairs of values that are in none of these cells: {len(pairs)}")


class Matrix:
    """A run over some cells."""

    def __init__(self, cells: list[Cell], work: pathlib.Path, keep: bool, module_params: str):
        self.cells, self.work, self.keep, self.module_params = cells, work, keep, module_params
        self.counts = collections.Counter()
        self.skipped = collections.Counter()
        self.began = time.monotonic()

    def run(self) -> int:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.work.mkdir(parents=True, exist_ok=True)
        ready = [cell for cell in self.cells if not self.skip(cell)]
        for pstore in space.PSTORES:
            self.chain(pstore, [cell for cell in ready if cell.pstore == pstore])
        return self.close()

    def skip(self, cell: Cell) -> bool:
        if needs_panic_at(cell) and not has_panic_at():
            print(f"skip        {cell.name}: {PANIC_AT_MISSING}")
            self.skipped[PANIC_AT_MISSING] += 1
            return True
        return False

    def chain(self, pstore: str, cells: list[Cell]) -> None:
        """All cells with one pstore: each boot reads what the one before left in it."""
        before, store = None, self.work / f"store.{pstore}"
        store.unlink(missing_ok=True)
        for cell in cells:
            before = self.boot(before, cell, pstore, store)
        if before:
            self.boot(before, None, pstore, store)

    def boot(self, before: Seen | None, cell: Cell | None, pstore: str, store: pathlib.Path) -> Seen | None:
        """One boot, again if the emulator failed; judges `before`, gives back what was seen of `cell`, if it has panicked."""
        begin = time.monotonic()
        for attempt in range(1, TRIES + 1):
            now = self.fresh(cell) if cell else None
            folder = now.folder if now else self.work / "last"
            folder.mkdir(parents=True, exist_ok=True)
            boot = Boot(before, now, store, pstore, folder, POINTS, self.module_params)
            try:
                outcome = boot.run()
            except MachineError as error:
                outcome = "gone"
                (now or before).failed = str(error)
            fault = self.emulator_fault(folder, outcome)
            if not fault or attempt == TRIES:
                break
            print(f"again       {cell.name if cell else 'the last boot'}: the emulator failed: {fault}")
        if before:
            if not boot.verified:
                before.failed = before.failed or f"the next boot could not look at what it left ({outcome}, {folder}/console)"
            else:
                check_image(before)
            self.report(before)
        if now and boot.verified is False and before:
            # It had no chance; without the one before it gets one.
            return self.boot(None, cell, pstore, store)
        if not now:
            return None
        now.seconds = time.monotonic() - begin
        if outcome == "over" and not now.at_ready:
            now.failed = now.failed or "the machine came to its end before the cell was set up"
        if outcome != "over" or now.failed:
            self.report(now)
            return None
        after(now)
        read_console(now)
        return now

    def fresh(self, cell: Cell) -> Seen:
        folder = self.work / cell.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make_image(cell, folder, self.work)
        return Seen(cell, folder)

    @staticmethod
    def emulator_fault(folder: pathlib.Path, outcome: str) -> str | None:
        if outcome == "over":
            return None
        text = "".join((folder / name).read_text(errors="replace") for name in ("out", "console") if (folder / name).exists())
        return next((mark for mark in EMULATOR if mark in text), None)

    def report(self, seen: Seen) -> None:
        """One line, and the files of a cell that failed."""
        wrong = expect.judge(seen)
        if not wrong:
            self.counts["passed"] += 1
            print(f"ok   {seen.seconds:5.1f} s  {seen.cell.name}: {expect.summary(seen)}", flush=True)
            if not self.keep:
                shutil.rmtree(seen.folder)
                return
        else:
            self.counts["failed"] += 1
            print(f"FAIL {seen.seconds:5.1f} s  {seen.cell.name}: {'; '.join(wrong)}")
            print(f"              again: scripts/matrix --cells {seen.cell.name}   (kept: {seen.folder})", flush=True)
        facts = {field.name: getattr(seen, field.name) for field in dataclasses.fields(seen)
                 if field.name not in ("console", "log", "folder")}
        (seen.folder / "seen.json").write_text(json.dumps(facts, indent=1, default=dataclasses_or_text))

    def close(self) -> int:
        print(f"\n{time.monotonic() - self.began:.0f} s")
        for reason, count in self.skipped.items():
            print(f"{count} skipped: {reason}")
        line = f"{self.counts['passed']} passed, {self.counts['failed']} failed"
        if self.skipped:
            line += f", {self.skipped.total()} skipped"
        print(line)
        return 0 if self.counts["passed"] and not self.counts["failed"] else 1


def dataclasses_or_text(value: object) -> object:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)
