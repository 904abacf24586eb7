# SPDX-License-Identifier: GPL-2.0
"""A relocatable x86-64 object, as functions of instructions with their relocations resolved."""

import bisect
import functools
import re
import shutil
import struct
import subprocess

from . import elf
from .code import decode
from .refused import Refused


class Function:
    """One function: where it is and what is in it."""

    def __init__(self, name, section, start, size):
        self.name, self.section, self.start, self.size = name, section, start, size
        self.insns = []
        # What may be put in the place of some of it when it is loaded.
        self.patches = []
        # Where it may go without a jump to be seen: (from, to) of static branches and of exceptions.
        self.labels = []

    def __contains__(self, addr):
        return self.start <= addr < self.start + self.size


class Patch:
    """Instructions that may replace those of a function from `start` on, of `size` bytes."""

    def __init__(self, start, size, insns):
        self.start, self.size, self.insns = start, size, insns


class Module:
    """Functions by name and by place; relocations of data by place."""

    def __init__(self, path):
        self.path = path
        self.functions = {}
        self.places = {}
        self.data = {}

    def at(self, section, addr):
        """The function at an address, or None."""
        found = self.places.get(section, ([], []))
        i = bisect.bisect_right(found[0], addr) - 1
        if i >= 0 and addr in found[1][i]:
            return found[1][i]
        return None

    def add(self, name, section, start, size):
        """A function; those of a section are added by rising addresses."""
        starts, funcs = self.places.setdefault(section, ([], []))
        if starts and starts[-1] == start:
            return
        # Local functions of two crates may share a name; the place tells them apart.
        key = name if name not in self.functions else f"{name}@{section}+{start:#x}"
        self.functions[key] = Function(key, section, start, size)
        starts.append(start)
        funcs.append(self.functions[key])


def readable(names):
    """Symbols as a person reads them, without the crates' hashes, which change with every compiler."""
    if not any(n.startswith("_R") for n in names) or shutil.which("c++filt") is None:
        return names
    run = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=False)
    found = [re.sub(r"\[[0-9a-f]+\]", "", line) for line in run.stdout.splitlines()]
    return found if len(found) == len(names) else names


@functools.lru_cache(maxsize=None)
def pretty(name):
    """One symbol as a person reads it."""
    return readable([name])[0]


def load(path):
    """A module with the instructions of all its functions."""
    file = elf.Elf(path)
    if file.kind != elf.RELOCATABLE:
        raise Refused(f"{path} is no x86-64 module")
    names = [s.name for s in file.sections if s.flags & elf.EXECUTED]
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise Refused(f"{path} has {twice[0]} more than once")
    mod = Module(path)
    load_functions(mod, file)
    for section, rows in file.relocations.items():
        for offset, kind, symbol, addend in rows:
            if kind == "R_X86_64_64":
                mod.data[(section, offset)] = [target(symbol, addend)]
    load_code(mod, file)
    load_patches(mod, file)
    load_labels(mod, file)
    if not mod.functions:
        raise Refused(f"{path} has no functions; was it stripped?")
    empty = [f.name for f in mod.functions.values() if not f.insns]
    if empty:
        raise Refused(f"{path}: no instructions were read for {empty[0]} and {len(empty) - 1} more")
    return mod


def load_functions(mod, file):
    rows = []
    for s in file.symbols:
        if not s.section or not s.size or not s.section.flags & elf.EXECUTED:
            continue
        if s.kind == elf.FUNC or (s.kind == elf.NOTYPE and s.section.name.startswith(".text")):
            rows.append((s.section.name, s.value, -s.size, s.name))
    for section, addr, size, name in sorted(rows):
        mod.add(name, section, addr, -size)


def target(symbol, addend):
    """What a relocation names: (external symbol, None, None) or (None, section, offset)."""
    if symbol.section is None:
        return (symbol.name, None, None)
    return (None, symbol.section.name, symbol.value + addend)


class Places:
    """The relocations of a section, in order."""

    def __init__(self, file, section):
        self.rows = sorted(file.relocations.get(section, []), key=lambda row: row[0])
        self.offsets = [r[0] for r in self.rows]

    def within(self, start, end):
        return self.rows[bisect.bisect_left(self.offsets, start) : bisect.bisect_left(self.offsets, end)]


def link(insns, section, places):
    """Says for each instruction what it names."""
    for insn in insns:
        end = insn.addr + insn.size
        # A PC-relative field counts from the end of the instruction, not from itself.
        insn.refs = [
            target(symbol, addend + (end - where if kind in elf.PC_RELATIVE else 0))
            for where, kind, symbol, addend in places.within(insn.addr, end)
        ]
        if insn.refs:
            insn.target = None
        elif insn.near is not None:
            # An address in the same section, which the assembler has put in itself.
            insn.refs = [(None, section, insn.near)]


def load_code(mod, file):
    bodies = {s.name: s.data for s in file.sections if s.flags & elf.EXECUTED}
    functions = list(mod.functions.values())
    pieces = [(f.section, f.start, bodies[f.section][f.start : f.start + f.size]) for f in functions]
    places = {name: Places(file, name) for name in bodies}
    for f, insns in zip(functions, decode(pieces)):
        f.insns = insns
        link(insns, f.section, places[f.section])


def load_patches(mod, file):
    """.altinstructions: { s32 instruction, s32 replacement, u32 feature, u8 length, u8 length of the replacement }, packed."""
    data, places = file.data(".altinstructions"), Places(file, ".altinstructions")
    if len(data) % 14:
        raise Refused(f"{mod.path}: entries of .altinstructions of another size")
    bodies = {s.name: s.data for s in file.sections}
    rows, pieces = [], []
    for at in range(0, len(data), 14):
        old, new = places.within(at, at + 4), places.within(at + 4, at + 8)
        length, replaced = struct.unpack_from("<BB", data, at + 12)
        if len(old) != 1 or len(new) != 1:
            raise Refused(f"{mod.path}: an entry of .altinstructions without its relocations")
        _, section, start = target(old[0][2], old[0][3])
        _, where, begin = target(new[0][2], new[0][3])
        function = mod.at(section, start)
        if function is None:
            continue
        rows.append((function, start, length))
        pieces.append((where, begin, bodies[where][begin : begin + replaced]))
    for (function, start, length), (where, begin, _), insns in zip(rows, pieces, decode(pieces)):
        # Two entries may share their replacement's place only if it is empty.
        link(insns, where, Places(file, where))
        function.patches.append(Patch(start, length, insns))


def load_labels(mod, file):
    """__jump_table: { s32 code, s32 target, s64 key }; __ex_table: { s32 instruction, s32 fixup, s32 kind }."""
    for name, size in (("__jump_table", 16), ("__ex_table", 12)):
        data, places = file.data(name), Places(file, name)
        for at in range(0, len(data), size):
            old, new = places.within(at, at + 4), places.within(at + 4, at + 8)
            if len(old) != 1 or len(new) != 1:
                raise Refused(f"{mod.path}: an entry of {name} without its relocations")
            _, section, start = target(old[0][2], old[0][3])
            _, where, goal = target(new[0][2], new[0][3])
            function = mod.at(section, start)
            if function is not None and where == section and goal in function:
                function.labels.append((start, goal))
            elif function is not None:
                for insn in function.insns:
                    insn.refs += [(None, where, goal)] if insn.addr == start else []
