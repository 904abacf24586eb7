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
SYS_GETDENTS64, SYS_FSCONFIG, SYS_FSPICK = 217, 431, 433
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


class Handle(ctypes.Structure):
    """struct file_handle"""
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("handle", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(bytes=128), ctypes.c_int()
    if LIBC.name_to_handle_at(AT_FDCWD, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle


def opened_by(handle):
    """What the file holds, or why it cannot be opened."""
    folder = os.open(FOLDER, os.O_RDONLY)
    fd = LIBC.open_by_handle_at(folder, ctypes.byref(handle), os.O_RDONLY)
    os.close(folder)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    with open(fd) as f:
        return f.read()


def handles():
    path = os.path.join(FOLDER, "handled")
    with open(path, "w") as f:
        f.write("kept")
    handle = handle_of(path)
    fd = os.open(path, os.O_RDONLY)
    os.unlink(path)
    holds("a file without a name that is open is opened by its handle", opened_by(handle) == "kept")
    os.close(fd)
    holds("and is gone with the last who had it open", opened_by(handle) == "ESTALE")


def entries(fd):
    """Names and positions behind them, from where the folder's descriptor stands."""
    buffer, found = ctypes.create_string_buffer(1 << 15), []
    while (n := LIBC.syscall(SYS_GETDENTS64, fd, buffer, len(buffer))) > 0:
        at = 0
        while at < n:
            position = int.from_bytes(buffer.raw[at + 8:at + 16], "little", signed=True)
            length = int.from_bytes(buffer.raw[at + 16:at + 18], "little")
            found.append((buffer.raw[at + 19:at + length].split(b"\0")[0], position))
            at += length
    assert n == 0, os.strerror(ctypes.get_errno())
    return found


def positions():
    folder = os.path.join(FOLDER, "folder")
    os.mkdir(folder)
    for n in range(300):
        with open(os.path.join(folder, f"entry {n}"), "w"):
            pass
    fd = os.open(folder, os.O_RDONLY)
    everything, refused, wrong = entries(fd), 0, 0
    for n, (_, position) in enumerate(everything[::7]):
        try:
            os.lseek(fd, position, os.SEEK_SET)
        except OSError:
            refused += 1
            continue
        wrong += entries(fd) != everything[7 * n + 1:]
    holds(f"a folder's positions can be sought ({refused} refused, {wrong} wrong)", not refused and not wrong)
    os.lseek(fd, 0, os.SEEK_END)
    holds("at the end there is nothing", entries(fd) == [])
    os.lseek(fd, 0, os.SEEK_SET)
    holds("and at the start everything", entries(fd) == everything)
    os.close(fd)


def times_of_what_is_renamed():
    """Renaming a folder in its own folder takes no lock of it: its times are set meanwhile, and stay."""
    os.mkdir(os.path.join(FOLDER, "one"))
    fd, lost = os.open(os.path.join(FOLDER, "one"), os.O_RDONLY), 0
    renamer = os.fork()
    if renamer == 0:
        while True:
            os.rename(os.path.join(FOLDER, "one"), os.path.join(FOLDER, "two"))
            os.rename(os.path.join(FOLDER, "two"), os.path.join(FOLDER, "one"))
    for n in range(1, 10001):
        os.utime(fd, ns=(n * 10**9, n * 10**9))
        lost += os.fstat(fd).st_mtime_ns != n * 10**9
    os.kill(renamer, signal.SIGKILL)
    os.waitpid(renamer, 0)
    os.close(fd)
    holds(f"times set while a folder is renamed stay ({lost} of 10000 do not)", not lost)


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
handles()
positions()
times_of_what_is_renamed()
reconfiguring()
sys.exit(failed > 0)
