#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: load-crash-kernel.py PARAMETERS: loads this machine's own kernel, without an initrd, as its crash kernel.

PARAMETERS are its command line. The kernel must have been started with crashkernel=.
"""

import ctypes
import os
import platform
import sys

KEXEC_FILE_LOAD = 320  # x86-64
KEXEC_FILE_ON_CRASH, KEXEC_FILE_NO_INITRAMFS = 2, 4


def main():
    line = sys.argv[1].encode() + b"\0"
    fd = os.open(f"/boot/vmlinuz-{platform.release()}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS)
    if libc.syscall(KEXEC_FILE_LOAD, fd, -1, ctypes.c_ulong(len(line)), line, flags):
        sys.exit(f"kexec_file_load: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
