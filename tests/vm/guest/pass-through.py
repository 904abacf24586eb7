#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: pass-through.py: has commands in flight that are no file's: a read by SG_IO on /dev/sda, one written to /dev/sg0, reads by
ioctl and by another task on /dev/nvme0n1. Returns once all are with their devices, which complete nothing, with the tasks that wait left behind."""

import ctypes
import fcntl
import os
import pathlib
import sys
import time

SG_IO, NVME_IOCTL_IO_CMD = 0x2285, 0xC0484E43
SG_DXFER_FROM_DEV, NO_TIMEOUT_MS = -3, 600000
READ_10 = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0])
BYTES = 4096


class SgHeader(ctypes.Structure):
    """struct sg_io_hdr"""
    _fields_ = [("interface_id", ctypes.c_int), ("direction", ctypes.c_int), ("cmd_len", ctypes.c_ubyte), ("sense_len", ctypes.c_ubyte),
                ("iovecs", ctypes.c_ushort), ("bytes", ctypes.c_uint), ("data", ctypes.c_void_p), ("cmd", ctypes.c_void_p),
                ("sense", ctypes.c_void_p), ("timeout_ms", ctypes.c_uint), ("flags", ctypes.c_uint), ("pack_id", ctypes.c_int),
                ("user", ctypes.c_void_p), ("results", ctypes.c_ubyte * 8), ("residue", ctypes.c_int), ("duration", ctypes.c_uint),
                ("info", ctypes.c_uint)]


class NvmeCommand(ctypes.Structure):
    """struct nvme_passthru_cmd"""
    _fields_ = [("opcode", ctypes.c_ubyte), ("flags", ctypes.c_ubyte), ("reserved", ctypes.c_ushort), ("nsid", ctypes.c_uint),
                ("cdw2", ctypes.c_uint), ("cdw3", ctypes.c_uint), ("metadata", ctypes.c_uint64), ("addr", ctypes.c_uint64),
                ("metadata_len", ctypes.c_uint), ("data_len", ctypes.c_uint), ("cdw10", ctypes.c_uint), ("cdw11", ctypes.c_uint),
                ("cdw12", ctypes.c_uint), ("cdw13", ctypes.c_uint), ("cdw14", ctypes.c_uint), ("cdw15", ctypes.c_uint),
                ("timeout_ms", ctypes.c_uint), ("result", ctypes.c_uint)]


def sg_header() -> SgHeader:
    keep = ctypes.create_string_buffer(BYTES), ctypes.create_string_buffer(READ_10, len(READ_10)), ctypes.create_string_buffer(32)
    header = SgHeader(interface_id=ord("S"), direction=SG_DXFER_FROM_DEV, cmd_len=len(READ_10), sense_len=32, bytes=BYTES,
                      data=ctypes.addressof(keep[0]), cmd=ctypes.addressof(keep[1]), sense=ctypes.addressof(keep[2]),
                      timeout_ms=NO_TIMEOUT_MS)
    header.keep = keep
    return header


def sg_io() -> None:
    fcntl.ioctl(os.open("/dev/sda", os.O_RDONLY), SG_IO, sg_header())


def sg_write() -> None:
    sg = os.open("/dev/sg0", os.O_RDWR)
    os.write(sg, bytes(sg_header()))
    os.read(sg, ctypes.sizeof(SgHeader))


def nvme() -> None:
    data = ctypes.create_string_buffer(BYTES)
    command = NvmeCommand(opcode=2, nsid=1, addr=ctypes.addressof(data), data_len=BYTES, cdw12=BYTES // 512 - 1,
                          timeout_ms=NO_TIMEOUT_MS)
    fcntl.ioctl(os.open("/dev/nvme0n1", os.O_RDONLY), NVME_IOCTL_IO_CMD, command)


def with_device(disk: str) -> int:
    """Requests that the driver of the disk has."""
    busy = pathlib.Path(f"/sys/kernel/debug/block/{disk}").glob("hctx*/busy")
    return sum(file.read_text().count("state=in_flight") for file in busy)


def main() -> None:
    for waits in (sg_io, sg_write, nvme, nvme):
        if os.fork() == 0:
            waits()
            sys.exit("a command that was to be held has completed")
    for _ in range(600):
        if with_device("sda") == 2 and with_device("nvme0n1") == 2:
            # No exit: the kernel would wait for the commands of whoever has them.
            return
        time.sleep(0.1)
    sys.exit(f"in flight: {with_device('sda')} of sda, {with_device('nvme0n1')} of nvme0n1")


if __name__ == "__main__":
    main()
