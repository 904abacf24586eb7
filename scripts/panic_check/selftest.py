# SPDX-License-Identifier: GPL-2.0
"""Objects with a planted fault each: the checker must find it, and must pass what has none."""

import os
import shutil
import subprocess
import sys
import tempfile

ALLOW = """
# A comment.
_printk              prints a line and never sleeps
rust_helper_atomic*  one atomic instruction
indirect:allowed_one a callback that was looked at
trap:allowed_trap    a trap that was looked at
"""


def functions(**bodies):
    """Assembly of functions, each in the section of its name's prefix."""
    out = []
    for name, body in bodies.items():
        section = ".text.unlikely" if name.endswith("_cold") else ".text"
        lines = "\n".join("\t" + line.strip() for line in body.strip().split(";"))
        out.append(f".section {section},\"ax\"\n.type {name},@function\n{name}:\n{lines}\n.size {name},.-{name}\n")
    return "\n".join(out)


TABLE = """
.section .data.rel.ro,"aw"
table: .quad 0
       .quad {}
"""

RUST_PANIC = "_RNvNtCs1234567890a_4core9panicking5panic"
RUST_FMT = "_RNvMs_NtCs1234567890a_4core3fmtNtB4_9Formatter9write_str"

# name, assembly, exit status, what must be said
CASES = [
    ("clean", functions(entry="push %rbx; sub $32,%rsp; call helper; call _printk; add $32,%rsp; pop %rbx; ret",
                        helper="call rust_helper_atomic64_read; ret"), 0, "ok: 1 entries, 2 functions, 2 external symbols, 56 bytes"),
    ("planted kmalloc", functions(entry="call kmalloc; ret"), 1, "kmalloc is not allowed"),
    ("kmalloc far down", functions(entry="call a; ret", a="call b; ret", b="jmp c", c="call __kmalloc_noprof; ret"), 1,
     "__kmalloc_noprof is not allowed in c; reached: c <- b <- a <- entry"),
    ("tail jump out", functions(entry="jmp mutex_lock"), 1, "mutex_lock is not allowed"),
    ("conditional jump out", functions(entry="test %eax,%eax; jne schedule; ret"), 1, "schedule is not allowed"),
    ("cold part", functions(entry="test %eax,%eax; jne entry_cold; ret", entry_cold="call msleep; ret"), 1, "msleep is not allowed"),
    ("indirect call", functions(entry="call *%rax; ret"), 1, "indirect call"),
    ("indirect jump", functions(entry="notrack jmp *8(%rax,%rbx,8)"), 1, "indirect call"),
    ("retpoline", functions(entry="call __x86_indirect_thunk_rax; ret"), 1, "indirect call"),
    ("indirect tail retpoline", functions(entry="jmp __x86_indirect_thunk_r11"), 1, "indirect call"),
    ("indirect, listed", functions(entry="call allowed_one; ret", allowed_one="call *%rax; ret"), 0, "ok"),
    ("indirect, listed, two of them", functions(entry="call allowed_one; ret", allowed_one="call *%rax; call *%rdx; ret"), 1,
     "a second indirect call"),
    ("indirect, listed, called twice", functions(entry="call allowed_one; call a; ret", a="jmp allowed_one",
                                                 allowed_one="call *%rax; ret"), 0, "ok"),
    ("vtable to a clean function", functions(entry="call *table+8(%rip); ret", good="ret") + TABLE.format("good"), 0, "2 functions"),
    ("vtable to kmalloc", functions(entry="call *table+8(%rip); ret", bad="call kmalloc; ret") + TABLE.format("bad"), 1,
     "kmalloc is not allowed in bad"),
    ("vtable outside", functions(entry="call *table+8(%rip); ret") + TABLE.format("vfree"), 1, "indirect call"),
    ("vtable through a register", functions(entry="mov table+8(%rip),%r11; call __x86_indirect_thunk_r11; ret",
                                            bad="call kmalloc; ret") + TABLE.format("bad"), 1, "kmalloc is not allowed in bad"),
    ("table that can change", functions(entry="call *table+8(%rip); ret", good="ret")
     + TABLE.format("good").replace(".data.rel.ro", ".data"), 1, "indirect call"),
    ("function given away", functions(entry="lea given(%rip),%rdi; call _printk; ret", given="call kfree; ret"), 1, "kfree is not allowed"),
    ("outside function given away", functions(entry="mov $complete,%rdi; call _printk; ret"), 1, "complete is not allowed"),
    ("panicking path", functions(entry=f"test %eax,%eax; jne 1f; ret; 1: call {RUST_PANIC}"), 1, "core::panicking::panic is not allowed"),
    ("formatting", functions(entry=f"call {RUST_FMT}; ret"), 1, "core::fmt::Formatter"),
    ("BUG", functions(entry="test %eax,%eax; jne 1f; ret; 1: ud2"), 1, "a trap (ud2"),
    ("BUG, listed", functions(entry="call allowed_trap; ret", allowed_trap="ud2"), 0, "ok"),
    ("int3 that pads", functions(entry="ret; int3; int3"), 0, "ok"),
    ("int3 that is met", functions(entry="nop; int3; ret"), 1, "a trap (int3"),
    ("waiting loop", functions(entry="1: pause; cmpl $0,(%rdi); jne 1b; ret"), 1, "a wait (pause)"),
    ("interrupts on", functions(entry="sti; ret"), 1, "the instruction sti"),
    ("recursion", functions(entry="call a; ret", a="call b; ret", b="call a; ret"), 1, "recursion"),
    ("self-recursion", functions(entry="call entry; ret"), 1, "recursion"),
    ("large frame", functions(entry="sub $3000,%rsp; call _printk; add $3000,%rsp; ret"), 1, "bytes of stack, more than 2048"),
    ("deep frames", functions(entry="sub $1000,%rsp; call a; add $1000,%rsp; ret",
                              a="add $-128,%rsp; sub $1000,%rsp; ret"), 1, "2144 bytes of stack, more than 2048: entry -> a"),
    ("frame of unknown size", functions(entry="sub %rax,%rsp; ret"), 1, "frame of unknown size"),
    ("no entry", functions(other="ret"), 2, "is a panic notifier"),
    ("no function", ".data\n.long 0\n", 2, "has no functions"),
]

LISTS = [
    ("no reason", "kmalloc\n", "without a reason"),
    ("one word for a reason", "kmalloc fine\n", "without a reason"),
    ("everything", "* all is well here\n", "allows everything"),
    ("twice", "a some reason\na other reason\n", "twice"),
]


def run(program):
    if shutil.which("as") is None:
        print("panic-check: self-test needs `as`: install binutils", file=sys.stderr)
        return 2
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, ok, said in list(objects(program, folder)) + list(lists(program, folder)) + list(others(program, folder)):
            passed, failed = passed + ok, failed + (not ok)
            if not ok:
                print(f"FAIL {name}:\n{said}")
    print(f"panic-check: self-test: {passed} passed, {failed} failed")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def assemble(folder, source):
    path = os.path.join(folder, "test.o")
    subprocess.run(["as", "--64", "-o", path], input=source + "\n", text=True, check=True)
    return path


def verdict(program, *args):
    run_ = subprocess.run([sys.executable, program, *args], capture_output=True, text=True, check=False)
    return run_.returncode, run_.stdout + run_.stderr


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def objects(program, folder):
    allow = write(folder, "allow", ALLOW)
    for name, source, status, expected in CASES:
        path = assemble(folder, source)
        got, said = verdict(program, "--entry", "^entry$", "--allow", allow, path)
        yield name, got == status and expected in said, f"exit {got}, not {status}; {expected!r} expected in:\n{said}"


def lists(program, folder):
    path = assemble(folder, functions(entry="ret"))
    for name, text, expected in LISTS:
        allow = write(folder, "allow", text)
        got, said = verdict(program, "--entry", "^entry$", "--allow", allow, path)
        yield f"allow-list: {name}", got == 2 and expected in said, f"exit {got}:\n{said}"


def others(program, folder):
    """The module's own pattern, stripped and foreign files, PANIC=n."""
    allow = write(folder, "allow", ALLOW)
    handler = "_RNvMs_NtCs9_5crash5panicINtB4_12RegistrationNtNtCs8_6permfs5panic7HandlerE4callBT_"
    others = {
        "die notifier": handler.replace("5crash5panicINtB4_12Registration", "5crash3dieINtB4_15DieRegistration"),
        "kmsg dumper": handler.replace("5panicINtB4_12Registration", "4kmsgINtB4_6Dumper"),
        "pstore's write": handler.replace("5panicINtB4", "6pstoreINtB4").replace("4call", "5write"),
    }
    path = assemble(folder, functions(**{handler: "call kmalloc; ret"}))
    got, said = verdict(program, "--allow", allow, path)
    yield "the notifier is found by its name", got == 1 and "kmalloc" in said, said
    lane = "_RNvNtNtCs9_5crash4lane8at_panic6submit"
    path = assemble(folder, functions(**{handler: "ret", lane: "call kmalloc; ret"}))
    got, said = verdict(program, "--allow", allow, path)
    yield "the lane is walked without being called", got == 1 and "kmalloc" in said, said
    path = assemble(folder, functions(**{lane: "ret"}))
    got, said = verdict(program, "--allow", allow, path)
    yield "the lane is no notifier", got == 2 and "is a panic notifier" in said, said
    got, said = verdict(program, "--absent", path)
    yield "the lane is no handler", got == 0, said
    both = assemble(folder, functions(**{handler: "call kmalloc; ret"}))
    got, said = verdict(program, "--absent", both)
    yield "a handler is noticed", got == 1 and "still in" in said, said
    for name, symbol in others.items():
        path = assemble(folder, functions(**{handler: "ret", symbol: "call vmalloc; ret"}))
        got, said = verdict(program, "--allow", allow, path)
        yield f"the {name} is found by its name", got == 1 and "vmalloc" in said and "2 entries" in said, said
        path = assemble(folder, functions(**{symbol: "ret"}))
        got, said = verdict(program, "--allow", allow, path)
        yield f"the {name} alone is not enough", got == 2 and "is a panic notifier" in said, said
        got, said = verdict(program, "--absent", path)
        yield f"the {name} is noticed", got == 1 and "still in" in said, said
    read = others["pstore's write"].replace("5write", "4read")
    path = assemble(folder, functions(**{handler: "ret", read: "call vmalloc; ret"}))
    got, said = verdict(program, "--allow", allow, path)
    yield "pstore's read is no entry", got == 0 and "1 entries" in said, said
    path = assemble(folder, functions(other="ret"))
    got, said = verdict(program, "--absent", path)
    yield "no handler is no fault", got == 0, said
    path = assemble(folder, '.section .rodata\n.ascii "permfs-panic: v=1 rec="\n' + functions(other="ret"))
    got, said = verdict(program, "--absent", path)
    yield "text of lines is noticed", got == 1, said
    got, said = verdict(program, "--allow", allow, write(folder, "text", "no ELF file\n"))
    yield "a foreign file is refused", got == 2, said
    got, said = verdict(program, "--allow", allow, os.path.join(folder, "absent.ko"))
    yield "a file that is not there is refused", got == 2, said
