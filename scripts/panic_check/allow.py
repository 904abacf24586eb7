# SPDX-License-Identifier: GPL-2.0
"""The allow-list: `what  reason`, one a line.

`what` is an external symbol, or for what a symbol cannot say, a kind and a function (shell patterns, matched against the mangled
and the readable name): `indirect:F`, `trap:F` (also an external function that is a trap), `pause:F`, `loop:F`, and `loop:F#N` for N
loops in each function that matches.
"""

import fnmatch

from .module import pretty
from .refused import Refused

WHY = "reason wanted"
KINDS = ("indirect", "trap", "pause", "loop")


def parse(pattern):
    """(kind or "", pattern of the name, how many)"""
    kind, colon, body = pattern.partition(":")
    if not colon or kind not in KINDS:
        return "", pattern, 1
    name, sharp, count = body.rpartition("#")
    if kind == "loop" and sharp:
        return kind, name, int(count) if count.isdigit() else 0
    return kind, body, 1


class Rules:
    """What is allowed, and whether it was needed."""

    def __init__(self):
        self.patterns = {}
        self.used = set()
        # How many of a counted rule were needed at most.
        self.needed = {}

    def matching(self, name, kind):
        for pattern in self.patterns:
            rule_kind, body, count = parse(pattern)
            if rule_kind == (kind or "") and any(fnmatch.fnmatchcase(n, body) for n in (name, pretty(name))):
                yield pattern, count

    def allows(self, name, kind=None):
        for pattern, _ in self.matching(name, kind):
            self.used.add(pattern)
            return True
        return False

    def turns(self, name, wanted):
        """How many loops are listed for a function that has `wanted` of them; the first rule that fits decides."""
        if wanted:
            for pattern, count in self.matching(name, "loop"):
                self.used.add(pattern)
                self.needed[pattern] = max(self.needed.get(pattern, 0), wanted)
                return count
        return 0

    def unused(self):
        few = [f"{p} (no function has more than {n})" for p, n in self.needed.items() if n < parse(p)[2]]
        return sorted(set(self.patterns) - self.used) + sorted(few)


def load(path):
    rules = Rules()
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except OSError as e:
        raise Refused(f"no allow-list: {e}") from e
    for number, line in enumerate(lines, 1):
        words = line.split(None, 1)
        if not words or line.startswith("#"):
            continue
        if len(words) != 2 or len(words[1].split()) < 2 or words[1].startswith(WHY):
            raise Refused(f"{path}:{number}: {words[0]} is allowed without a reason")
        _, body, count = parse(words[0])
        if body == "*" or words[0] in rules.patterns:
            raise Refused(f"{path}:{number}: {words[0]} allows everything or is there twice")
        if count < 1:
            raise Refused(f"{path}:{number}: {words[0]}: how many loops?")
        rules.patterns[words[0]] = words[1]
    return rules
