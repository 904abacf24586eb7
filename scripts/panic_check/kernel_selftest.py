# SPDX-License-Identifier: GPL-2.0
"""A kernel of a few functions with one thing planted each: the walk must find it, and the list must tell the difference."""

import os
import struct
import subprocess
import tempfile

from . import elf, image, kallsyms
from .beyond import Walk
from .listing import Listing
from .refused import Refused
from .selftest import alternative, functions, FIVE

SAID = "root entry  the beginning of it\n"

# name, the kernel's functions, a module's functions, what is said, what is found (without the path)
CASES = [
    ("nothing", functions(entry="call a; ret", a="ret"), None, "", []),
    ("lock", functions(entry="call a; ret", a="jmp _raw_spin_lock_irqsave", _raw_spin_lock_irqsave="ret"), None, "",
     ["lock _raw_spin_lock_irqsave in a <- entry"]),
    ("lock that is tried", functions(entry="call _raw_spin_trylock; ret", _raw_spin_trylock="ret"), None, "", []),
    ("what is behind a lock", functions(entry="call mutex_lock; ret", mutex_lock="call kfree; ret", kfree="ret"), None, "",
     ["sleep mutex_lock in entry"]),
    ("allocation and free", functions(entry="call __kmalloc_noprof; call kfree; ret", __kmalloc_noprof="ret", kfree="ret"), None, "",
     ["alloc __kmalloc_noprof in entry", "free kfree in entry"]),
    ("cold part", functions(**{"entry": "test %eax,%eax; jne a.cold; ret", "a.cold": "call schedule; ret", "schedule": "ret"}), None, "",
     ["sleep schedule in a <- entry"]),
    ("waiting instruction", functions(entry="1: pause; cmpl $0,(%rdi); jne 1b; ret"), None, "", ["spin pause in entry"]),
    ("interrupts", functions(entry="sti; ret"), None, "", ["irqs-on sti in entry"]),
    ("alternative", functions(entry=f"{FIVE}; ret", msleep="ret") + alternative("call msleep"), None, "", ["sleep msleep in entry"]),
    ("call through a pointer", functions(entry="call *8(%rdi); ret"), None, "", ["indirect 1-call(s) in entry"]),
    ("thunk", functions(entry="call __x86_indirect_thunk_rax; ret", __x86_indirect_thunk_rax="ret"), None, "", ["indirect 1-call(s) in entry"]),
    ("call through a pointer that is said to go somewhere", functions(entry="call *8(%rdi); ret", a="call kfree; ret", kfree="ret"), None,
     "to entry a  as was read\n", ["free kfree in a <- entry", "through 1-call(s) in entry"]),
    ("two calls through pointers", functions(entry="call *8(%rdi); call *(%rdi); ret", a="ret"), None,
     "to entry a  as was read\n", ["through 2-call(s) in entry"]),
    ("static call", functions(entry="call __SCT__some; ret", __SCT__some="ret"), None, "", ["indirect __SCT__some in entry"]),
    ("static call that is said to go somewhere", functions(entry="call __SCT__some; ret", __SCT__some="ret", a="call schedule; ret", schedule="ret"),
     None, "to __SCT__some a  as was read\n", ["sleep schedule in a <- entry"]),
    ("cut", functions(entry="call a; ret", a="call kfree; ret", kfree="ret"), None, "cut a  which is cold\n", []),
    ("cut by a pattern", functions(entry="call ab; call b; ret", ab="call kfree; ret", b="call kfree; ret", kfree="ret"), None,
     "cut a*  which is cold\n", ["free kfree in b <- entry"]),
    ("module", functions(entry="call *(%rdi); ret", vfree="ret"), functions(done="call vfree; ret"),
     "module mod\nto entry mod:done  as was read\n", ["free vfree in mod:done <- entry", "through 1-call(s) in entry"]),
    ("module that calls back", functions(entry="call *(%rdi); ret", helper="call kfree; ret", kfree="ret"), functions(done="jmp helper"),
     "module mod\nto entry mod:done  as was read\n", ["free kfree in helper <- mod:done <- entry", "through 1-call(s) in entry"]),
    ("what nobody has", functions(entry="call *(%rdi); ret"), functions(done="call elsewhere; ret"),
     "module mod\nto entry mod:done  as was read\n", ["outside elsewhere in mod:done <- entry", "through 1-call(s) in entry"]),
]

# name, the list, what is complained about; of a kernel that frees in `a`
KERNEL = functions(entry="call a; ret", a="call kfree; ret", kfree="ret")
LINE = "free kfree in a: because  <- entry\n"
LISTS = [
    ("as it is", SAID + "why because  it is so\n" + LINE, []),
    ("another path", SAID + "why because  it is so\n" + LINE.replace("<- entry", "<- b <- entry"), []),
    ("a new line", SAID, ["new: free kfree in a: ?  <- entry"]),
    ("a line that is gone", SAID + "why because  it is so\n" + LINE + "lock mutex in a: because\n", ["gone: lock mutex in a"]),
    ("no argument yet", SAID + LINE.replace("because", "?"), ["without an argument: free kfree in a"]),
    ("an argument that is not there", SAID + LINE, ["without an argument: free kfree in a"]),
    ("an argument of nothing", SAID + "why because  it is so\nwhy other  it is so\n" + LINE, ["an argument of nothing: other"]),
    ("a cut of nothing", SAID + "why because  it is so\ncut b  which is cold\n" + LINE, ["a cut that nothing comes to: b"]),
    ("a call of nothing", SAID + "why because  it is so\nto b a  as was read\n" + LINE, ["an indirect call that nothing comes to: b"]),
]
REFUSED = [
    ("a cut without a reason", SAID + "cut a\n", "without a reason"),
    ("a cut with one word for a reason", SAID + "cut a cold\n", "without a reason"),
    ("everything cut", SAID + "cut *  it is all well\n", "cuts everything"),
    ("a line twice", SAID + LINE + LINE, "there twice"),
    ("a root twice", SAID + SAID, "is there twice"),
    ("a word that is not known", "stop here  and do not go on\n", "what is `stop`?"),
    ("a root that the kernel lacks", "root absent  the beginning of it\n", "the kernel has no such function"),
]


def assemble(folder, name, source):
    path = os.path.join(folder, name + ".ko")
    subprocess.run(["as", "--64", "-o", path], input=source.replace("%function\n", "%function\n") + "\n", text=True, check=True)
    return path


def visible(source):
    """Exports every function: who calls it from another file finds it."""
    names = {line.split(",")[0].split()[1] for line in source.splitlines() if line.startswith(".type")}
    return source + "".join(f"\n.globl {n}" for n in names) + "\n"


def walk(folder, kernel, mod, said):
    path = os.path.join(folder, "list")
    with open(path, "w", encoding="utf-8") as f:
        f.write(said)
    rules = Listing(path)
    images = [image.load(assemble(folder, "vmlinux", visible(kernel)), "vmlinux")]
    if mod:
        images.append(image.load(assemble(folder, "mod", visible(mod)), "mod"))
    return rules, Walk(image.Kernel(images), rules).run()


def found(folder):
    for name, kernel, mod, said, expected in CASES:
        _, result = walk(folder, kernel, mod, SAID + said)
        got = [f"{kind} {what} in {' <- '.join([where, *path])}" for (kind, what, where), path in sorted(result.found.items())]
        yield name, got == expected, f"{got}, not {expected}"


def lists(folder):
    for name, said, expected in LISTS:
        rules, result = walk(folder, KERNEL, None, said)
        got = list(rules.problems(result))
        yield f"list: {name}", len(got) == len(expected) and all(e in g for e, g in zip(expected, got)), f"{got}, not {expected}"
    for name, said, expected in REFUSED:
        try:
            walk(folder, KERNEL, None, said)
            said = "it was taken"
        except Refused as e:
            said = str(e)
        yield f"list: {name}", expected in said, said
    rules, result = walk(folder, KERNEL, None, SAID + "why because  it is so\n" + LINE + "lock mutex in a: because\n")
    rules.update(result)
    got = list(Listing(rules.path).problems(result))
    yield "list: an update keeps arguments", got == [], str(got)


def table(names):
    """kallsyms' tables of (address, name with its type before it), as scripts/kallsyms.c writes them, for a section at 0x1000."""
    tokens = [bytes([n]) if 32 < n < 127 else b"" for n in range(256)]
    # One that stands for more than itself.
    tokens[1] = b"virt"
    body = [bytes([1]) + n[5:].encode() if n.startswith("Tvirt") else n.encode() for _, n in names]
    body = [b"T" + b if b[:1] == b"\x01" else b for b in body]
    out = bytearray(b"\xff" * 12 + struct.pack("<I", len(names)))
    start, markers = len(out), []
    for i, b in enumerate(body):
        if i % 256 == 0:
            markers.append(len(out) - start)
        out += bytes([len(b)]) + b
    out += b"\0" * (-len(out) % 4)
    out += b"".join(struct.pack("<I", m) for m in markers)
    index, at = [], 0
    for token in tokens:
        index.append(at)
        at += len(token) + 1
    out += b"".join(t + b"\0" for t in tokens) + b"\0" * (-at % 4)
    out += struct.pack("<256H", *index)
    for i, (address, _) in enumerate(names):
        out += struct.pack("<i", address - (0x1000 + len(out)))
    return bytes(out)


def symbols():
    names = [(0x100 + 16 * n, f"Tvirt_{n}") for n in range(600)] + [(0x4000, "tlocal")]
    section = elf.Section(".rodata", (0, 1, 0, 0x1000, 0, 0, 0, 0, 0, 0), b"\0" * 8 + table(names))
    section.addr -= 8
    got = list(kallsyms.symbols(section))
    expected = [(a, n[0], n[1:]) for a, n in names]
    yield "the kernel's own table of symbols", got == expected, f"{got[:3]}... {len(got)}"
    section.data = b"\0" * 4096
    try:
        kallsyms.symbols(section)
        yield "no table of symbols", False, "it was taken"
    except Refused as e:
        yield "no table of symbols", "no table of symbols" in str(e), str(e)


def run():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, ok, said in [*found(folder), *lists(folder), *symbols()]:
            passed, failed = passed + ok, failed + (not ok)
            if not ok:
                print(f"FAIL {name}: {said}")
    print(f"panic-kernel: self-test: {passed} passed, {failed} failed")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1
