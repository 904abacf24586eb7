#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: acknowledged-nfs.py DISK LOG: what the kernel's NFS server answers for a change of names is durable. The three filesystems are
exported in turn, and asked by NFSv4.0 calls (RFC 7530) that need neither a client nor a state.
"""

import os
import pathlib
import socket
import struct
import sys
import time

import cuts
from cuts import KINDS, MNT, run

NFS, VERSION, COMPOUND = 100003, 4, 1
CREATE, LINK, LOOKUP, PUTROOTFH, REMOVE, RENAME, SAVEFH = 6, 11, 15, 24, 28, 29, 32
DIRECTORY = 2
GRACE = 10013  # The server has just started.
NEVER = 2**31 - 1
# No root squash, any port, fsid=0, no subtree check (include/uapi/linux/nfsd/export.h).
EXPORT_FLAGS = 0x2 | 0x400 | 0x2000


def opaque(data):
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def op(number, *names, more=b""):
    return struct.pack(">I", number) + b"".join(opaque(name.encode()) for name in names) + more


class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", 2049))
        self.xid = 0

    def receive(self, length):
        data = b""
        while len(data) < length:
            part = self.socket.recv(length - len(data))
            if not part:
                raise OSError("the server has closed the connection")
            data += part
        return data

    def call(self, *ops):
        """A compound that begins in the root of what is exported; an error of any part is an OSError."""
        while (status := self.compound(*ops)) == GRACE:
            time.sleep(0.5)
        if status:
            raise OSError(f"NFS error {status}")

    def compound(self, *ops):
        self.xid += 1
        ops = (op(PUTROOTFH), *ops)
        credential = struct.pack(">I", 0) + opaque(b"test") + struct.pack(">III", 0, 0, 0)
        body = struct.pack(">IIIIII", self.xid, 0, 2, NFS, VERSION, COMPOUND)
        body += struct.pack(">I", 1) + opaque(credential) + struct.pack(">II", 0, 0)
        body += opaque(b"") + struct.pack(">II", 0, len(ops)) + b"".join(ops)
        self.socket.sendall(struct.pack(">I", 0x80000000 | len(body)) + body)
        reply = self.receive(struct.unpack(">I", self.receive(4))[0] & 0x7FFFFFFF)
        _, _, stat, _, _, accept, status = struct.unpack(">IIIIIII", reply[:28])
        if (stat, accept) != (0, 0):
            raise OSError(f"RPC error {stat} {accept}")
        return status


def write(path, text):
    pathlib.Path(path).write_text(text)


def export():
    for name in ("gone", "old", "kept"):
        (MNT / name).write_bytes(b"x" * 1000)
    os.sync()
    write("/proc/net/rpc/auth.unix.ip/channel", f"nfsd 127.0.0.1 {NEVER} here\n")
    write("/proc/net/rpc/nfsd.export/channel", f"here {MNT} {NEVER} {EXPORT_FLAGS} 65534 65534 0\n")
    write("/proc/net/rpc/nfsd.fh/channel", f"here 1 \\x00000000 {NEVER} {MNT}\n")
    global client
    client = Client()


def withdraw():
    client.socket.close()
    for cache in ("auth.unix.ip", "nfsd.export", "nfsd.fh"):
        write(f"/proc/net/rpc/{cache}/flush", f"{NEVER}\n")


def cases():
    made = op(CREATE, more=struct.pack(">I", DIRECTORY) + opaque(b"made") + struct.pack(">II", 0, 0))
    yield "NFS mkdir", lambda: client.call(made), lambda: (MNT / "made").is_dir()
    yield "NFS remove", lambda: client.call(op(REMOVE, "gone")), lambda: not (MNT / "gone").exists()
    rename = (op(SAVEFH), op(RENAME, "old", "new"))
    yield "NFS rename", lambda: client.call(*rename), lambda: (MNT / "new").exists() and not (MNT / "old").exists()
    link = (op(LOOKUP, "kept"), op(SAVEFH), op(PUTROOTFH), op(LINK, "linked"))
    yield "NFS link", lambda: client.call(*link), lambda: (MNT / "linked").exists()


def main():
    disk, log = sys.argv[1:]
    run("ip", "link", "set", "lo", "up")
    run("modprobe", "nfsd")
    if not os.path.exists("/proc/fs/nfsd/threads"):
        run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
    # Without rpcbind there is no version 3.
    write("/proc/fs/nfsd/versions", "-3 +4 +4.0\n")
    for name in ("lease", "grace"):
        write(f"/proc/fs/nfsd/nfsv4{name}time", "10\n")  # Seconds, the least that there is.
    write("/proc/fs/nfsd/portlist", "tcp 2049\n")
    write("/proc/fs/nfsd/threads", "1\n")
    for kind in KINDS:
        cuts.cut(kind, disk, log, export, list(cases()), finish=withdraw)
    write("/proc/fs/nfsd/threads", "0\n")
    return cuts.status()


sys.exit(main())
