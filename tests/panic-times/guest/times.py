#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's side of scripts/panic-times: gets disks plugged in, mounts them, looks at what the panic before left, panics.

It waits for its orders before any disk is there, so that the machine's state can be saved at that point, and a later panic
can begin with it instead of a boot.
"""

import json
import mmap
import os
import pathlib
import select
import shutil
import sys
import time

from common import Failed, Runner, fsync, lost, mount, run, wait_for, write_kept

WRITERS = 4
WRITE = 256 << 10
FILE = 4 << 20
# What the writers get to be under way, seconds.
LOAD_SECONDS = 0.3


def orders(runner: Runner) -> dict:
    """Asks for orders until they come: where the machine's state was saved and is used again, who was asked first
    is no more."""
    port = runner.file.fileno()
    while True:
        runner.tell(ask="orders")
        if select.select([port], [], [], 0.2)[0]:
            answer = os.read(port, 1 << 16)
            while answer and not answer.endswith(b"\n"):
                answer += os.read(port, 1 << 16)
            if answer:
                return json.loads(answer)
            time.sleep(0.05)


def disk_with(serial: str) -> str | None:
    """Name of the disk that has this serial number."""
    for disk in pathlib.Path("/sys/block").iterdir():
        for file in ("serial", "device/serial", "device/vpd_pg80"):
            try:
                if serial.encode() in (disk / file).read_bytes():
                    return disk.name
            except OSError:
                pass
    return None


class Volume:
    """A volume of one class of devices."""

    def __init__(self, spec: dict):
        self.spec, self.name = spec, spec["name"]
        self.folder = pathlib.Path("/mnt") / self.name
        self.disk: str | None = None

    def plug(self, runner: Runner) -> None:
        """Has the disk plugged in, under the driver's parameters that make it one of its class."""
        run("modprobe", "-a", *self.spec["modules"])
        for name, value in self.spec["parameters"].items():
            pathlib.Path("/sys/module", name).write_text(str(value))
        runner.ask(ask="plug", name=self.name)
        wait_for(f"the disk {self.name}", self.is_there)

    def is_there(self) -> bool:
        """Whether the disk is there as a whole."""
        self.disk = disk_with(self.name)
        return os.path.exists(f"/dev/{self.disk}") and os.path.exists(f"/sys/block/{self.disk}/queue/scheduler")

    def use(self) -> dict:
        """Mounts the volume, compares the files of the panic before, and writes those of this one."""
        mount(f"/dev/{self.disk}", self.folder)
        before = self.spec["before"]
        seen = {"disk": self.disk, "lost": lost(self.folder, before) if before else []}
        if self.spec["now"]:
            shutil.rmtree(self.folder / "kept", ignore_errors=True)
            write_kept(self.folder, self.spec["now"])
            self.make_scratch()
        return seen

    def make_scratch(self) -> None:
        """Files for the writers, allocated and durable: an overwrite of them changes no metadata that is journaled."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        for n in range(WRITERS):
            if not (scratch / str(n)).exists() or (scratch / str(n)).stat().st_size != FILE:
                (scratch / str(n)).write_bytes(bytes(FILE))
                fsync(scratch / str(n))
        fsync(scratch)

    def start_writers(self) -> None:
        for n in range(WRITERS):
            if os.fork() == 0:
                self.write_for_ever(n)

    def write_for_ever(self, n: int) -> None:
        fd = os.open(self.folder / "scratch" / str(n), os.O_WRONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, WRITE)
        buffer.write(bytes([n]) * WRITE)
        at = 0
        while True:
            os.pwrite(fd, buffer, at)
            at = (at + WRITE) % FILE


def go(runner: Runner) -> None:
    run("modprobe", "pvpanic-pci")
    spec = orders(runner)
    # A machine that begins with a saved state has that state's clock.
    time.clock_settime(time.CLOCK_REALTIME, spec["time"])
    volumes = [Volume(v) for v in spec["volumes"]]
    for volume in volumes:
        volume.plug(runner)
    seen = {volume.name: volume.use() for volume in volumes}
    if not spec["panic"]:
        for volume in volumes:
            run("umount", str(volume.folder))
        runner.ask(ask="done", volumes=seen)
        return
    if spec["load"]:
        for volume in volumes:
            volume.start_writers()
        time.sleep(LOAD_SECONDS)
    runner.ask(ask="ready", volumes=seen)
    pathlib.Path("/proc/sysrq-trigger").write_text("c")
    time.sleep(60)


def main() -> int:
    runner = Runner()
    try:
        go(runner)
    except (Failed, OSError) as error:
        runner.ask(ask="failed", reason=f"{type(error).__name__}: {error}", log=run("dmesg").stdout[-4000:])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
