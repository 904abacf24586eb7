# SPDX-License-Identifier: GPL-2.0
"""The names of a kernel's functions, out of the table that the kernel has of them itself (scripts/kallsyms.c).

A stock image has no symbols of its own, and Debian's System.map is in a package of a gigabyte. The table is found by its tokens: in
what is compressed with them each of the characters 0 to 9 stands for itself.
"""

import struct

from .refused import Refused

DIGITS = b"".join(bytes([c, 0]) for c in b"0123456789")


def symbols(section):
    """(address, type, name) of all symbols; the section has the table in it."""
    data = section.data
    at = -1
    while True:
        at = data.find(DIGITS, at + 1)
        if at < 0:
            raise Refused("no table of symbols in the kernel's image; is CONFIG_KALLSYMS off, or has scripts/kallsyms.c changed?")
        table = before(data, at)
        if table is not None and data[at - 1] == 0:
            found = read(section, data, table)
            if found:
                return found


def before(data, digits):
    """Where the token table begins: 48 tokens before that of the digit 0."""
    at = digits
    for _ in range(ord("0")):
        at = data.rfind(b"\0", 0, at - 1) + 1
        if at <= 0 or digits - at > 4096:
            return None
    return at


def read(section, data, table):
    tokens, at = [], table
    for _ in range(256):
        end = data.index(b"\0", at)
        tokens.append(data[at:end])
        at = end + 1
    index = struct.pack("<256H", *(sum(len(t) + 1 for t in tokens[:n]) for n in range(256)))
    where = data.find(index, at, at + 64 + len(index))
    if where < 0:
        return None
    offsets = (where + len(index) + 3) & ~3
    # Before the tokens come the markers, one of 256 names; before these the names, and how many there are.
    for markers in range((table - 4) & ~3, max(table - (1 << 20), 0), -4):
        if data[markers : markers + 4] == b"\0\0\0\0":
            names = names_before(data, markers, table)
            if names is not None:
                return list(expand(section, names, tokens, offsets))
    return None


def names_before(data, markers, table):
    """(start, count) of the names that end where the markers begin, if these are them."""
    count = (table - markers) // 4
    last, = struct.unpack_from("<I", data, markers + 4 * (count - 1))
    while count > 1 and last == 0:
        count -= 1
        last, = struct.unpack_from("<I", data, markers + 4 * (count - 1))
    for start in range(markers - last - (1 << 14), markers - last, 1):
        if start < 4 or start % 4:
            continue
        number, = struct.unpack_from("<I", data, start - 4)
        if (number + 255) // 256 == count and ends(data, start, number, markers):
            return start, number
    return None


def length(data, at):
    """(length of a name in tokens, where they begin)"""
    n = data[at]
    return (n, at + 1) if n < 0x80 else ((n & 0x7F) | (data[at + 1] << 7), at + 2)


def ends(data, start, number, markers):
    at = start
    for _ in range(number):
        n, begin = length(data, at)
        at = begin + n
        if at > markers:
            return False
    return markers - at < 16


def expand(section, names, tokens, offsets):
    data, (at, number) = section.data, names
    for i in range(number):
        n, begin = length(data, at)
        at = begin + n
        symbol = b"".join(tokens[t] for t in data[begin:at]).decode()
        # From the place of the number itself.
        offset, = struct.unpack_from("<i", data, offsets + 4 * i)
        yield section.addr + offsets + 4 * i + offset, symbol[0], symbol[1:]
