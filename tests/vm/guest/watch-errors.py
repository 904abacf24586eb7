#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""watch-errors.py FOLDER SECONDS: waits for one event of FAN_FS_ERROR from FOLDER's filesystem, and prints its errno. It prints
'watching' when it does, and fails if none comes in time."""
import ctypes
import os
import select
import struct
import sys

FAN_CLASS_NOTIF, FAN_REPORT_FID = 0x0, 0x200
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_FS_ERROR = 0x8000
FAN_EVENT_INFO_TYPE_ERROR = 5

libc = ctypes.CDLL(None, use_errno=True)
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
fd = libc.fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, os.O_RDONLY)
if fd < 0:
    sys.exit(f"fanotify_init: {os.strerror(ctypes.get_errno())}")
if libc.fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_FS_ERROR, -100, sys.argv[1].encode()) < 0:
    sys.exit(f"fanotify_mark: {os.strerror(ctypes.get_errno())}")
print("watching", flush=True)
if not select.select([fd], [], [], float(sys.argv[2]))[0]:
    sys.exit("no event")
event = os.read(fd, 4096)
# struct fanotify_event_metadata, then records of type, padding, length.
length, _, _, header, mask = struct.unpack_from("=IBBHQ", event)
assert mask == FAN_FS_ERROR, hex(mask)
at = header
while at < length:
    kind, _, size = struct.unpack_from("=BBH", event, at)
    if kind == FAN_EVENT_INFO_TYPE_ERROR:
        error, count = struct.unpack_from("=iI", event, at + 4)
        print(f"event: {os.strerror(error)} ({error}), {count}")
        sys.exit(0)
    at += size
sys.exit("an event without an error")
