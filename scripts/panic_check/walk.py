# SPDX-License-Identifier: GPL-2.0
"""The walk over the call graph, and what it finds."""

import re

from .module import pretty

THUNK = re.compile(r"^__x86_indirect_(?:thunk|call_thunk|jump_thunk)_(\w+)$|^__x86_indirect_thunk_array$")
RETURN_THUNKS = {"__x86_return_thunk"}
TRAPS = {"ud2", "ud1", "ud0", "int3", "hlt"}
BRANCH = re.compile(r"^(?:j\w+|loop\w*)$")
DIRECT = re.compile(r"^(?:0x)?([0-9a-f]+) <")
# How far back a register's value is looked for, in instructions without a jump between.
LOOK_BACK = 12


class Report:
    """What is reachable, and what is wrong with it."""

    def __init__(self):
        self.reached = {}
        self.external = {}
        self.found = []
        self.frames = {}
        self.calls = {}
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
            yield f"function {self.frames.get(name, 0):5} bytes  {pretty(name)}"
        for name, where in sorted(self.external.items()):
            yield f"external {pretty(name)}  from {pretty(where)}"


class Walk:
    """One walk."""

    def __init__(self, mod, rules):
        self.mod, self.rules = mod, rules
        self.report = Report()
        self.listed = set()

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

    def problem(self, function, what):
        if (function.name, what) not in self.report.found:
            self.report.found.append((function.name, what))

    def visit(self, function):
        """Judges one function and returns those that it leads to."""
        callees = []
        for i, insn in enumerate(function.insns):
            for ref in insn.refs:
                self.follow(function, insn, ref, callees, i)
            self.judge(function, insn, i, callees)
        if not function.insns:
            self.problem(function, "no instructions")
        self.report.frames[function.name] = self.frame(function)
        self.report.calls[function.name] = callees
        return callees

    def follow(self, function, insn, ref, callees, i):
        name, section, offset = ref
        if name is not None:
            thunk = THUNK.match(name)
            if thunk:
                self.indirect(function, i, thunk[1], callees)
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
        if not self.rules.allows(name):
            self.problem(function, f"{pretty(name)} is not allowed")

    def judge(self, function, insn, i, callees):
        op, args = insn.op, insn.args
        if op in TRAPS and not (op == "int3" and self.is_padding(function, i)):
            if not self.rules.allows(function.name, "trap"):
                self.problem(function, f"a trap ({op}: BUG, WARN or unreachable!)")
        if op == "pause" and not self.rules.allows(function.name, "pause"):
            self.problem(function, "a wait (pause)")
        if op in ("sti", "syscall", "int"):
            self.problem(function, f"the instruction {op}")
        if not (op.startswith("call") or BRANCH.match(op)):
            return
        if args.startswith("*"):
            if not self.through_table(insn.refs, callees):
                register = re.match(r"^\*%(\w+)$", args)
                self.indirect(function, i, register[1] if register else None, callees)
            return
        if insn.refs:
            return
        direct = DIRECT.match(args)
        if not direct:
            self.problem(function, f"a jump that was not understood ({op} {args})")
            return
        addr = int(direct[1], 16)
        target = self.mod.at(function.section, addr)
        if target is None:
            self.problem(function, f"a jump to {addr:#x}, where no function is")
        elif target is not function or op.startswith("call"):
            callees.append(target)

    @staticmethod
    def is_padding(function, i):
        """int3 behind the last return or jump fills up, it is not run into."""
        before = [x for x in function.insns[:i] if x.op not in ("int3", "nop", "nopw", "nopl")]
        return bool(before) and before[-1].op.startswith(("ret", "jmp"))

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

    def indirect(self, function, i, register, callees):
        source = self.last_write(function, i, register) if register else None
        if source is not None and source.op.startswith("mov") and self.through_table(source.refs, callees):
            return
        if source is not None and source.op.startswith("lea") and self.names_functions(source.refs):
            # `follow` has taken them where their address was.
            return
        if not self.rules.allows(function.name, "indirect"):
            self.problem(function, "an indirect call or jump that cannot be resolved")
        elif function.name in self.listed:
            # The reason in the list is one call's.
            self.problem(function, "a second indirect call")
        self.listed.add(function.name)

    def names_functions(self, refs):
        return bool(refs) and all(name is None and self.mod.at(s, o) for name, s, o in refs)

    @staticmethod
    def last_write(function, i, register):
        """The instruction that loads `register` with a relocated address, if nothing can come between."""
        for insn in reversed(function.insns[max(0, i - LOOK_BACK) : i]):
            if insn.op.startswith(("call", "j", "ret")):
                return None
            if re.search(rf"%{register}$", insn.args):
                return insn if insn.refs and "(%rip)" in insn.args else None
        return None

    def frame(self, function):
        """Bytes of stack: the return address, what is pushed, what is subtracted."""
        pushed = taken = slack = 0
        for insn in function.insns:
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
