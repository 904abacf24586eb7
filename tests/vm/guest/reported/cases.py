# SPDX-License-Identifier: GPL-2.0
"""What the reported cases share: how they are registered, the volume under them, and system calls that Python has no name for."""

import ctypes
import errno
import fcntl
import os
import pathlib
import struct
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
MNT = pathlib.Path("/mnt/reported")
MKFS = {"ext4": ("mkfs.ext4", "-Fq"), "xfs": ("mkfs.xfs", "-fq"), "permfs": ("mkfs.permfs", "-qf")}
FS_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
CASES = []


class Wrong(Exception):
    """What was seen, where something else was expected."""


def expect(good, seen):
    if not good:
        raise Wrong(seen)


def case(title, lacks=None):
    """Registers a case: a function of the Volume. `lacks` names the feature that PermFS does not have yet and that the case needs:
    it must fail there, and the run is red when it begins to hold, so that the mark goes."""

    def register(function):
        CASES.append((title, function, lacks))
        return function

    return register


class Volume:
    """A fresh filesystem of some kind, mounted on MNT."""

    def __init__(self, kind, device):
        self.kind, self.device = kind, device

    def make(self):
        subprocess.run(("wipefs", "-aq", self.device), check=True)
        subprocess.run((*MKFS[self.kind], self.device), check=True, stdout=subprocess.DEVNULL)
        self.mount()

    def mount(self, options="defaults"):
        subprocess.run(("mount", "-t", self.kind, "-o", options, self.device, MNT), check=True)

    def umount(self):
        os.chdir("/")
        subprocess.run(("umount", MNT), check=True)

    def remount(self):
        """Nothing comes from a cache afterwards."""
        self.umount()
        self.mount()
        os.chdir(MNT)

    def cut(self):
        """From here on nothing more of memory reaches the device. After it the caller closes what it has open, and calls remount."""
        fd = os.open(MNT, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(fd)

    def check(self):
        """Unmounts; whether the filesystem's own checker finds nothing."""
        self.umount()
        words = {"ext4": ("e2fsck", "-fn"), "xfs": ("xfs_repair", "-n"), "permfs": ("fsck.permfs", "-n")}[self.kind]
        told = subprocess.run((*words, self.device), capture_output=True, text=True)
        expect(told.returncode == 0, f"{words[0]} finds: {told.stdout} {told.stderr}")


def syscall(number, *args):
    LIBC.syscall.restype = ctypes.c_long
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if result < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return result


def refused(call, *args):
    """The name of the error that `call` ends with, or None."""
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return None


def put(path, data=b"x", sync=False):
    with open(path, "wb", buffering=0) as f:
        view = memoryview(data)
        while view:
            view = view[f.write(view):]
        if sync:
            os.fsync(f.fileno())


def sync_folder(path="."):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
