#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: vfs-rules.py DEVICE FOLDER: what the VFS leaves to a filesystem, on a fresh volume that is mounted on FOLDER and no longer at the
end. Prints a line for each rule, and ends with 1 if one does not hold."""

import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_FSCONFIG, SYS_FSPICK = 431, 433
FSCONFIG_CMD_RECONFIGURE = 7
AT_FDCWD = -100
DEVICE, FOLDER = sys.argv[1:]
failed = 0


def holds(what, ok):
    global failed
    failed += not ok
    print(("ok: " if ok else "FAIL: ") + what)


def run(*words):
    return subprocess.run(words, check=True)


def opens_at_once(path, flags):
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
        return True
    except OSError as e:
        assert e.errno == errno.EWOULDBLOCK, e
        return False


def leases():
    path = os.path.join(FOLDER, "leased")
    with open(path, "w") as f:
        f.write("x")
    fd = os.open(path, os.O_RDONLY)
    # SIGIO tells the holder of a breaker; it need not end this program.
    fcntl.fcntl(fd, fcntl.F_SETSIG, 0)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        holds(f"a file takes a lease ({errno.errorcode[e.errno]})", False)
        os.close(fd)
        return
    holds("a file takes a lease", fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK)
    holds("a reader does not break it", opens_at_once(path, os.O_RDONLY))
    holds("a writer does", not opens_at_once(path, os.O_WRONLY))
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    holds("and has it when it is given back", opens_at_once(path, os.O_WRONLY))
    os.close(fd)


def writes():
    with open(f"/sys/block/{os.path.basename(DEVICE)}/stat") as f:
        return int(f.read().split()[4])


def reconfigured():
    """fspick() and a reconfiguration that asks for nothing."""
    fs = LIBC.syscall(SYS_FSPICK, AT_FDCWD, FOLDER.encode(), 0)
    assert fs >= 0, os.strerror(ctypes.get_errno())
    result = LIBC.syscall(SYS_FSCONFIG, fs, FSCONFIG_CMD_RECONFIGURE, None, None, 0)
    os.close(fs)
    return result == 0


def is_read_only():
    with open("/proc/mounts") as f:
        words = [line.split() for line in f if line.split()[1] == FOLDER]
    return "ro" in words[-1][3].split(",")


def reconfiguring():
    run("umount", FOLDER)
    run("mount", "-t", "permfs", "-o", "ro", DEVICE, FOLDER)
    before = writes()
    holds("a reconfiguration that asks for nothing works on a read-only mount", reconfigured())
    holds("and leaves it read-only", is_read_only())
    run("umount", FOLDER)
    holds("and nothing is written", writes() == before)
    run("mount", "-t", "permfs", DEVICE, FOLDER)
    holds("it works on a writable mount", reconfigured() and not is_read_only())
    with open(os.path.join(FOLDER, "after"), "w") as f:
        f.write("x")
        os.fsync(f.fileno())
    run("umount", FOLDER)
    holds("and leaves it writable", subprocess.run(["fsck.permfs", "-n", DEVICE]).returncode == 0)


leases()
reconfiguring()
sys.exit(failed > 0)
