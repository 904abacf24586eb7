# SPDX-License-Identifier: GPL-2.0
"""Loops of a function, and which of them end after a number of turns that the machine code itself tells.

A loop is what is left of the graph of instructions when all that is on no circle is taken away (a strongly connected component). It
ends if on each way around there is a test that leaves the loop, of a register against a limit that does not change, and if on each
way around that register comes nearer to the limit. Circles that do not go through the test are loops of their own.

What is proved is a number of turns, not of instructions: of a loop in a loop, each has its own.
"""

import re

from .flow import FULL, KEEPS_FLAGS, STRING, operands, register
from .values import Values, halves, immediate, moved, named, width

# More turns than this are nothing that a panic can wait for.
MOST = 1 << 16
NEGATED = {"e": "ne", "b": "ae", "be": "a", "l": "ge", "le": "g", "s": "ns"}
NEGATED.update({v: k for k, v in NEGATED.items()})
SAME = {"z": "e", "nz": "ne", "c": "b", "nc": "ae", "nae": "b", "nb": "ae", "na": "be", "nbe": "a"}
SAME.update({"nge": "l", "nl": "ge", "ng": "le", "nle": "g"})
FLIPPED = {"e": "e", "ne": "ne", "b": "a", "a": "b", "ae": "be", "be": "ae", "l": "g", "g": "l", "le": "ge", "ge": "le"}


def components(nodes, edges):
    """Strongly connected components that have a circle (Tarjan, without recursion)."""
    index, low, stack, on, found = {}, {}, [], set(), []
    for root in sorted(nodes):
        if root in index:
            continue
        work = [(root, iter(edges(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in nodes:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on.add(other)
                    work.append((other, iter(edges(other))))
                    break
                if other in on:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    part = set(stack[at:])
                    del stack[at:]
                    on -= part
                    if len(part) > 1 or node in edges(node):
                        found.append(part)
    return found


class Loops:
    """The loops of one function: `unproven` are the addresses where those begin of which nothing was proved."""

    def __init__(self, flow):
        self.flow = flow
        self.proven, self.unproven = [], []
        self.split(set(flow.reached))
        for n in sorted(flow.reached):
            self.repeated(n)

    def repeated(self, n):
        """An instruction with `rep` is a loop of %rcx turns."""
        insn = self.flow.insns[n]
        if insn.repeated and STRING.match(insn.op):
            counts = self.values(n, "rcx", frozenset())
            if counts and all(base is None and 0 <= count <= MOST for base, count in counts):
                self.proven.append((insn.addr, max(count for _, count in counts)))
            else:
                self.unproven.append(insn.addr)

    def split(self, nodes):
        for part in components(nodes, lambda n: self.flow.next[n]):
            test, turns = self.bound(part)
            if test is not None:
                self.proven.append((self.flow.insns[test].addr, turns))
                self.split(part - {test})
            else:
                first = self.head(part)
                self.unproven.append(self.flow.insns[first].addr)
                self.split(part - {first})

    def head(self, part):
        """Where a loop is entered; if there is more than one such place, the first."""
        entered = [n for n in part if any(b not in part and b in self.flow.reached for b in self.flow.before[n]) or n in self.flow.starts]
        return min(entered or part)

    def circles(self, part, without, through):
        """Whether there is a circle within `part` through `through` that avoids `without`."""
        seen, todo = set(), [] if through in without else [through]
        while todo:
            for t in self.flow.next[todo.pop()]:
                if t == through:
                    return True
                if t in part and t not in without and t not in seen:
                    seen.add(t)
                    todo.append(t)
        return False

    def behind(self, part, test, start):
        """What comes after an instruction, up to the test; nothing does after the test itself."""
        seen, todo = set(), [] if start == test else [start]
        while todo:
            for t in self.flow.next[todo.pop()]:
                if t in part and t not in seen:
                    seen.add(t)
                    todo += [t] if t != test else []
        return seen

    def bound(self, part):
        """A test in the loop that ends it, and after how many turns; or None."""
        for n in sorted(part):
            insn = self.flow.insns[n]
            if not re.match(r"^j[^mr]", insn.op) or all(t in part for t in self.flow.next[n]) or len(self.flow.next[n]) != 2:
                continue
            turns = self.judge(part, n)
            if turns is not None and turns <= MOST:
                return n, turns
        return None, None

    def judge(self, part, jump):
        """After how many turns at most this jump leaves the loop."""
        test = self.setter(part, jump)
        if test is None:
            return None
        stays = SAME.get(self.flow.insns[jump].op[1:], self.flow.insns[jump].op[1:])
        if self.flow.jump(self.flow.insns[jump]) not in part:
            stays = NEGATED.get(stays)
        insn = self.flow.insns[test]
        parts = operands(insn.args)
        op = re.sub(r"[bwlq]$", "", insn.op) if insn.op not in ("sub", "shl", "shr") else insn.op
        best = None
        for name, limit, condition in self.sides(op, parts, stays):
            size = width(name)
            whole = FULL[name[1:]]
            # What is compared is the value after the instruction, if it computes one.
            counted = (part, test, op, whole, limit, condition, size)
            for turns in (self.in_place(*counted), self.through(*counted)):
                if turns is not None:
                    best = turns if best is None else min(best, turns)
        return best

    @staticmethod
    def sides(op, parts, stays):
        """Each register that may count, what it is compared with, and the condition to stay, seen from it."""
        if op == "cmp" and len(parts) == 2:
            if register(parts[1]):
                yield parts[1], parts[0], stays
            if register(parts[0]) and stays in FLIPPED:
                yield parts[0], parts[1], FLIPPED[stays]
        elif op == "test" and len(parts) == 2 and parts[0] == parts[1] and register(parts[0]):
            yield parts[0], "$0x0", {"ns": "ge", "s": "l"}.get(stays, stays)
        elif op in ("inc", "dec", "add", "sub", "shr") and parts and register(parts[-1]) and stays in ("e", "ne", "s", "ns"):
            yield parts[-1], "$0x0", {"ns": "ge", "s": "l"}.get(stays, stays)

    def setter(self, part, jump):
        """The instruction that the jump has its flags from."""
        at = jump
        for _ in range(16):
            before = [b for b in self.flow.before[at] if b in self.flow.reached]
            if len(before) != 1 or before[0] not in part:
                return None
            at = before[0]
            if not KEEPS_FLAGS.match(self.flow.insns[at].op):
                return at
        return None

    def step(self, n, name):
        """What instruction n adds to register `name`; None if it does something else with it."""
        insn = self.flow.insns[n]
        parts = operands(insn.args)
        if register(parts[-1]) != name or width(parts[-1]) < 32:
            return None
        op = insn.op.rstrip("lq")
        if insn.op in ("inc", "incl", "incq", "dec", "decl", "decq"):
            return 1 if insn.op.startswith("inc") else -1
        if op in ("add", "sub") or insn.op == "sub":
            value = immediate(parts[0])
            return None if value is None else value if insn.op.startswith("add") else -value
        source = moved(insn)
        return source[1] if source and source[0] == name else None

    def in_place(self, part, test, op, name, limit, condition, size):
        """The counter is one register, and nothing else is done to it in the loop."""
        writers = [n for n in part if name in self.flow.changes[n]]
        if not writers or self.circles(part, set(writers), test):
            return None
        if all(halves(self.flow.insns[n], name) for n in writers):
            return 64 if condition == "ne" and limit == "$0x0" else None
        steps = [self.step(n, name) for n in writers]
        if None in steps or not (all(s > 0 for s in steps) or all(s < 0 for s in steps)):
            return None
        behind = [self.behind(part, test, n) for n in writers]
        if any(n in seen for n, seen in zip(writers, behind)):
            return None
        # More than one of them on the way from test to test: as far as all of them together.
        alone = not any(n in seen for n in writers for seen in behind)
        most = max(steps, key=abs) if alone else sum(steps)
        return self.turns(part, test, name, writers, min(steps, key=abs), most, limit, condition, size)

    def through(self, part, test, op, name, limit, condition, size):
        """The counter goes from register to register on its way around: lea 1(%rax),%rcx; ... mov %rcx,%rax."""
        chain, steps, at, register_ = [], [], test, name
        if op not in ("cmp", "test"):
            return None
        while True:
            inside = [d for d in self.flow.definitions(at, register_) if d in part]
            if len(inside) != 1 or len(chain) > 4:
                return None
            d = inside[0]
            if chain and d == chain[0]:
                break
            if d in chain:
                return None
            insn = self.flow.insns[d]
            source = moved(insn)
            if source is None:
                step = self.step(d, register_)
                source = (register_, step) if step is not None else None
            if source is None:
                return None
            chain.append(d)
            steps.append(source[1])
            at, register_ = d, source[0]
        # One step on each way around, or it is not told by where the counter begins what the test gets to see.
        if len([s for s in steps if s]) != 1 or any(self.circles(part, {d}, test) for d in chain):
            return None
        if any(d in self.behind(part, test, d) for d in chain):
            return None
        return self.turns(part, test, name, chain, sum(steps), sum(steps), limit, condition, size)

    def turns(self, part, test, name, writers, least, most, limit, condition, size):
        limits = self.limits(part, test, limit, size)
        if not limits:
            return None
        narrow = min(width(operands(self.flow.insns[n].args)[-1]) for n in writers)
        signed = condition in ("l", "le", "g", "ge") and size <= narrow
        # What is written to half of a register is there without a sign: then all that is compared must be.
        values = Values(min(size, narrow), signed, size <= narrow)
        if least > 0 and condition in ("b", "be") and all(v[0] is None and values.has(v) and values.has((None, v[1] + most)) for v in limits):
            return max(v[1] for v in limits) // least + 2
        starts = self.starts(part, test, name, writers)
        if not starts:
            return None
        worst = 0
        towards = ("ne", "b", "be", "l", "le") if least > 0 else ("ne", "a", "ae", "g", "ge")
        for base, start in map(values.taken, starts):
            for other, goal in map(values.taken, limits):
                away = (goal - start) * (1 if least > 0 else -1)
                if base != other or condition not in towards or away < 0 or away >= 1 << 62:
                    return None
                if condition == "ne" and (least != most or away % abs(least) or away == 0):
                    return None
                # Neither the first step, which may come before the test, nor the last one goes around the end of the numbers.
                last = goal + {"ne": -least, "b": -1, "l": -1, "a": 1, "g": 1}.get(condition, 0) + most
                if not all(values.has((base, v)) for v in (start, start + most, goal, last)):
                    return None
                worst = max(worst, away // abs(least) + 2)
        return worst

    def limits(self, part, test, limit, size):
        value = immediate(limit)
        if value is not None:
            return {(None, value)}
        if limit.startswith("$"):
            return named(self.flow.insns[test], 0)
        name = register(limit)
        if name is None or any(d in part for d in self.flow.definitions(test, name)):
            return None
        return self.values(test, name, frozenset())

    def starts(self, part, test, name, writers):
        """The values that the counter may have when the loop is entered."""
        found = set()
        outside = set()
        todo, seen = [(test, name)], set()
        while todo:
            at, register_ = todo.pop()
            if (at, register_) in seen:
                continue
            seen.add((at, register_))
            for d in self.flow.definitions(at, register_):
                if d in part:
                    source = moved(self.flow.insns[d])
                    todo.append((d, source[0] if source else register_))
                else:
                    outside.add((d, register_))
        for d, register_ in outside:
            values = self.value_of(d, register_, frozenset())
            if values is None:
                return None
            found |= values
        return found

    def values(self, n, name, under):
        """What a register may be before instruction n: pairs (base, offset); base None is a number."""
        if (n, name) in under or len(under) > 24:
            return None
        found = set()
        for d in self.flow.definitions(n, name):
            values = self.value_of(d, name, under | {(n, name)})
            if values is None:
                return None
            found |= values
        return found if 0 < len(found) <= 8 else None

    def value_of(self, d, name, under):
        if d is None:
            return {(("argument", name), 0)}
        insn = self.flow.insns[d]
        parts = operands(insn.args)
        short = width(parts[-1]) < 64 if parts and register(parts[-1]) else True
        if re.match(r"^(?:xor|sub)[lq]?$", insn.op) and len(parts) == 2 and parts[0] == parts[1]:
            return {(None, 0)}
        if re.match(r"^mov(?:[lq]|abs)?$", insn.op) and parts[0].startswith("$") and register(parts[1]) == name:
            if insn.refs:
                return named(insn, 0)
            value = immediate(parts[0])
            return None if value is None or width(parts[1]) < 32 else {(None, value & 0xFFFFFFFF if short else value)}
        if insn.op.startswith("lea") and insn.refs and "(%rip)" in insn.args:
            return named(insn, 0)
        source = moved(insn)
        if source is None and name in self.flow.changes[d]:
            step = self.step(d, name)
            source = (name, step) if step is not None else None
        if source is None:
            # Some value, but the same one for all who have it from there; only if it is not made anew in a loop.
            return None if self.circles(self.flow.reached, set(), d) or register(parts[-1] if parts else "") != name else {(("made", d), 0)}
        values = self.values(d, source[0], under)
        if values is None or (short and any(base is not None for base, _ in values)):
            return None
        return {(base, offset + source[1]) for base, offset in values}
