#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: dump-at-panic.py SOCKET CONSOLE CORE: waits until a guest that halts at a panic has done so (its console's log says
so), writes its memory to CORE as an ELF vmcore, by the QMP socket of its QEMU, and ends it."""

import json
import pathlib
import socket
import sys
import time

TIMEOUT = 300


def connect(path: str, end: float) -> socket.socket:
    """The socket, once QEMU has made it."""
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > end:
                sys.exit(f"dump-at-panic.py: no QEMU at {path}")
            time.sleep(0.2)


def main() -> None:
    path, console, core = sys.argv[1:]
    end = time.monotonic() + TIMEOUT
    stream = connect(path, end).makefile("rw")
    stream.readline()

    def command(name: str, **arguments) -> None:
        stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        stream.flush()
        # Events come in between.
        while not {"return", "error"} & (answer := json.loads(stream.readline())).keys():
            pass
        if "error" in answer:
            sys.exit(f"dump-at-panic.py: {name}: {answer['error']['desc']}")

    command("qmp_capabilities")
    log = pathlib.Path(console)
    while not log.exists() or "end Kernel panic" not in log.read_text(errors="replace"):
        if time.monotonic() > end:
            sys.exit("dump-at-panic.py: the guest did not panic")
        time.sleep(0.2)
    command("dump-guest-memory", paging=False, protocol=f"file:{core}")
    command("quit")


if __name__ == "__main__":
    main()
