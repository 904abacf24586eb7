#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: vfs-rules-32-bit.py FOLDER: what a program of 32 bits sees of a folder. Its system calls are made through int 0x80, which for
the kernel is what makes a caller one of 32 bits. Prints a line for each rule, and ends with 1 if one does not hold."""

import ctypes
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
# Numbers of the 32-bit table.
LSEEK, GETDENTS, GETDENTS64 = 19, 141, 220
PROT_ALL, MAP_PRIVATE_ANONYMOUS, MAP_32BIT = 7, 0x22, 0x40
NAMES, ROOM = 3000, 1 << 13
failed = 0


def low_memory(size):
    """Memory that 32 bits can point at."""
    at = LIBC.mmap(None, ctypes.c_size_t(size), PROT_ALL, MAP_PRIVATE_ANONYMOUS | MAP_32BIT, -1, ctypes.c_long(0))
    assert at and at < 1 << 31, "no memory below 2 GiB"
    return at


# push rbx; mov eax,edi; mov ebx,esi; mov r9d,ecx; mov ecx,edx; mov edx,r9d; int 0x80; pop rbx; ret
CODE = bytes.fromhex("53 89f8 89f3 4189c9 89d1 4489ca cd80 5b c3")
code, buffer = low_memory(4096), low_memory(ROOM)
ctypes.memmove(code, CODE, len(CODE))
call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 4)(code)


def holds(what, ok):
    global failed
    failed += not ok
    print(("ok: " if ok else "FAIL: ") + what)


def entries(fd, number, room=ROOM):
    """Names and positions behind them, from where the folder's descriptor stands; or an errno."""
    found = []
    while (n := call(number, fd, buffer, room)) > 0:
        raw, at = ctypes.string_at(buffer, n), 0
        while at < n:
            if number == GETDENTS:
                position, name = int.from_bytes(raw[at + 4:at + 8], "little", signed=True), at + 10
                length = int.from_bytes(raw[at + 8:at + 10], "little")
            else:
                position, name = int.from_bytes(raw[at + 8:at + 16], "little", signed=True), at + 19
                length = int.from_bytes(raw[at + 16:at + 18], "little")
            found.append((raw[name:at + length].split(b"\0")[0], position))
            at += length
    return found if n == 0 else -n


folder = os.path.join(sys.argv[1], "of 32 bits")
os.mkdir(folder)
for n in range(NAMES):
    with open(os.path.join(folder, f"entry {n}"), "w"):
        pass
expected = sorted([b".", b".."] + [b"entry %d" % n for n in range(NAMES)])
fd = os.open(folder, os.O_RDONLY)
for number, name in (GETDENTS64, "getdents64"), (GETDENTS, "getdents"):
    os.lseek(fd, 0, os.SEEK_SET)
    everything = entries(fd, number)
    if isinstance(everything, int):
        holds(f"{name} lists the folder ({os.strerror(everything)})", False)
        continue
    holds(f"{name} lists every name once", sorted(n for n, _ in everything) == expected)
    high = [p for _, p in everything if not 0 <= p < 1 << 31]
    holds(f"with positions that 31 bits can hold ({len(high)} do not)", not high)
    holds("which grow", all(a[1] <= b[1] for a, b in zip(everything, everything[1:])))
    refused = wrong = 0
    for n in range(0, len(everything), 97):
        position = everything[n][1]
        if call(LSEEK, fd, position & 0xffffffff, os.SEEK_SET) != position:
            refused += 1
            continue
        wrong += entries(fd, number) != everything[n + 1:]
    holds(f"that can be sought ({refused} refused, {wrong} wrong)", not refused and not wrong)
    os.lseek(fd, 0, os.SEEK_SET)
    small = entries(fd, number, 64)
    holds("and with little room they are the same", small == everything)
os.lseek(fd, 0, os.SEEK_SET)
holds("a program of 64 bits lists them too", sorted(os.fsencode(n) for n in os.listdir(fd)) == expected[2:])
os.close(fd)
sys.exit(failed > 0)
