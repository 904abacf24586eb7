#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: qmp-when-ready.py SOCKET ACK COMMAND...: when `ready` stands in the file ACK, gives QEMU's monitor each COMMAND, in
JSON; stall:DRIVE is one that has this drive, which is in use, complete nothing any more, and release:DRIVE ends that.
await:EVENT waits for what QEMU tells."""

import json
import os
import socket
import sys
import time

# How long the guest may take.
SECONDS = 300


def request(command: str) -> dict:
    """Stalled is a byte a second: the next read uses up an hour, and all after it wait."""
    word, _, drive = command.partition(":")
    if word not in ("stall", "release"):
        return json.loads(command)
    rates = {key: 0 for key in ("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}
    return {"execute": "block_set_io_throttle", "arguments": {"device": drive, "bps": int(word == "stall"), **rates}}


path, ack, *commands = sys.argv[1:]
end = time.monotonic() + SECONDS
while True:
    if os.path.exists(ack):
        with open(ack, "rb") as f:
            if b"ready" in f.read():
                break
    if time.monotonic() > end:
        sys.exit("the guest was never ready")
    time.sleep(0.2)
qmp = socket.socket(socket.AF_UNIX)
qmp.connect(path)
lines = qmp.makefile("rw")
lines.readline()
for command in ('{"execute": "qmp_capabilities"}', *commands):
    if command.startswith("await:"):
        while json.loads(lines.readline()).get("event") != command.removeprefix("await:"):
            pass
        continue
    lines.write(json.dumps(request(command)) + "\n")
    lines.flush()
    answer = {}
    while not {"return", "error"} & answer.keys():  # events come in between
        answer = json.loads(lines.readline())
    if "error" in answer:
        sys.exit(str(answer))
