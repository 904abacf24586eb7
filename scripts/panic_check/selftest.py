# SPDX-License-Identifier: GPL-2.0
"""Objects with a planted fault each: the checker must find it, and must pass what has none."""

import os
import shutil
import subprocess
import sys
import tempfile

from . import loops_selftest

# Made at random, with a seed that stays.
PROGRAMS = 6000

ALLOW = """
# A comment.
_printk              prints a line and never sleeps
rust_helper_atomic*  one atomic instruction
indirect:allowed_one a callback that was looked at
trap:allowed_trap    a trap that was looked at
__ubsan_handle_*     a symbol that was let in as if it were none
__stack_chk_fail     one more of them
trap:__fortify_panic a function that is a trap and was looked at
loop:allowed_loop    a loop that was looked at
loop:allowed_loops#2 two loops that were looked at
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

# A register that is set in two places.
TWO_BRANCHES = "test %eax,%eax; jne 1f; {}; jmp 2f; 1: {}; 2: call __x86_indirect_thunk_r11; ret"
BOTH = TABLE.format("{}") + TABLE.format("{}").replace("table:", "other:")


def alternative(replacement):
    """Something that may be put in the place of `661:`, five bytes long, when the module is loaded."""
    return f"""
.section .altinstr_replacement,"ax"
663: {replacement}
664:
.section .altinstructions,"a"
.long 661b - ., 663b - ., 0
.byte 5, 664b - 663b
"""


FIVE = "661: .byte 0x0f,0x1f,0x44,0x00,0x00"
STATIC_BRANCH = """
.section __jump_table,"aw"
.long 661b - ., 665b - .
.quad 0
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
    ("register set on two branches", functions(
        entry=TWO_BRANCHES.format("mov table+8(%rip),%r11", "mov other+8(%rip),%r11"), bad="call kmalloc; ret", good="ret")
     + BOTH.format("bad", "good"), 1, "kmalloc is not allowed in bad"),
    ("register set on two branches, both good", functions(
        entry=TWO_BRANCHES.format("mov table+8(%rip),%r11", "mov other+8(%rip),%r11"), fine="ret", good="ret")
     + BOTH.format("fine", "good"), 0, "3 functions"),
    ("register set on two branches, one of them unknown", functions(
        entry=TWO_BRANCHES.format("mov 8(%rdi),%r11", "mov table+8(%rip),%r11"), good="ret") + TABLE.format("good"), 1, "indirect call"),
    ("register set on one of two branches", functions(
        entry=TWO_BRANCHES.format("nop", "mov table+8(%rip),%r11"), good="ret") + TABLE.format("good"), 1, "indirect call"),
    ("register that half of is changed", functions(
        entry="mov table+8(%rip),%r11; mov %edi,%r11d; call __x86_indirect_thunk_r11; ret", good="ret") + TABLE.format("good"), 1,
     "indirect call"),
    ("register that is copied", functions(
        entry="mov table+8(%rip),%rbx; call _printk; mov %rbx,%rax; call __x86_indirect_thunk_rax; ret", bad="call kmalloc; ret")
     + TABLE.format("bad"), 1, "kmalloc is not allowed in bad"),
    ("alternative", functions(entry=f"{FIVE}; ret") + alternative("call kmalloc"), 1, "kmalloc is not allowed in entry"),
    ("alternative to a function", functions(entry=f"{FIVE}; ret", a="call kmalloc; ret") + alternative("call a"), 1,
     "kmalloc is not allowed in a; reached: a <- entry"),
    ("alternative of another function", functions(entry="ret", a=f"{FIVE}; ret") + alternative("call kmalloc"), 0, "ok"),
    ("alternative that traps", functions(entry=f"{FIVE}; ret") + alternative("ud2"), 1, "a trap (ud2"),
    ("alternative that loops", functions(entry=f"{FIVE}; ret") + alternative("jmp 661b"), 1, "1 loop(s) whose end is not seen"),
    ("static branch that loops", functions(entry=f"665: nop; {FIVE}; ret") + STATIC_BRANCH, 1, "1 loop(s) whose end is not seen"),
    ("function given away", functions(entry="lea given(%rip),%rdi; call _printk; ret", given="call kfree; ret"), 1, "kfree is not allowed"),
    ("outside function given away", functions(entry="mov $complete,%rdi; call _printk; ret"), 1, "complete is not allowed"),
    ("panicking path", functions(entry=f"test %eax,%eax; jne 1f; ret; 1: call {RUST_PANIC}"), 1, "core::panicking::panic is not allowed"),
    ("formatting", functions(entry=f"call {RUST_FMT}; ret"), 1, "core::fmt::Formatter"),
    ("BUG", functions(entry="test %eax,%eax; jne 1f; ret; 1: ud2"), 1, "a trap (ud2"),
    ("BUG, listed", functions(entry="call allowed_trap; ret", allowed_trap="ud2"), 0, "ok"),
    ("int3 that pads", functions(entry="ret; int3; int3"), 0, "ok"),
    ("int3 that is met", functions(entry="nop; int3; ret"), 1, "a trap (int3"),
    ("waiting loop", functions(entry="1: pause; cmpl $0,(%rdi); jne 1b; ret"), 1, "a wait (pause)"),
    ("int3 that is jumped to", functions(entry="jmp 1f; 1: int3"), 1, "a trap (int3"),
    ("int1", functions(entry=".byte 0xf1; ret"), 1, "a trap (int1"),
    ("ud1", functions(entry="test %eax,%eax; jne 1f; ret; 1: ud1 %eax,%ecx"), 1, "a trap (ud1"),
    ("stack protector, listed as if it were no trap", functions(entry="call __stack_chk_fail; ret"), 1, "__stack_chk_fail is not allowed (a trap)"),
    ("sanitizer, listed as if it were no trap", functions(entry="call __ubsan_handle_out_of_bounds; ret"), 1, "(a trap)"),
    ("function that is a trap, listed", functions(entry="call __fortify_panic; ret"), 0, "ok"),
    ("division", functions(entry="xor %edx,%edx; div %rdi; ret"), 1, "a division that may fault"),
    ("division of too much", functions(entry="mov $10,%ecx; div %rcx; ret"), 1, "a division that may fault"),
    ("signed division", functions(entry="mov $-1,%ecx; cqto; idiv %rcx; ret"), 1, "a division that may fault"),
    ("division by a number", functions(entry="mov $10,%ecx; xor %edx,%edx; div %rcx; ret"), 0, "ok"),
    ("division by a number, or another", functions(
        entry="mov $10,%ecx; test %eax,%eax; je 1f; mov %edi,%ecx; 1: xor %edx,%edx; div %rcx; ret"), 1, "a division that may fault"),
    ("model-specific register", functions(entry="wrmsr; ret"), 1, "the instruction wrmsr"),
    ("floating point", functions(entry="movaps %xmm0,(%rdi); ret"), 1, "the instruction movaps"),
    ("runs on", functions(entry="nop"), 1, "runs on behind its end"),
    ("loop without an end", functions(entry="1: cmpl $0,(%rdi); jne 1b; ret"), 1, "1 loop(s) whose end is not seen"),
    ("loop, listed", functions(entry="call allowed_loop; ret", allowed_loop="1: cmpl $0,(%rdi); jne 1b; ret"), 0, "ok"),
    ("loop, listed, two of them", functions(entry="call allowed_loop; ret",
                                            allowed_loop="1: cmpl $0,(%rdi); jne 1b; 2: cmpl $0,(%rdi); jne 2b; ret"), 1, "2 loop(s)"),
    ("loops, listed", functions(entry="call allowed_loops; ret",
                                allowed_loops="1: cmpl $0,(%rdi); jne 1b; 2: cmpl $0,(%rdi); jne 2b; ret"), 0, "ok"),
    ("loops, listed, of which one has gone", functions(entry="call allowed_loops; ret", allowed_loops="1: cmpl $0,(%rdi); jne 1b; ret"), 0,
     "no function has more than 1"),
    ("loop that counts up", functions(entry="xor %eax,%eax; 1: movb $0,(%rdi,%rax); inc %rax; cmp $64,%rax; jne 1b; ret"), 0, "ok"),
    ("loop that counts up from anywhere", functions(entry="1: inc %rax; cmp $64,%rax; jb 1b; ret"), 0, "ok"),
    ("loop that counts down", functions(entry="mov $32,%ecx; 1: dec %ecx; jne 1b; ret"), 0, "ok"),
    ("loop that counts down from anywhere", functions(entry="1: dec %rdi; jne 1b; ret"), 1, "1 loop(s)"),
    ("loop that counts too far", functions(entry="xor %eax,%eax; 1: inc %rax; cmp $0x7fffffff,%rax; jne 1b; ret"), 1, "1 loop(s)"),
    ("loop that steps over its end", functions(entry="xor %eax,%eax; 1: add $3,%rax; cmp $64,%rax; jne 1b; ret"), 1, "1 loop(s)"),
    ("loop that counts down past nothing", functions(entry="mov $64,%eax; 1: sub $3,%rax; cmp $1,%rax; ja 1b; ret"), 1, "1 loop(s)"),
    ("loop that counts down by threes", functions(entry="mov $64,%eax; 1: sub $3,%rax; cmp $3,%rax; ja 1b; ret"), 0, "ok"),
    ("loop that steps twice, once over its end", functions(
        entry="mov $3,%esi; 1: inc %rsi; cmp $7,%rsi; je 2f; inc %esi; jne 1b; 2: ret"), 1, "1 loop(s)"),
    ("loop that begins behind its end", functions(entry="mov $65,%eax; 1: inc %rax; cmp $64,%rax; jne 1b; ret"), 1, "1 loop(s)"),
    ("loop whose counter is set back", functions(entry="xor %eax,%eax; 1: inc %rax; cmpl $0,(%rdi); je 2f; xor %eax,%eax; 2: cmp $64,%rax; jb 1b; ret"),
     1, "1 loop(s)"),
    ("loop whose counter a call may change", functions(entry="xor %esi,%esi; 1: call _printk; inc %rsi; cmp $64,%rsi; jb 1b; ret"), 1, "1 loop(s)"),
    ("loop that does not always count", functions(entry="xor %eax,%eax; 1: cmpl $0,(%rdi); je 2f; inc %rax; 2: cmp $64,%rax; jb 1b; ret"),
     1, "1 loop(s)"),
    ("loop that does not always ask", functions(entry="xor %eax,%eax; 1: inc %rax; cmpl $0,(%rdi); je 1b; cmp $64,%rax; jb 1b; ret"),
     1, "1 loop(s)"),
    ("loop in a loop", functions(entry="xor %eax,%eax; 1: xor %ecx,%ecx; 2: inc %ecx; cmp $8,%ecx; jne 2b; inc %eax; cmp $8,%eax; jne 1b; ret"), 0, "ok"),
    ("loop without an end in one that has one", functions(
        entry="xor %eax,%eax; 1: cmpl $0,(%rdi); jne 1b; inc %eax; cmp $8,%eax; jne 1b; ret"), 1, "1 loop(s)"),
    ("loop over an array", functions(entry="lea array(%rip),%rax; lea array+64(%rip),%rcx; 1: movq $0,(%rax); add $8,%rax; cmp %rcx,%rax; jne 1b; ret")
     + '\n.section .bss,"aw",@nobits\n.skip 64\narray: .skip 64\n', 0, "ok"),
    ("loop over another's array", functions(entry="lea array(%rip),%rax; 1: movq $0,(%rax); add $8,%rax; cmp %rsi,%rax; jne 1b; ret")
     + '\n.section .bss,"aw",@nobits\narray: .skip 64\n', 1, "1 loop(s)"),
    ("loop of one jump", functions(entry="1: jmp 1b"), 1, "1 loop(s)"),
    ("loop through a tail call", functions(entry="cmpl $0,(%rdi); jne entry; ret"), 1, "1 loop(s)"),
    ("loop through the cold part", functions(entry="1: cmpl $0,(%rdi); jne entry_cold; ret", entry_cold="jmp entry"), 1, "recursion"),
    ("instruction that repeats", functions(entry="rep stosb; ret"), 1, "1 loop(s)"),
    ("instruction that repeats so often", functions(entry="mov $16,%ecx; rep stosb; ret"), 0, "ok"),
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
    ("one to be found", "kmalloc  reason wanted, in entry\n", "without a reason"),
    ("all loops", "loop:*#9 all of them end somehow\n", "allows everything"),
    ("so many loops", "loop:entry#many all of them end somehow\n", "how many loops"),
    ("twice", "a some reason\na other reason\n", "twice"),
]


def run(program):
    if shutil.which("as") is None:
        print("panic-check: self-test needs `as`: install binutils", file=sys.stderr)
        return 2
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, ok, said in [*objects(program, folder), *lists(program, folder), *others(program, folder), *made(folder)]:
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


def made(folder):
    proved, wrong = loops_selftest.run(folder, 20261128, PROGRAMS)
    yield "a loop that is proved ends", not wrong, "\n".join(wrong[:3])
    yield "loops are proved at all", proved > PROGRAMS // 30, f"{proved} of {PROGRAMS}"


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
