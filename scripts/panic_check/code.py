# SPDX-License-Identifier: GPL-2.0
"""Machine code as instructions, by objdump."""

import os
import re
import shutil
import subprocess
import tempfile

from .refused import Refused

PREFIXES = {"lock", "repz", "repnz", "notrack", "bnd", "cs", "ds", "es", "ss", "data16", "addr32", "xacquire", "xrelease"}
LINE = re.compile(r"^\s*([0-9a-f]+):\t(.*)$")
NEAR = re.compile(r"#\s+0x([0-9a-f]+)")
TARGET = re.compile(r"^0x([0-9a-f]+)$")
# Between two pieces of code, so that a piece that ends in the middle of an instruction does not spoil the next.
GAP = b"\x90" * 16


class Insn:
    """One instruction. `refs`: what it names, each (external symbol, None, None) or (None, section, offset)."""

    __slots__ = ("section", "addr", "op", "args", "refs", "target", "near", "size", "repeated")

    def __init__(self, section, addr, text):
        self.section, self.addr, self.size = section, addr, 0
        words = re.sub(r"\s*#.*$", "", text).split(None, 1)
        self.repeated = False
        while len(words) == 2 and (words[0] in PREFIXES or words[0].startswith("rex") or words[0] == "rep"):
            self.repeated |= words[0] in ("rep", "repz", "repnz")
            words = words[1].split(None, 1)
        # Prediction hints.
        self.op = words[0].split(",")[0] if words else ""
        self.args = words[1].strip() if len(words) == 2 else ""
        # Where a jump or call goes to, and what is named relative to %rip, unless a relocation says it.
        self.target = self.near = None
        self.refs = []


def objdump(path, *args):
    if shutil.which("objdump") is None:
        raise Refused("objdump is missing: install binutils")
    run = subprocess.run(["objdump", *args, path], capture_output=True, text=True, errors="replace", check=False)
    if run.returncode != 0:
        raise Refused(f"objdump failed: {run.stderr.strip().splitlines()[-1:]}")
    return run.stdout


def decode(pieces):
    """Instructions of each piece, (section, address, bytes)."""
    blob, starts = bytearray(), []
    for _, _, data in pieces:
        starts.append(len(blob))
        blob += data + GAP
    if not pieces:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "code")
        with open(path, "wb") as f:
            f.write(blob)
        out = objdump(path, "-D", "-z", "-w", "--no-show-raw-insn", "-b", "binary", "-m", "i386:x86-64")
    found, piece = [[] for _ in pieces], 0
    for line in out.splitlines():
        m = LINE.match(line)
        if not m:
            continue
        at = int(m[1], 16)
        while piece + 1 < len(pieces) and at >= starts[piece + 1]:
            piece += 1
        section, addr, data = pieces[piece]
        if at - starts[piece] < len(data):
            found[piece].append(instruction(section, m[2], at, addr - starts[piece]))
    for (_, addr, data), insns in zip(pieces, found):
        for insn, after in zip(insns, insns[1:] + [None]):
            insn.size = (after.addr if after else addr + len(data)) - insn.addr
    return found


def instruction(section, text, at, bias):
    insn = Insn(section, at + bias, text)
    near, target = NEAR.search(text), TARGET.match(insn.args)
    mask = (1 << 64) - 1
    if near and "(%rip)" in insn.args:
        insn.near = (int(near[1], 16) + bias) & mask
    if target and (insn.op.startswith(("call", "j", "loop", "xbegin"))):
        insn.target = (int(target[1], 16) + bias) & mask
    return insn
