# SPDX-License-Identifier: GPL-2.0
"""What one instruction does, and where control goes from it: the graph of a function's instructions."""

import functools
import re

FULL = {}
for letter in "abcd":
    for form in ("r%sx", "e%sx", "%sx", "%sl", "%sh"):
        FULL[form % letter] = f"r{letter}x"
for name in ("si", "di", "bp", "sp"):
    for form in ("r%s", "e%s", "%s", "%sl"):
        FULL[form % name] = f"r{name}"
for number in range(8, 16):
    for form in ("r%d", "r%dd", "r%dw", "r%db"):
        FULL[form % number] = f"r{number}"

# What a function may change, and what it may not (the System V ABI, which the kernel keeps to).
CLOBBERED = {"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"}
EVERYTHING = frozenset(FULL.values())

SUFFIX = r"[bwlq]?"
CONDITION = r"(?:n?[abgl]e?|n?[eczops]|pe|po)"
JUMP = re.compile(rf"^j(?:mp|{CONDITION}|r?cxz|ecxz)q?$|^loopn?[ez]?$")
# Instructions that neither trap nor wait nor touch anything but registers, flags and memory. What is not here is a problem.
READS = re.compile(rf"^(?:cmp|test|bt){SUFFIX}$")
WRITES_LAST = re.compile(
    rf"^(?:mov(?:{SUFFIX}|abs|[sz][bwl][wlq]?|slq)|lea{SUFFIX}|add{SUFFIX}|adc{SUFFIX}|sub{SUFFIX}|sbb{SUFFIX}|and{SUFFIX}|or{SUFFIX}"
    rf"|xor{SUFFIX}|not{SUFFIX}|neg{SUFFIX}|inc{SUFFIX}|dec{SUFFIX}|sh[lr]d?{SUFFIX}|sa[lr]{SUFFIX}|ro[lr]{SUFFIX}|rc[lr]{SUFFIX}|bt[crs]{SUFFIX}"
    rf"|bs[fr]{SUFFIX}|[tl]zcnt{SUFFIX}|popcnt{SUFFIX}|bswap{SUFFIX}|set{CONDITION}|cmov{CONDITION}{SUFFIX}|crc32{SUFFIX}|pop{SUFFIX})$"
)
WRITES_BOTH = re.compile(rf"^(?:xchg|xadd){SUFFIX}$")
NOTHING = re.compile(rf"^(?:nop{SUFFIX}|endbr64|push{SUFFIX}|cld|clc|stc|cmc|[lms]fence|prefetch\w+|pause|ud[012]|int[13]?|hlt|j[a-z]+)$")
IMPLICIT = {
    "cltq": {"rax"}, "cwtl": {"rax"}, "cbtw": {"rax"}, "cltd": {"rdx"}, "cqto": {"rdx"}, "leave": {"rbp", "rsp"}, "leaveq": {"rbp", "rsp"},
    "cpuid": {"rax", "rbx", "rcx", "rdx"}, "rdtsc": {"rax", "rdx"}, "lahf": {"rax"}, "sahf": set(), "pushf": set(), "pushfq": set(),
}
MULTIPLY = re.compile(rf"^i?mul{SUFFIX}$")
DIVIDE = re.compile(rf"^i?div{SUFFIX}$")
COMPARE_AND_SWAP = re.compile(rf"^cmpxchg(?:{SUFFIX}|8b|16b)$")
STRING = re.compile(rf"^(?:movs|stos|lods|cmps|scas){SUFFIX}$")
# The first `ret` is it, `rep ret` and what a return thunk was made from look like others.
RETURN = re.compile(r"^(?:repz )?ret[lq]?$")
ENDS = {"ud0", "ud1", "ud2", "int3", "hlt"}
# Flags after these are as before.
KEEPS_FLAGS = re.compile(
    rf"^(?:mov\w*|lea{SUFFIX}|set\w+|cmov\w+|nop{SUFFIX}|push{SUFFIX}|pop{SUFFIX}|not{SUFFIX}|bswap{SUFFIX}|xchg{SUFFIX}|jmp)$"
)


def operands(args):
    """The operands of an instruction, as they are written (AT&T: the last is the destination)."""
    depth, out, start = 0, [], 0
    for i, c in enumerate(args):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            out.append(args[start:i].strip())
            start = i + 1
    return out + [args[start:].strip()] if args else []


def register(operand):
    """The whole register that an operand is, or None."""
    return FULL.get(operand[1:]) if operand.startswith("%") else None


def is_known(insn):
    """Whether it is one of those that do nothing but compute, store and jump."""
    if insn.op in IMPLICIT or insn.op.startswith("call") or RETURN.match(insn.op):
        return True
    patterns = (READS, WRITES_LAST, WRITES_BOTH, NOTHING, MULTIPLY, DIVIDE, COMPARE_AND_SWAP, STRING)
    # An operand of another kind: a control register, a segment, floating point.
    strange = [o for o in operands(insn.args) if o.startswith("%") and ":" not in o and register(o) is None]
    return not strange and any(p.match(insn.op) for p in patterns)


@functools.lru_cache(maxsize=1 << 16)
def changed(op, args):
    """The registers that an instruction may change."""
    parts = operands(args)
    if op.startswith("call"):
        return frozenset(CLOBBERED)
    if STRING.match(op):
        return frozenset({"rcx", "rsi", "rdi", "rax"})
    if op in IMPLICIT:
        return frozenset(IMPLICIT[op])
    if (MULTIPLY.match(op) and len(parts) == 1) or DIVIDE.match(op):
        return frozenset({"rax", "rdx"})
    if COMPARE_AND_SWAP.match(op):
        return frozenset({"rax", "rbx", "rdx", register(parts[-1])} - {None})
    if WRITES_BOTH.match(op):
        return frozenset({register(p) for p in parts} - {None})
    if WRITES_LAST.match(op) or MULTIPLY.match(op):
        return frozenset({register(parts[-1])} - {None}) | ({"rsp"} if op.startswith("pop") else frozenset())
    if READS.match(op) or NOTHING.match(op) or RETURN.match(op):
        return frozenset()
    return EVERYTHING


class Flow:
    """Instructions by number, and for each its successors and predecessors. What replaces others (alternatives) is among them."""

    def __init__(self, function):
        self.function = function
        self.insns = function.insns + [i for patch in function.patches for i in patch.insns]
        self.changes = [self.changed_by(i) for i in self.insns]
        self.number = {(i.section, i.addr): n for n, i in enumerate(self.insns)}
        self.next = [self.successors(n) for n in range(len(self.insns))]
        for patch in function.patches:
            self.splice(patch)
        for source, target in function.labels:
            a, b = self.at(source), self.at(target)
            if a is not None and b is not None:
                self.next[a].append(b)
        self.before = [[] for _ in self.insns]
        for n, targets in enumerate(self.next):
            for t in targets:
                self.before[t].append(n)
        self.reached = self.reachable()

    @staticmethod
    def changed_by(insn):
        """As `changed`; but ftrace's hook gives back every register as it was."""
        return frozenset() if any(name == "__fentry__" for name, _, _ in insn.refs) else changed(insn.op, insn.args)

    def at(self, addr):
        return self.number.get((self.function.section, addr))

    def successors(self, n):
        insn = self.insns[n]
        targets = []
        if JUMP.match(insn.op):
            target = self.jump(insn)
            if target is not None:
                targets.append(target)
        after = self.number.get((insn.section, insn.addr + insn.size))
        if after is not None and not (insn.op.startswith("jmp") or RETURN.match(insn.op) or insn.op in ENDS):
            targets.append(after)
        return targets

    def jump(self, insn):
        for name, section, offset in insn.refs:
            return self.number.get((section, offset)) if name is None else None
        return self.number.get((insn.section, insn.target))

    def splice(self, patch):
        """Who comes to the instructions that are replaced may come to the replacement, and goes on behind them."""
        first, behind = self.at(patch.start), self.at(patch.start + patch.size)
        if first is None:
            return
        start = self.number[(patch.insns[0].section, patch.insns[0].addr)] if patch.insns else behind
        for targets in self.next:
            if first in targets and start is not None and start not in targets:
                targets.append(start)
        for insn in patch.insns[-1:]:
            if behind is not None and not (insn.op.startswith("jmp") or RETURN.match(insn.op) or insn.op in ENDS):
                self.next[self.number[(insn.section, insn.addr)]].append(behind)

    def reachable(self):
        starts = self.starts = [0] if self.insns else []
        first = [p.insns[0] for p in self.function.patches if p.start == self.function.start and p.insns]
        starts += [self.number[(i.section, i.addr)] for i in first]
        seen, todo = set(starts), list(starts)
        while todo:
            for t in self.next[todo.pop()]:
                if t not in seen:
                    seen.add(t)
                    todo.append(t)
        return seen

    def definitions(self, n, name):
        """The instructions that may have set register `name` as it is before instruction n; None among them: the caller."""
        found, seen, todo = set(), set(), [n]
        while todo:
            at = todo.pop()
            if at in self.starts:
                found.add(None)
            for b in self.before[at]:
                if b in seen or b not in self.reached:
                    continue
                seen.add(b)
                if name in self.changes[b]:
                    found.add(b)
                else:
                    todo.append(b)
        return found
