# SPDX-License-Identifier: GPL-2.0
"""The cells of the panic matrix: values, the rules that exclude combinations, and the choice of cells.

A cell is one value of each dimension; its name joins them with dots: `hardirq.nvme-poll.idle.erst.watchdog`.
"""

import itertools
import random
from typing import NamedTuple

CONTEXTS = ("process", "softirq", "hardirq", "nmi", "spin", "submit", "commit", "alloc", "mount", "unmount", "unload",
            "nested", "rust")
DEVICES = ("virtio-poll", "virtio-shared", "nvme-poll", "nvme-default", "virtio-scsi", "ahci", "null-blk", "dm-linear",
           "loop")
STATES = ("idle", "inflight", "never", "errors", "unplugged")
PSTORES = ("ours", "erst", "ramoops")
ENDS = ("watchdog", "once", "now")

DIMENSIONS = (CONTEXTS, DEVICES, STATES, PSTORES, ENDS)
SEED = 1
MATRIX_CELLS = 150
SUBSET_CELLS = 20


class Cell(NamedTuple):
    """One value of each dimension."""

    context: str
    device: str
    state: str
    pstore: str
    end: str

    @property
    def name(self) -> str:
        return ".".join(self)


# Contexts in which PermFS itself is at work on the volume.
AT_WORK = ("submit", "commit", "alloc", "rust")

# Name of a rule, why such a cell cannot be, and which cells those are.
RULES = (
    ("writers-need-a-mounted-volume",
     "64 writes cannot be in flight on a volume that is not mounted yet or not any more",
     lambda c: c.state == "inflight" and c.context in ("mount", "unmount", "unload")),
    ("a-module-in-use-does-not-unload",
     "permfs.ko goes only when no volume is mounted: then the device's state is nothing to it",
     lambda c: c.context == "unload" and c.state != "idle"),
    ("a-device-that-fails-is-not-mounted",
     "a mount of a device that is gone or fails is over before anything can panic inside it",
     lambda c: c.context == "mount" and c.state in ("errors", "unplugged")),
    ("a-volume-without-a-device-does-nothing",
     "a volume whose device is gone refuses the change before it comes to allocator, commit or submission",
     lambda c: c.context in AT_WORK and c.state == "unplugged"),
    ("null-blk-never-completes-anyway",
     "null_blk completes by a timer, which stops with the panic: its 64 writes in flight are those that never complete",
     lambda c: c.device == "null-blk" and c.state == "never"),
)


def parse(name: str) -> Cell:
    """The cell of that name; ValueError if there is none."""
    words = name.split(".")
    if len(words) != len(DIMENSIONS):
        raise ValueError(f"'{name}' is not a cell: CONTEXT.DEVICE.STATE.PSTORE.END is wanted")
    for word, values in zip(words, DIMENSIONS):
        if word not in values:
            raise ValueError(f"'{word}' in '{name}' is none of {', '.join(values)}")
    cell = Cell(*words)
    rule = excluded(cell)
    if rule:
        raise ValueError(f"'{name}' cannot be: {rule[1]} ({rule[0]})")
    return cell


def excluded(cell: Cell) -> tuple[str, str] | None:
    """The rule that excludes the cell: its name and its reason."""
    for name, reason, applies in RULES:
        if applies(cell):
            return name, reason
    return None


def everything() -> list[Cell]:
    """Every combination, possible or not."""
    return [Cell(*values) for values in itertools.product(*DIMENSIONS)]


def groups(cell: Cell, size: int) -> set[tuple]:
    """The cell's values, pairs (size 2) or triples (3), each with the places of its values."""
    return {(places, tuple(cell[p] for p in places)) for places in itertools.combinations(range(len(cell)), size)}


def cover(candidates: list[Cell], size: int, chosen: list[Cell], limit: int | None = None) -> list[Cell]:
    """Greedily adds cells to `chosen` until every possible group of `size` values is in one, or there are `limit` cells.

    Among equals the first candidate is taken, so the order of the candidates decides.
    """
    chosen = list(chosen)
    of = {cell: groups(cell, size) for cell in candidates}
    missing = set().union(*of.values())
    for cell in chosen:
        missing -= of[cell]
    while missing and (limit is None or len(chosen) < limit):
        best = max(candidates, key=lambda c: len(of[c] & missing))
        missing -= of[best]
        chosen.append(best)
    return chosen


def possible(seed: int) -> list[Cell]:
    """All cells that can be, in an order that the seed decides."""
    cells = everything()
    random.Random(seed).shuffle(cells)
    return [cell for cell in cells if not excluded(cell)]


def matrix(seed: int = SEED, at_least: int = MATRIX_CELLS) -> list[Cell]:
    """Cells that cover every possible pair of values, then as many triples as fit into `at_least` cells.

    Ordered by pstore, because what one cell left is read in the boot of the next, through the same backend.
    """
    candidates = possible(seed)
    cells = cover(candidates, 3, cover(candidates, 2, []), at_least)
    return sorted(cells, key=lambda c: (PSTORES.index(c.pstore), cells.index(c)))


def subset(seed: int = SEED, count: int = SUBSET_CELLS) -> list[Cell]:
    """The cells of `make test`, out of the matrix: every value at least once, then as many pairs as fit."""
    cells = matrix(seed)
    chosen = cover(cells, 2, cover(cells, 1, []), count)
    return [cell for cell in cells if cell in chosen]


def missing_groups(cells: list[Cell], size: int) -> set[tuple]:
    """Groups of values that could be, but are in none of `cells`."""
    could = set().union(*(groups(cell, size) for cell in everything() if not excluded(cell)))
    return could - set().union(*(groups(cell, size) for cell in cells))
