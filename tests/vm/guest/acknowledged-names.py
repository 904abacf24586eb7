#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: acknowledged-names.py DISK LOG: mounted with dirsync or sync, names are durable when the call returns, and with sync data and
attributes too. ext4 and XFS go through the same steps, but for an attribute that ext4 leaves to the next commit.
"""

import os
import sys

import cuts
from cuts import KINDS, MNT

DATA = b"written" * 1000


def prepare():
    for name in ("kept", "gone", "old", "moved", "target", "cut", "mode"):
        (MNT / name).write_bytes(DATA)
    for name in ("dir", "empty"):
        (MNT / name).mkdir()
    os.sync()


def names():
    yield "create", lambda: os.close(os.open(MNT / "created", os.O_CREAT | os.O_WRONLY)), lambda: (MNT / "created").exists()
    yield "mkdir", lambda: (MNT / "made").mkdir(), lambda: (MNT / "made").is_dir()
    yield "mkfifo", lambda: os.mkfifo(MNT / "fifo"), lambda: (MNT / "fifo").is_fifo()
    yield "link", lambda: os.link(MNT / "kept", MNT / "linked"), lambda: (MNT / "linked").read_bytes() == DATA
    yield "symlink", lambda: os.symlink("kept", MNT / "symlink"), lambda: os.readlink(MNT / "symlink") == "kept"
    yield "unlink", lambda: (MNT / "gone").unlink(), lambda: not (MNT / "gone").exists()
    yield "rmdir", lambda: (MNT / "empty").rmdir(), lambda: not (MNT / "empty").exists()
    yield "rename", lambda: os.rename(MNT / "old", MNT / "new"), lambda: (MNT / "new").exists() and not (MNT / "old").exists()
    yield "rename to another folder", lambda: os.rename(MNT / "moved", MNT / "dir/moved"), lambda: (
        MNT / "dir/moved").exists() and not (MNT / "moved").exists()


def contents(kind):
    file = MNT / "data"
    yield "write", lambda: file.write_bytes(DATA), lambda: file.read_bytes() == DATA
    yield "truncate", lambda: os.truncate(MNT / "cut", 100), lambda: (MNT / "cut").read_bytes() == DATA[:100]
    if kind != "ext4":
        yield "chmod", lambda: (MNT / "mode").chmod(0o600), lambda: (MNT / "mode").stat().st_mode & 0o777 == 0o600


def main():
    disk, log = sys.argv[1:]
    for kind in KINDS:
        cuts.cut(kind, disk, log, prepare, list(names()), "dirsync")
        cuts.cut(kind, disk, log, prepare, [*names(), *contents(kind)], "sync")
    return cuts.status()


sys.exit(main())
