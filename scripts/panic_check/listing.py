# SPDX-License-Identifier: GPL-2.0
"""The list of what lies beyond the module's edge: what a person has said of it, and what was found, each with its argument.

    module NAME                    a module of the stock kernel that is read; `permfs` is ours
    root F              reason     where the walk begins, besides what the module calls by name
    cut PATTERN         reason     a function that is not walked into (shell pattern)
    to F TARGETS        reason     where the indirect calls in F, or a static call, go to: functions with commas between; `-`: nowhere;
                                   more lines of one F are added up
    why WORD            argument   what the last part of the file refers to
    KIND WHAT in F: WORD  <- path  what was found, sorted; made by --update

Only kind, what and F are compared with what is found. The path is one of the shortest, for a person to read.
"""

import re

from .beyond import Rules
from .refused import Refused

# The argument of a line that --update has added.
WANTED = "?"
FOUND = re.compile(r"^(\S+) (\S+) in (\S+): (\S+)(?:  <- (.*))?$")
SAID = {"module": 1, "root": 1, "cut": 1, "to": 2, "why": 1}


class Listing(Rules):
    """`found`: {(kind, what, where): (word, path)}."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.modules, self.why, self.found = [], {}, {}
        self.said = []
        try:
            with open(path, encoding="utf-8") as f:
                lines = f.read().splitlines()
        except OSError as e:
            raise Refused(f"no list: {e}") from e
        for number, line in enumerate(lines, 1):
            self.take(line, f"{path}:{number}")

    def take(self, line, place):
        m = FOUND.match(line)
        if m:
            if m.groups()[:3] in self.found:
                raise Refused(f"{place}: there twice")
            self.found[m.groups()[:3]] = (m[4], m[5])
            return
        self.said.append(line)
        words = line.split()
        if not words or line.startswith("#"):
            return
        names = SAID.get(words[0])
        if names is None:
            raise Refused(f"{place}: what is `{words[0]}`?")
        if len(words) < 1 + names + (2 if words[0] != "module" else 0):
            raise Refused(f"{place}: {line.strip()}: without a reason")
        table = {"root": self.roots, "cut": self.cuts, "to": self.goes, "why": self.why}.get(words[0])
        if words[0] == "module":
            self.modules.append(words[1])
        elif words[0] == "to":
            table.setdefault(words[1], []).extend(t for t in words[2].split(",") if t != "-")
        elif words[1] in table:
            raise Refused(f"{place}: {words[1]} is there twice")
        elif words[0] == "cut" and words[1] == "*":
            raise Refused(f"{place}: cuts everything")
        else:
            table[words[1]] = " ".join(words[2:])

    def problems(self, walk):
        """What differs, and what has no argument."""
        for key in sorted(set(walk.found) - set(self.found)):
            yield f"new: {self.line(key, WANTED, walk.found[key])}"
        for key in sorted(set(self.found) - set(walk.found)):
            yield f"gone: {self.line(key, *self.found[key])}"
        for key, (word, path) in sorted(self.found.items()):
            if word not in self.why:
                yield f"without an argument: {self.line(key, word, path)}"
        for name in sorted(set(self.cuts) - {n for kind, n in self.used if kind == "cut"}):
            yield f"a cut that nothing comes to: {name}"
        for name in sorted(set(self.goes) - {n for kind, n in self.used if kind == "to"}):
            yield f"an indirect call that nothing comes to: {name}"
        for word in sorted(set(self.why) - {word for word, _ in self.found.values()}):
            yield f"an argument of nothing: {word}"

    @staticmethod
    def line(key, word, path):
        kind, what, where = key
        path = path if isinstance(path, str) or path is None else " <- ".join(path)
        return f"{kind} {what} in {where}: {word}" + (f"  <- {path}" if path else "")

    def update(self, walk):
        """Writes what was found; the arguments of lines that stay are kept."""
        while self.said and not self.said[-1].strip():
            self.said.pop()
        # What calls through pointers has its reason where it is said where they go to.
        new = {key: "table" if key[0] == "through" and "table" in self.why else WANTED for key in walk.found}
        lines = [self.line(key, self.found.get(key, (new[key],))[0], path) for key, path in sorted(walk.found.items())]
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.said + [""] + lines) + "\n")
