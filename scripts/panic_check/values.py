# SPDX-License-Identifier: GPL-2.0
"""What single instructions do with numbers, for `loops`."""

import re

from .flow import FULL, operands, register


def immediate(operand):
    m = re.match(r"^\$(-?)0x([0-9a-f]+)$", operand)
    if not m:
        return None
    value = int(m[2], 16) * (-1 if m[1] else 1)
    return value - (1 << 64) if value >> 63 else value


class Values:
    """The numbers that a counter goes through: of so many bits, with a sign or without; `whole`: all of what is compared."""

    def __init__(self, bits, signed, whole):
        self.bits, self.whole = bits, whole
        self.least = -(1 << (bits - 1)) if signed else 0

    def taken(self, value):
        """A value as it is compared."""
        base, number = value
        if base is None and self.whole:
            number = (number - self.least) % (1 << self.bits) + self.least
        return base, number

    def has(self, value):
        base, number = value
        if base is not None:
            return self.bits == 64
        return self.least <= number < self.least + (1 << self.bits)


def halves(insn, name):
    """Whether the instruction divides a register by a power of two, one or more."""
    parts = operands(insn.args)
    if not re.match(r"^shr[lq]?$", insn.op) or register(parts[-1]) != name or width(parts[-1]) < 32:
        return False
    return len(parts) == 1 or (immediate(parts[0]) or 0) % width(parts[-1]) > 0


def named(insn, offset):
    """The one thing that an instruction names."""
    if len(insn.refs) != 1 or insn.refs[0][0] is not None:
        return None
    _, section, at = insn.refs[0]
    return {(("section", section), at + offset)}


def moved(insn):
    """(register, addition) if the instruction sets a register to another one plus a number."""
    parts = operands(insn.args)
    if len(parts) != 2 or register(parts[1]) is None or width(parts[1]) < 32:
        return None
    if re.match(r"^mov[lq]?$", insn.op) and register(parts[0]) and width(parts[0]) == width(parts[1]):
        return register(parts[0]), 0
    m = re.match(r"^(-?)(?:0x([0-9a-f]+))?\((%\w+)\)$", parts[0])
    if insn.op.startswith("lea") and m and register(m[3]) and m[3] != "%rip" and not insn.refs:
        return register(m[3]), int(m[2] or "0", 16) * (-1 if m[1] else 1)
    return None


def width(operand):
    """Bits of the register that an operand is."""
    name = operand[1:]
    if name not in FULL:
        return 64
    if re.match(r"^r\d+[dwb]$", name):
        return {"d": 32, "w": 16, "b": 8}[name[-1]]
    return 64 if name.startswith("r") else 32 if name.startswith("e") else 8 if name[-1] in "lh" else 16
