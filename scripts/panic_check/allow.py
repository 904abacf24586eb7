# SPDX-License-Identifier: GPL-2.0
"""The allow-list: `what  reason`, one a line.

`what` is an external symbol, or for what a symbol cannot say, a kind and a function (shell patterns,
matched against the mangled and the readable name): `indirect:F`, `trap:F`, `pause:F`.
"""

import fnmatch

from .module import Refused, pretty

KINDS = ("indirect", "trap", "pause")


class Rules:
    """What is allowed, and whether it was needed."""

    def __init__(self):
        self.patterns = {}
        self.used = set()

    def allows(self, name, kind=None):
        for pattern in self.patterns:
            rule_kind, _, body = pattern.rpartition(":") if pattern.startswith(KINDS) else ("", "", pattern)
            if rule_kind == (kind or "") and any(fnmatch.fnmatchcase(n, body) for n in (name, pretty(name))):
                self.used.add(pattern)
                return True
        return False

    def unused(self):
        return sorted(set(self.patterns) - self.used)


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
        if len(words) != 2 or len(words[1].split()) < 2:
            raise Refused(f"{path}:{number}: {words[0]} is allowed without a reason")
        if words[0] in ("*", "indirect:*", "trap:*", "pause:*") or words[0] in rules.patterns:
            raise Refused(f"{path}:{number}: {words[0]} allows everything or is there twice")
        rules.patterns[words[0]] = words[1]
    return rules
