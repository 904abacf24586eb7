#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""shut-down.py FOLDER HOW: FS_IOC_SHUTDOWN on the volume of FOLDER: 0 writes everything before, 1 the log, 2 nothing."""
import fcntl
import os
import struct
import sys

FS_IOC_SHUTDOWN = 0x8004587D
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), FS_IOC_SHUTDOWN, struct.pack("I", int(sys.argv[2])))
