# SPDX-License-Identifier: GPL-2.0
"""An ELF file of 64 bits, little-endian: its sections, symbols and relocations."""

import struct

from .refused import Refused

NAMES = {1: "R_X86_64_64", 2: "R_X86_64_PC32", 4: "R_X86_64_PLT32", 11: "R_X86_64_32S", 10: "R_X86_64_32", 24: "R_X86_64_PC64",
         9: "R_X86_64_GOTPCREL", 41: "R_X86_64_GOTPCRELX", 42: "R_X86_64_REX_GOTPCRELX"}
PC_RELATIVE = {"R_X86_64_PC32", "R_X86_64_PLT32", "R_X86_64_PC64", "R_X86_64_GOTPCREL", "R_X86_64_GOTPCRELX", "R_X86_64_REX_GOTPCRELX"}
RELOCATABLE = 1
PROGBITS, SYMTAB, RELA, NOBITS = 1, 2, 4, 8
EXECUTED = 4
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
UNDEFINED, COMMON = 0, 0xfff2


class Section:
    """A section; `addr` is 0 in what has not been linked."""

    def __init__(self, name, row, data):
        self.name, self.data = name, data
        _, self.kind, self.flags, self.addr, self.offset, self.size, self.link, self.info, _, self.entry = row


class Symbol:
    """A symbol; `section` is None if it is another file's."""

    def __init__(self, name, info, section, value, size):
        self.name, self.kind, self.section, self.value, self.size = name, info & 15, section, value, size
        self.is_global = info >> 4 != 0


class Elf:
    """One file. `relocations`: by section's name, rows of (offset, kind, symbol, addend)."""

    def __init__(self, path, file=None):
        try:
            with file or open(path, "rb") as f:
                self.raw = f.read()
        except OSError as e:
            raise Refused(f"{path}: {e.strerror}") from e
        self.path = path
        if self.raw[:6] != b"\x7fELF\x02\x01" or len(self.raw) < 64:
            raise Refused(f"{path} is no x86-64 ELF file")
        self.kind, self.machine = struct.unpack_from("<HH", self.raw, 16)
        if self.machine != 62:
            raise Refused(f"{path} is not for x86-64")
        try:
            self.sections = self.read_sections()
            self.symbols = self.read_symbols()
            self.relocations = self.read_relocations()
        except (struct.error, IndexError, ValueError) as e:
            raise Refused(f"{path} is damaged: {e}") from e

    def text(self, data, at):
        return data[at : data.index(b"\0", at)].decode("utf-8", "replace")

    def read_sections(self):
        start, = struct.unpack_from("<Q", self.raw, 40)
        size, count, names = struct.unpack_from("<HHH", self.raw, 58)
        rows = [struct.unpack_from("<IIQQQQIIQQ", self.raw, start + size * i) for i in range(count)]
        bodies = [b"" if r[1] == NOBITS else self.raw[r[4] : r[4] + r[5]] for r in rows]
        return [Section(self.text(bodies[names], r[0]), r, b) for r, b in zip(rows, bodies)]

    def read_symbols(self):
        symbols = []
        for table in (s for s in self.sections if s.kind == SYMTAB):
            strings = self.sections[table.link].data
            for name, info, _, where, value, size in struct.iter_unpack("<IBBHQQ", table.data):
                section = self.sections[where] if UNDEFINED < where < len(self.sections) else None
                text = section.name if info & 15 == SECTION and section else self.text(strings, name)
                symbols.append(Symbol(text, info, section, value, size))
        return symbols

    def read_relocations(self):
        found = {}
        for table in (s for s in self.sections if s.kind == RELA and not s.name.startswith(".rela.debug")):
            rows = found.setdefault(self.sections[table.info].name, [])
            for offset, info, addend in struct.iter_unpack("<QQq", table.data):
                rows.append((offset, NAMES.get(info & 0xFFFFFFFF, f"R_X86_64 {info & 0xFFFFFFFF}"), self.symbols[info >> 32], addend))
        return found

    def data(self, name):
        """All that is in sections of that name."""
        return b"".join(s.data for s in self.sections if s.name == name)
