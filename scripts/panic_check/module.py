# SPDX-License-Identifier: GPL-2.0
"""A relocatable x86-64 object, as functions of instructions with their relocations resolved."""

import bisect
import functools
import re
import shutil
import subprocess


class Refused(Exception):
    """The module cannot be judged; that is never a pass."""


class Insn:
    """One instruction; `refs` are what its relocations name, as `resolve` gives it."""

    __slots__ = ("addr", "op", "args", "refs", "near", "size")

    def __init__(self, addr, op, args):
        self.addr, self.op, self.args = addr, op, args
        self.refs = []
        self.near = None
        self.size = 0


class Function:
    """One function: where it is and what is in it."""

    def __init__(self, name, section, start, size):
        self.name, self.section, self.start, self.size = name, section, start, size
        self.insns = []

    def __contains__(self, addr):
        return self.start <= addr < self.start + self.size


class Module:
    """Functions by name and by place; relocations of data by place."""

    def __init__(self):
        self.functions = {}
        self.places = {}
        self.data = {}
        self.symbols = {}

    def at(self, section, addr):
        """The function at an address, or None."""
        found = self.places.get(section, ([], []))
        i = bisect.bisect_right(found[0], addr) - 1
        if i >= 0 and addr in found[1][i]:
            return found[1][i]
        return None


def tool(*argv):
    if shutil.which(argv[0]) is None:
        raise Refused(f"{argv[0]} is missing: install binutils")
    run = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode != 0:
        raise Refused(f"{argv[0]} failed: {run.stderr.strip().splitlines()[-1:] or argv}")
    return run.stdout


@functools.lru_cache(maxsize=None)
def pretty(name):
    """A symbol as a person reads it."""
    if not name.startswith("_R") or shutil.which("c++filt") is None:
        return name
    run = subprocess.run(["c++filt", name], capture_output=True, text=True, check=False)
    # Without the crates' hashes, which change with every compiler.
    return re.sub(r"\[[0-9a-f]+\]", "", run.stdout.strip()) or name


def load(path):
    mod = Module()
    header = tool("readelf", "-hW", path)
    if "REL (Relocatable file)" not in header or "X86-64" not in header:
        raise Refused(f"{path} is no x86-64 module")
    sections = load_sections(path)
    load_symbols(mod, path, sections)
    load_data(mod, path)
    load_code(mod, path)
    if not mod.functions:
        raise Refused(f"{path} has no functions; was it stripped?")
    empty = [f.name for f in mod.functions.values() if not f.insns]
    if empty:
        raise Refused(f"{path}: no instructions were read for {empty[0]} and {len(empty) - 1} more")
    return mod


def load_sections(path):
    names = {}
    for line in tool("readelf", "-SW", path).splitlines():
        m = re.match(r"\s*\[\s*(\d+)\]\s+(\S+)\s+(PROGBITS|NOBITS|NOTE|INIT_ARRAY)\s", line)
        if m:
            names[m[1]] = m[2]
    return names


def load_symbols(mod, path, sections):
    rows = []
    for line in tool("readelf", "-sW", path).splitlines():
        m = re.match(r"\s*\d+:\s+([0-9a-f]+)\s+(\S+)\s+(\S+)\s+\S+\s+\S+\s+(\S+)(?:\s+(\S+))?", line)
        if not m or m[4] not in sections or not m[5]:
            continue
        addr, size, kind, section, name = int(m[1], 16), int(m[2], 0), m[3], sections[m[4]], m[5]
        mod.symbols.setdefault(name, []).append((section, addr))
        if size and (kind == "FUNC" or (kind == "NOTYPE" and section.startswith(".text"))):
            rows.append((section, addr, -size, name))
    for section, addr, size, name in sorted(rows):
        starts, funcs = mod.places.setdefault(section, ([], []))
        if starts and starts[-1] == addr:
            continue
        # Local functions of two crates may share a name; the place tells them apart.
        key = name if name not in mod.functions else f"{name}@{section}+{addr:#x}"
        mod.functions[key] = Function(key, section, addr, -size)
        starts.append(addr)
        funcs.append(mod.functions[key])


RELOC = re.compile(r"([0-9a-f]+): (R_X86_64_\w+)\t(\S+)")


def resolve(mod, target, pc_bias):
    """A relocation's targets, each (external symbol, None, None) or (None, section, offset).

    Local symbols of two crates may share a name, and a relocation does not tell which it means: then
    all of them are targets.
    """
    m = re.match(r"^(.*?)([+-]0x[0-9a-f]+)?$", target)
    name, addend = m[1], int(m[2] or "0", 16)
    addend += pc_bias
    if name in mod.symbols:
        return [(None, section, base + addend) for section, base in mod.symbols[name]]
    if name.startswith("."):
        return [(None, name, addend)]
    return [(name, None, None)]


def load_data(mod, path):
    section = None
    for line in tool("readelf", "-rW", path).splitlines():
        m = re.match(r"Relocation section '\.rela(\S+)'", line)
        if m:
            section = m[1]
            continue
        m = re.match(r"([0-9a-f]{12,})\s+\S+\s+R_X86_64_64\s+\S+\s+(\S+) ([+-]) ([0-9a-f]+)", line)
        if m and section:
            target = f"{m[2]}{m[3]}0x{m[4]}"
            mod.data[(section, int(m[1], 16))] = resolve(mod, target, 0)


def load_code(mod, path):
    section = None
    insns = []
    for line in tool("objdump", "-drw", "--no-show-raw-insn", "-z", path).splitlines():
        m = re.match(r"Disassembly of section (\S+):", line)
        if m:
            file_away(mod, section, insns)
            section, insns = m[1], []
            continue
        m = re.match(r"\s+([0-9a-f]+):\t(.*)$", line)
        if m:
            insns.append(parse_insn(int(m[1], 16), m[2], insns))
    file_away(mod, section, insns)


def parse_insn(addr, text, insns):
    if insns:
        insns[-1].size = addr - insns[-1].addr
    body, _, relocs = text.partition("\t")
    words = re.sub(r"\s*#.*$", "", body).split(None, 1)
    prefixes = {"lock", "rep", "repz", "repnz", "notrack", "bnd", "cs", "ds", "es", "data16", "xacquire", "xrelease"}
    while len(words) == 2 and words[0] in prefixes and words[0] != "rep":
        words = words[1].split(None, 1)
    insn = Insn(addr, words[0] if words else "", words[1] if len(words) == 2 else "")
    insn.refs = [(int(r[1], 16), r[2], r[3]) for r in RELOC.finditer(relocs)]
    # An address in the same section, which the assembler has put in itself.
    near = re.search(r"# (?:0x)?([0-9a-f]+) <", body)
    insn.near = int(near[1], 16) if near and not insn.refs and "(%rip)" in insn.args else None
    return insn


PC_RELATIVE = {"R_X86_64_PC32", "R_X86_64_PLT32", "R_X86_64_GOTPCREL", "R_X86_64_GOTPCRELX", "R_X86_64_REX_GOTPCRELX"}


def file_away(mod, section, insns):
    for insn, after in zip(insns, insns[1:] + [None]):
        end = after.addr if after else insn.addr + insn.size
        refs = []
        for where, kind, target in insn.refs:
            # A PC-relative field counts from the end of the instruction, not from itself.
            known_end = end if after else where + 4
            bias = known_end - where if kind in PC_RELATIVE else 0
            refs += resolve(mod, target, bias)
        insn.refs = refs if insn.near is None else [(None, section, insn.near)]
        function = mod.at(section, insn.addr)
        if function:
            function.insns.append(insn)
