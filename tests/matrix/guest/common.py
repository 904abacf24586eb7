# SPDX-License-Identifier: GPL-2.0
"""What the parts of the guest's side share: the port to the runner, commands, and the files that must be kept."""

import glob
import hashlib
import json
import os
import pathlib
import subprocess
import time

FILES = pathlib.Path("/run/permfs/files")
# Where volumes are mounted: the cell's, another one, and the filesystem below a loop device.
VOLUME = pathlib.Path("/mnt/volume")
OTHER = pathlib.Path("/mnt/other")
BELOW = pathlib.Path("/mnt/below")
# Sizes of the files that are fsynced before anything happens: inline, a block and a bit, several extents' worth.
KEPT = (100, 5000, 65536, 300000)
# How long anything in the set-up may take.
PATIENCE = 60


class Failed(Exception):
    """The cell cannot be set up, or not checked; the message is its reason."""


class Runner:
    """The port to the runner on the host."""

    def __init__(self):
        for port in glob.glob("/sys/class/virtio-ports/*"):
            if pathlib.Path(port, "name").read_text().strip() == "permfs.matrix":
                self.file = open(f"/dev/{os.path.basename(port)}", "r+b", buffering=0)
                return
        raise Failed("the runner's port is not there")

    def tell(self, **message) -> None:
        self.file.write(json.dumps(message).encode() + b"\n")

    def ask(self, **message) -> dict:
        self.tell(**message)
        answer = b""
        while not answer.endswith(b"\n"):
            more = self.file.read(4096)
            if not more:
                raise Failed("the runner has gone")
            answer += more
        return json.loads(answer)


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done


def wait_for(what: str, condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what} did not come about in {PATIENCE} s")
        time.sleep(0.02)


def mount(device: str, folder: pathlib.Path, kind: str = "permfs", options: str = "rw") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", kind, "-o", options, device, str(folder))


def kept(seed: str, size: int) -> bytes:
    """Contents of a kept file, the same whoever asks."""
    block = hashlib.sha256(f"{seed} {size}".encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def fsync(path: pathlib.Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_kept(folder: pathlib.Path, seed: str) -> None:
    (folder / "kept").mkdir()
    for size in KEPT:
        with open(folder / "kept" / str(size), "wb") as out:
            out.write(kept(seed, size))
            out.flush()
            os.fsync(out.fileno())
    fsync(folder / "kept")
    fsync(folder)


def lost(folder: pathlib.Path, seed: str) -> list[str]:
    """What is wrong with the kept files."""
    wrong = []
    for size in KEPT:
        try:
            if (folder / "kept" / str(size)).read_bytes() != kept(seed, size):
                wrong.append(f"kept/{size} has other contents")
        except OSError as error:
            wrong.append(f"kept/{size}: {error.strerror}")
    return wrong
