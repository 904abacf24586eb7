# SPDX-License-Identifier: GPL-2.0
"""A stock kernel's image and modules, as functions that call one another. Instructions are read when a function is asked for."""

import bisect
import io
import lzma
import os
import re
import struct

from . import elf, kallsyms, module
from .code import decode
from .refused import Refused

# What a compiler makes of one function, and calls by other names.
PARTS = re.compile(r"\.(?:cold|isra\.\d+|constprop\.\d+|part\.\d+)(?=\.|$|@)")


def plain(name):
    """The name in the source."""
    return PARTS.sub("", name)


class Code:
    """A function: `id` is its name, with its module's before it."""

    def __init__(self, image, section, start, size, name):
        self.image, self.section, self.start, self.size, self.name = image, section, start, size, name
        self.insns = None
        self.patches = []
        self.labels = []
        self.id = plain(name) if image.name == "vmlinux" else f"{image.name}:{plain(name)}"

    def __lt__(self, other):
        return (self.id, self.section, self.start) < (other.id, other.section, other.start)


class Image:
    """The kernel's own image, or a module."""

    def __init__(self, name, file):
        self.name, self.file = name, file
        self.bodies = {s.name: s for s in file.sections}
        self.starts, self.codes, self.names, self.exported = {}, {}, {}, {}
        self.places = {}
        rows = self.linked() if file.kind != elf.RELOCATABLE else self.relocatable()
        # Of two names of one place the first is taken: __pi_ ones are copies for early boot.
        for section, start, size, symbol, is_global in sorted(rows, key=lambda r: (*r[:2], r[3].startswith("__pi_"), r[3])):
            starts = self.starts.setdefault(section, [])
            codes = self.codes.setdefault(section, [])
            if starts and starts[-1] == start:
                code = codes[-1]
            else:
                code = Code(self, section, start, size, symbol)
                starts.append(start)
                codes.append(code)
            self.names.setdefault(symbol, []).append(code)
            if is_global:
                self.exported[symbol] = code
        self.patches = {}
        self.read_patches()

    def relocatable(self):
        kinds = (elf.FUNC, elf.NOTYPE)
        found = [s for s in self.file.symbols if s.section and s.section.flags & elf.EXECUTED and s.kind in kinds and s.size
                 and not s.name.startswith("__pfx_")]
        names = module.readable([s.name for s in found])
        for s, name in zip(found, names):
            yield s.section.name, s.value, s.size, re.sub(r"\s", "", name), s.is_global

    def linked(self):
        """A linked image has one space of addresses, here the section ""."""
        code = [s for s in self.file.sections if s.name in (".text", ".init.text", ".exit.text")]
        rows = sorted((a, k, n) for a, k, n in kallsyms.symbols(self.bodies[".rodata"]) if not n.startswith(("__pfx_", "_einittext", "_etext")))
        addresses = sorted({a for a, _, _ in rows})
        for a, k, n in rows:
            section = next((s for s in code if s.addr <= a < s.addr + s.size), None)
            if section is None or k not in "tTwW":
                continue
            after = bisect.bisect_right(addresses, a)
            end = min(addresses[after] if after < len(addresses) else a, section.addr + section.size)
            yield "", a, end - a, n, k in "TW"

    def at(self, section, addr):
        starts = self.starts.get(section, [])
        i = bisect.bisect_right(starts, addr) - 1
        if i < 0:
            return None
        code = self.codes[section][i]
        return code if addr < code.start + code.size else None

    def is_aside(self, addr):
        """Where the answer of static_cpu_has() is looked up: code that jumps back to where it came from."""
        aside = self.bodies.get(".altinstr_aux")
        return aside is not None and aside.addr <= addr < aside.addr + aside.size

    def bytes(self, section, start, size):
        if section:
            return self.bodies[section].data[start : start + size]
        for s in self.file.sections:
            if s.kind == elf.PROGBITS and s.addr and s.addr <= start < s.addr + s.size:
                return s.data[start - s.addr : start - s.addr + size]
        raise Refused(f"{self.name}: nothing at {start:#x}")

    def read_patches(self):
        """.altinstructions, as `module.load_patches` has them: by function, (start, length, section, address, bytes)."""
        table = self.bodies.get(".altinstructions")
        for at in range(0, len(table.data) if table else 0, 14):
            old, new = self.reference(table, at), self.reference(table, at + 4)
            length, replaced = struct.unpack_from("<BB", table.data, at + 12)
            code = self.at(*old)
            if code is not None and replaced:
                self.patches.setdefault(code, []).append((old[1], length, *new, self.bytes(*new, replaced)))

    def reference(self, table, at):
        """What four bytes relative to themselves name: (section, address)."""
        if self.file.kind != elf.RELOCATABLE:
            value, = struct.unpack_from("<i", table.data, at)
            return "", table.addr + at + value
        rows = self.within(table.name, at, at + 4)
        if len(rows) != 1:
            raise Refused(f"{self.name}: {table.name} without its relocations")
        _, section, addr = module.target(rows[0][2], rows[0][3])
        return section, addr

    def within(self, section, start, end):
        if section not in self.places:
            self.places[section] = module.Places(self.file, section)
        return self.places[section].within(start, end)


class Kernel:
    """All images together."""

    def __init__(self, images):
        self.images = {i.name: i for i in images}
        self.exported = {}
        # What the image exports comes first, as it does for the module loader.
        for image in images:
            for symbol, code in image.exported.items():
                self.exported.setdefault(symbol, code)

    def named(self, name):
        """Functions by `id`."""
        where, colon, symbol = name.partition(":")
        image = self.images.get(where if colon else "vmlinux")
        if image is None:
            raise Refused(f"{name}: no such module is read")
        symbol = symbol if colon else name
        found = image.names.get(symbol, [])
        found = found or [c for n, codes in image.names.items() if plain(n) == symbol for c in codes]
        if not found:
            raise Refused(f"{name}: the kernel has no such function")
        return found

    def read(self, codes):
        """Reads the instructions of functions that were not read yet."""
        pieces, owners = [], []
        for code in (c for c in codes if c.insns is None):
            pieces.append((code.section, code.start, code.image.bytes(code.section, code.start, code.size)))
            owners.append((code, None))
            for start, size, section, addr, data in code.image.patches.get(code, []):
                pieces.append((section, addr, data))
                owners.append((code, (start, size)))
        for (code, patch), (section, _, _), insns in zip(owners, pieces, decode(pieces)):
            self.link(code.image, section, insns)
            if patch is None:
                code.insns = insns
            else:
                code.patches.append(module.Patch(*patch, insns))

    @staticmethod
    def link(image, section, insns):
        for insn in insns:
            end = insn.addr + insn.size
            rows = image.within(section, insn.addr, end) if section else []
            insn.refs = [module.target(s, a + (end - w if k in elf.PC_RELATIVE else 0)) for w, k, s, a in rows]
            insn.target = None if insn.refs else insn.target

    def goals(self, code, insn):
        """Where a direct call or jump goes to: ("code", function), ("name", symbol) or nothing."""
        if insn.target is not None:
            found = code.image.at(insn.section if insn.section in code.image.starts else code.section, insn.target)
            if found is None and code.image.is_aside(insn.target):
                return []
            return [("code", found)] if found else [("name", f"{insn.target:#x}")]
        out = []
        for name, section, addr in insn.refs:
            if name is None:
                found = code.image.at(section, addr)
                out += [("code", found)] if found else []
            elif name in self.exported:
                out.append(("code", self.exported[name]))
            else:
                out.append(("name", name))
        return out


def load(path, name=None):
    """An image out of a file, which may be packed as modules are."""
    name = name or re.sub(r"\.ko(\.xz)?$", "", os.path.basename(path)).replace("-", "_")
    if path.endswith(".xz"):
        with lzma.open(path) as f:
            return Image(name, elf.Elf(path, io.BytesIO(f.read())))
    return Image(name, elf.Elf(path))
