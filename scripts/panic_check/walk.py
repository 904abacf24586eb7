# SPDX-License-Identifier: GPL-2.0
"""The walk over the call graph, and what it finds."""

import re

from .flow import DIVIDE, ENDS, JUMP, RETURN, STRING, Flow, is_known, operands, register
from .loops import Loops
from .module import pretty
from .place import Places

THUNK = re.compile(r"^__x86_indirect_(?:its_)?(?:thunk|call_thunk|jump_thunk)_(\w+)$|^__x86_indirect_thunk_array$")
RETURN_THUNKS = {"__x86_return_thunk"}
TRAPS = {"ud2", "ud1", "ud0", "int3", "int1", "int", "hlt"}
# Functions that are traps: whoever is allowed them must say so of a trap.
TRAP_FUNCTIONS = re.compile(
    r"^(?:__stack_chk_fail|__ubsan_handle_\w+|_*fortify_panic|__cfi_\w+|BUG_func|(?:nmi_)?panic|rust_begin_unwind|_R.*4core9panicking\w+)$"
)


def shorter(rule):
    """A rule's pattern without white space and without what its generics stand for."""
    out, hidden = "", []
    for i, c in enumerate(rule):
        if c == ">" and hidden:
            hidden.pop()
        if not any(hidden):
            out += c
        if c == "<":
            hidden.append(bool(hidden) or rule[:i].endswith("::"))
            if any(hidden) and not any(hidden[:-1]):
                out += "*"
    return re.sub(r"\s", "?", out)


class Report:
    """What is reachable, and what is wrong with it."""

    def __init__(self):
        self.reached = {}
        self.external = {}
        self.found = []
        self.missing = {}
        self.frames = {}
        self.calls = {}
        self.loops = {}
        self.stack = None
        self.deepest = []

    def problems(self):
        return [f"{what} in {pretty(where)}; reached: {self.path(where)}" for where, what in self.found]

    def path(self, name):
        names = []
        while name is not None:
            names.append(pretty(name))
            name = self.reached.get(name)
        return " <- ".join(names)

    def describe(self):
        for name in sorted(self.reached):
            proven, listed = self.loops.get(name, (0, 0))
            loops = f"  {proven} loop(s) proved, {listed} listed" if proven or listed else ""
            yield f"function {self.frames.get(name, 0):5} bytes  {pretty(name)}{loops}"
        for name, where in sorted(self.external.items()):
            yield f"external {pretty(name)}  from {pretty(where)}"


class Walk:
    """One walk."""

    def __init__(self, mod, rules):
        self.mod, self.rules = mod, rules
        self.report = Report()
        self.listed = set()
        self.places = Places(mod.path)

    def run(self, entries):
        todo = []
        for entry in entries:
            self.report.reached[entry.name] = None
            todo.append(entry)
        while todo:
            function = todo.pop()
            for callee in self.visit(function):
                if callee.name not in self.report.reached:
                    self.report.reached[callee.name] = function.name
                    todo.append(callee)
        self.measure(entries)
        return self.report

    def problem(self, function, what, rule=None):
        """`rule`: what would have to be in the list, if a reason for it is found."""
        if (function.name, what) not in self.report.found:
            self.report.found.append((function.name, what))
        if rule:
            self.report.missing.setdefault(shorter(rule), function.name)

    def visit(self, function):
        """Judges one function and returns those that it leads to."""
        callees = []
        flow = Flow(function)
        loops = Loops(flow)
        for n, insn in enumerate(flow.insns):
            for ref in insn.refs:
                self.follow(function, flow, n, ref, callees)
            self.judge(function, flow, loops, n, callees)
        if not function.insns:
            self.problem(function, "no instructions")
        self.turns(function, loops)
        self.report.frames[function.name] = self.frame(function, flow)
        self.report.calls[function.name] = callees
        return callees

    def follow(self, function, flow, n, ref, callees):
        name, section, offset = ref
        if name is not None:
            thunk = THUNK.match(name)
            if thunk:
                self.indirect(function, flow, n, thunk[1], callees)
            elif name not in RETURN_THUNKS:
                self.outside(function, name)
            return
        target = self.mod.at(section, offset)
        if target is not None and target is not function:
            # Also where only the address is taken: somebody may call it.
            callees.append(target)
        elif target is None and section.startswith((".text", ".init.text", ".noinstr")):
            self.problem(function, f"a jump into {section}+{offset:#x}, where no function is")

    def outside(self, function, name):
        self.report.external.setdefault(name, function.name)
        if TRAP_FUNCTIONS.match(name):
            if not self.rules.allows(name, "trap"):
                self.problem(function, f"{pretty(name)} is not allowed (a trap)", f"trap:{pretty(name)}")
        elif not self.rules.allows(name):
            self.problem(function, f"{pretty(name)} is not allowed", pretty(name))

    def judge(self, function, flow, loops, n, callees):
        insn = flow.insns[n]
        op, args = insn.op, insn.args
        if op in TRAPS:
            # int3 behind the last return or jump fills up, it is not run into.
            if n in flow.reached and not self.rules.allows(function.name, "trap"):
                self.problem(function, f"a trap ({op}: BUG, WARN or unreachable!)", f"trap:{pretty(function.name)}")
        elif DIVIDE.match(op):
            if not self.divides(flow, loops, n) and not self.rules.allows(function.name, "trap"):
                self.problem(function, f"a division that may fault ({op} {args})", f"trap:{pretty(function.name)}")
        elif not is_known(insn):
            self.problem(function, f"the instruction {op} {args}".rstrip())
        if op == "pause" and not self.rules.allows(function.name, "pause"):
            self.problem(function, "a wait (pause)", f"pause:{pretty(function.name)}")
        if n in flow.reached and not flow.next[n] and not (JUMP.match(op) or RETURN.match(op) or op in ENDS or op.startswith("call")):
            self.problem(function, f"code that runs on behind its end ({op})")
        if op.startswith("call") or JUMP.match(op):
            self.transfer(function, flow, n, callees)

    def transfer(self, function, flow, n, callees):
        """A call or a jump."""
        insn = flow.insns[n]
        if insn.args.startswith("*"):
            if not self.through_table(insn.refs, callees):
                name = re.match(r"^\*%(\w+)$", insn.args)
                self.indirect(function, flow, n, name[1] if name else None, callees)
        elif insn.refs:
            return
        elif insn.target is None:
            self.problem(function, f"a jump that was not understood ({insn.op} {insn.args})")
        elif (insn.section, insn.target) in flow.number and not insn.op.startswith("call"):
            return
        else:
            target = self.mod.at(insn.section, insn.target)
            if target is None:
                self.problem(function, f"a jump to {insn.target:#x}, where no function is")
            elif target is function and not insn.op.startswith("call"):
                self.problem(function, f"a jump into the middle of an instruction ({insn.target:#x})")
            else:
                callees.append(target)

    @staticmethod
    def divides(flow, loops, n):
        """Whether a division cannot fault: by a constant, with nothing in the upper half of what is divided."""
        insn = flow.insns[n]
        divisor = register(operands(insn.args)[-1])
        if not insn.op.startswith("div") or divisor in (None, "rdx"):
            return False
        by, upper = loops.values(n, divisor, frozenset()), loops.values(n, "rdx", frozenset())
        return bool(by) and upper == {(None, 0)} and all(base is None and value > 0 for base, value in by)

    def turns(self, function, loops):
        """Loops whose bound is not in the machine code are to be listed, as many as there are."""
        self.report.loops[function.name] = (len(loops.proven), len(loops.unproven))
        left = loops.unproven
        allowed = self.rules.turns(function.name, len(left))
        if len(left) > allowed:
            where = "; ".join(self.places.of(function, addr) for addr in left)
            rule = f"loop:{pretty(function.name)}" + (f"#{len(left)}" if len(left) > 1 else "")
            self.problem(function, f"{len(left)} loop(s) whose end is not seen, {allowed} listed ({where})", rule)

    def through_table(self, refs, callees):
        """A call through a constant pointer in this module's data, to a function of this module."""
        targets = []
        for name, section, offset in refs:
            if name is not None or not section.startswith((".rodata", ".data.rel.ro")):
                return False
            for outside, where, at in self.mod.data.get((section, offset), [(None, "", 0)]):
                targets.append(self.mod.at(where, at) if outside is None else None)
        if not targets or None in targets:
            return False
        callees += targets
        return True

    def indirect(self, function, flow, n, name, callees):
        whole = register(f"%{name}") if name else None
        if whole and self.known(flow, n, whole, callees, set()):
            return
        if not self.rules.allows(function.name, "indirect"):
            self.problem(function, "an indirect call or jump that cannot be resolved", f"indirect:{pretty(function.name)}")
        elif function.name in self.listed:
            # The reason in the list is one call's.
            self.problem(function, "a second indirect call")
        self.listed.add(function.name)

    def known(self, flow, n, name, callees, seen):
        """Whether a register holds a function of this module whichever way control came here. `follow` has taken those whose
        address is in the instruction."""
        for d in flow.definitions(n, name):
            if d is None:
                return False
            if (d, name) in seen:
                continue
            seen.add((d, name))
            insn = flow.insns[d]
            parts = operands(insn.args)
            if len(parts) != 2 or register(parts[1]) != name:
                return False
            if insn.op.startswith("mov") and register(parts[0]) and parts[1].startswith("%r"):
                if not self.known(flow, d, register(parts[0]), callees, seen):
                    return False
            elif insn.op in ("mov", "movq", "movabs") and parts[0].startswith("$") or insn.op.startswith("lea"):
                if not self.names_functions(insn.refs):
                    return False
            elif not (insn.op in ("mov", "movq") and "(%rip)" in parts[0] and self.through_table(insn.refs, callees)):
                return False
        return True

    def names_functions(self, refs):
        return bool(refs) and all(name is None and self.mod.at(s, o) for name, s, o in refs)

    def frame(self, function, flow):
        """Bytes of stack: the return address, what is pushed, what is subtracted."""
        pushed = taken = slack = 0
        for insn in flow.insns:
            if insn.op.startswith("push"):
                pushed += 8
            m = re.match(r"^(?:\$(-?0x[0-9a-f]+)|(%\w+)),%rsp$", insn.args)
            if not m or insn.op.startswith(("mov", "cmp", "test")):
                continue
            value = int(m[1], 16) if m[1] else None
            if value is not None and value >= 1 << 63:
                value -= 1 << 64
            if insn.op.startswith("and") and value is not None:
                slack = max(slack, -value - 1)
            elif value is None and insn.op.startswith(("sub", "add")):
                self.problem(function, "a stack frame of unknown size")
            elif insn.op.startswith("sub"):
                taken += max(value, 0)
            elif insn.op.startswith("add"):
                taken += max(-value, 0)
        return 8 + pushed + taken + slack

    def measure(self, entries):
        """The deepest path; recursion has none."""
        depth, path, open_calls = {}, {}, set()

        def descend(name):
            if name in depth:
                return depth[name]
            if name in open_calls:
                self.problem(self.mod.functions[name], "recursion")
                return 0
            open_calls.add(name)
            deepest, way = 0, []
            for callee in self.report.calls[name]:
                below = descend(callee.name)
                if below > deepest:
                    deepest, way = below, path.get(callee.name, [callee.name])
            open_calls.discard(name)
            depth[name] = self.report.frames[name] + deepest
            path[name] = [name] + way
            return depth[name]

        for entry in entries:
            total = descend(entry.name)
            if self.report.stack is None or total > self.report.stack:
                self.report.stack, self.report.deepest = total, path[entry.name]
