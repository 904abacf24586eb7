# SPDX-License-Identifier: GPL-2.0
"""Programs made at random that look as if their loops ended: one of which `loops` says so is run, and must end after as many turns.

The judge is a small machine that knows instructions and nothing of counters, limits or circles.
"""

import math
import os
import random
import subprocess

from . import module
from .flow import Flow
from .loops import Loops

REGISTERS = ("a", "c", "d", "si")
CONDITIONS = ("e", "ne", "b", "ae", "be", "a", "l", "ge", "le", "g", "s", "ns")
ODD = (0, 1, 2, 63, 64, 65, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 100)
# Those that may take longer than this are not run.
STEPS = 1 << 20


def operand(name, width):
    if width == 8:
        return f"%{name}l"
    return {64: "%r", 32: "%e"}[width] + name + ("x" if len(name) == 1 else "")


class Maker:
    """Makes one program: tuples of an operation, a width and what it needs; jumps are to numbers of instructions."""

    def __init__(self, rng):
        # The fewer, the more they are in one another's way.
        self.rng, self.program, self.used = rng, [], REGISTERS[: rng.choice((1, 2, 2, 4))]
        for _ in range(rng.randrange(1, 3)):
            self.loop(0)
        end = len(self.program)
        for n, (op, width, *rest) in enumerate(self.program):
            if rest[-1] is None:
                self.program[n] = (op, width, rest[0], rng.randrange(end + 1) if rng.random() < 0.4 else end)

    def add(self, *what):
        self.program.append(what)

    def number(self):
        return self.rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 8, 16, 64, 255))

    def any(self):
        return self.rng.choice(self.used)

    def loop(self, depth):
        rng, counter, width = self.rng, self.any(), self.rng.choice((64, 32))
        if rng.random() < 0.75:
            self.add("mov", width, self.number(), counter)
        top = len(self.program)
        for _ in range(rng.randrange(3)):
            self.something(depth)
        tested = self.step(counter, width)
        if rng.random() < 0.85:
            self.compare(tested, rng.choice((width, width, width, 8, 64, 32)))
        if rng.random() < 0.3:
            self.add("j", 0, rng.choice(CONDITIONS), None)
            self.add("j", 0, "mp", top)
        else:
            self.add("j", 0, rng.choice(CONDITIONS), top)

    def something(self, depth):
        kind = self.rng.random()
        if kind < 0.3:
            self.add("copy", self.rng.choice((64, 32)), self.any(), self.any())
        elif kind < 0.5:
            self.add("add", 64, self.rng.choice((1, -1)), self.any())
        elif kind < 0.6:
            self.add("mov", 64, self.number(), self.any())
        elif kind < 0.75:
            self.add("cmp", 64, self.number(), self.any())
            self.add("j", 0, self.rng.choice(CONDITIONS), None)
        elif depth < 2:
            self.loop(depth + 1)

    def step(self, counter, width):
        """Counts; returns the register that the count is in."""
        kind = self.rng.random()
        if kind < 0.7:
            self.add("add", width, self.rng.choice((1, 1, 1, -1, -1, -1, 2, 3, -4, 8)), counter)
            return counter
        if kind < 0.9:
            by = self.any()
            self.add("lea", 64, self.rng.choice((1, 2, -1)), counter, by)
            self.add("copy", self.rng.choice((64, 64, 32)), by, counter)
            return by
        self.add("shr", width, self.rng.choice((1, 3)), counter)
        return counter

    def compare(self, name, width):
        if self.rng.random() < 0.8:
            self.add("cmp", width, self.number() % (128 if width == 8 else 256), name)
        else:
            self.add("compare", width, self.any(), name)


def text(number, program):
    """A program as assembly."""
    lines = [f".type f{number},@function", f"f{number}:"]
    for n, (op, width, *rest) in enumerate(program):
        lines.append(f".L{number}_{n}:")
        if op == "j":
            lines.append(f"j{rest[0]} .L{number}_{rest[1]}")
        elif op == "lea":
            lines.append(f"lea {rest[0]}({operand(rest[1], 64)}),{operand(rest[2], width)}")
        elif op in ("copy", "compare"):
            lines.append(f"{ {'copy': 'mov', 'compare': 'cmp'}[op]} {operand(rest[0], width)},{operand(rest[1], width)}")
        else:
            lines.append(f"{op} ${rest[0]},{operand(rest[1], width)}")
    lines += [f".L{number}_{len(program)}:", "ret", f".size f{number},.-f{number}"]
    return "\n".join(lines) + "\n"


def ends(program, registers, steps):
    """Whether the program comes to its end from these values of the registers, after so many steps at most."""
    at, carry, zero, sign, over = 0, False, False, False, False
    for _ in range(steps + 1):
        if at == len(program):
            return True
        op, width, *rest = program[at]
        at += 1
        if op == "j":
            taken = {
                "mp": True, "e": zero, "b": carry, "be": carry or zero, "l": sign != over, "le": zero or sign != over, "s": sign,
                "ne": not zero, "ae": not carry, "a": not (carry or zero), "ge": sign == over, "g": not zero and sign == over, "ns": not sign,
            }[rest[0]]
            at = rest[1] if taken else at
            continue
        mask, top = (1 << width) - 1, 1 << (width - 1)
        left = registers[rest[-1]] & mask
        right = (registers[rest[0]] if op in ("copy", "compare") else rest[0]) & mask
        if op in ("mov", "copy"):
            registers[rest[-1]] = right
            continue
        if op == "lea":
            registers[rest[2]] = (registers[rest[1]] + rest[0]) & mask
            continue
        if op == "shr":
            result, carry, over = left >> right, bool(left >> (right - 1) & 1), bool(left & top) and right == 1
        elif op == "add":
            result = (left + right) & mask
            carry, over = left + right > mask, bool(~(left ^ right) & (left ^ result) & top)
        else:
            result = (left - right) & mask
            carry, over = left < right, bool((left ^ right) & (left ^ result) & top)
        zero, sign = result == 0, bool(result & top)
        if op in ("add", "shr"):
            registers[rest[-1]] = result
    return False


def run(folder, seed, count):
    """How many programs were proved to end, and those of them that did not, as text."""
    rng = random.Random(seed)
    programs = [Maker(rng).program for _ in range(count)]
    path = os.path.join(folder, "programs.o")
    source = "".join(text(n, p) for n, p in enumerate(programs))
    subprocess.run(["as", "--64", "-o", path], input=source, text=True, check=True)
    mod = module.load(path)
    proved, wrong = 0, []
    for n, program in enumerate(programs):
        loops = Loops(Flow(mod.functions[f"f{n}"]))
        # Loops may be in one another: each instruction is met as often as all their turns together allow.
        steps = (len(program) + 1) * math.prod(turns + 1 for _, turns in loops.proven)
        if loops.unproven or not loops.proven or steps > STEPS:
            continue
        proved += 1
        for _ in range(6):
            if not ends(program, {r: rng.choice((*ODD, rng.randrange(1 << 64))) for r in REGISTERS}, steps):
                wrong.append(text(n, program))
                break
    return proved, wrong
