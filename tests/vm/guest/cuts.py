# SPDX-License-Identifier: GPL-2.0
"""What a power cut leaves, by dm-log-writes: a judge that knows no filesystem.

The logged device has a cache, and FUA of its own; its log has a write when that is durable, and not before. So the writes in front of a
mark are what a cut at that moment leaves, if the disk loses everything that it may lose.
"""

import os
import pathlib
import struct
import subprocess

KINDS = ("ext4", "xfs", "permfs")
MKFS = {"ext4": ("mkfs.ext4", "-Fq"), "xfs": ("mkfs.xfs", "-fq"), "permfs": ("mkfs.permfs", "-qf")}
MNT = pathlib.Path("/mnt/acknowledged")
failures = 0


def run(*args):
    subprocess.run(args, check=True)


def verdict(good, text):
    global failures
    print("ok:" if good else "FAIL:", text, flush=True)
    failures += not good


def status():
    return 1 if failures else 0


def make(kind, device, options="defaults"):
    run("wipefs", "-aq", device)
    run(*MKFS[kind], device)
    MNT.mkdir(exist_ok=True)
    run("mount", "-t", kind, "-o", options, device, MNT)


class Log:
    """A log of dm-log-writes (drivers/md/dm-log-writes.c)."""

    SUPER, ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
    DISCARD, MARK = 4, 8

    def __init__(self, path):
        self.file = open(path, "rb")
        self.unit = self.SUPER.unpack(self.file.read(self.SUPER.size))[3]

    def replay(self, image):
        """Puts on `image` what is durable, and stops at each mark to give its name."""
        count = self.SUPER.unpack(os.pread(self.file.fileno(), self.SUPER.size, 0))[2]
        at = self.unit
        for _ in range(count):
            sector, sectors, flags, length = self.ENTRY.unpack(os.pread(self.file.fileno(), self.ENTRY.size, at))
            if flags & self.MARK:
                yield os.pread(self.file.fileno(), length, at + self.ENTRY.size).decode().rstrip("\0")
            at += self.unit
            if sectors and not flags & self.DISCARD:
                size = sectors * self.unit
                os.pwrite(image, os.pread(self.file.fileno(), size, at), sector * self.unit)
                at += size


def cut(kind, disk, log, prepare, cases, options="defaults", finish=lambda: None):
    """Each of `cases` is a name, what is done, and the question that a cut at its end must not change the answer to."""
    run("modprobe", "-a", "dm-log-writes", "loop")
    size = int(subprocess.check_output(("blockdev", "--getsz", f"/dev/{disk}")))
    run("blkdiscard", "-z", f"/dev/{log}")
    run("dmsetup", "create", "logged", "--table", f"0 {size} log-writes /dev/{disk} /dev/{log}")
    make(kind, "/dev/mapper/logged", options)
    prepare()
    for name, step, _ in cases:
        step()
        run("dmsetup", "message", "logged", "0", f"mark {name.replace(' ', '_')}")
    finish()
    run("umount", MNT)
    run("dmsetup", "remove", "logged")
    found = judge(kind, size, f"/dev/{log}", {name.replace(" ", "_"): check for name, _, check in cases}, options)
    verdict(found == len(cases), f"{kind}: {found} of {len(cases)} acknowledgements were marked")


def judge(kind, size, log, checks, options):
    found = 0
    image = pathlib.Path("/tmp/cut.img")
    with open(image, "w+b") as file:
        file.truncate(size * 512)
        for mark in Log(log).replay(file.fileno()):
            if mark not in checks:
                continue  # dm-log-writes makes one of its own at the end.
            # Mounting changes it.
            run("cp", "--sparse=always", image, "/tmp/tried.img")
            run("mount", "-t", kind, "-o", "loop", "/tmp/tried.img", MNT)
            found += 1
            try:
                good = checks[mark]()
            except OSError as e:
                good, mark = False, f"{mark}: {e}"
            verdict(good, f"{kind} ({options}): after a cut at its acknowledgement: {mark}")
            run("umount", MNT)
    return found
