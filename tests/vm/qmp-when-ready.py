#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: qmp-when-ready.py SOCKET ACK COMMAND: when `ready` stands in the file ACK, gives QEMU's monitor the COMMAND, in JSON."""

import json
import os
import socket
import sys
import time

# How long the guest may take.
SECONDS = 300

path, ack, command = sys.argv[1:]
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
for request in ({"execute": "qmp_capabilities"}, json.loads(command)):
    lines.write(json.dumps(request) + "\n")
    lines.flush()
    answer = {}
    while not {"return", "error"} & answer.keys():  # events come in between
        answer = json.loads(lines.readline())
    if "error" in answer:
        sys.exit(str(answer))
