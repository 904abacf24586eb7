# SPDX-License-Identifier: GPL-2.0
"""Sets up a cell's device and state, and panics."""

import mmap
import os
import pathlib
import threading
import time

from common import BELOW, FILES, OTHER, PATIENCE, VOLUME, Failed, Runner, fsync, mount, run, wait_for, write_kept

PANIC_AT = pathlib.Path("/sys/kernel/debug/permfs/panic_at")
WRITERS = 64
# A SATA disk takes 32 commands; two are left, for PermFS's own and the panic's.
ATA_WRITERS = 30
WRITE = 4096


class Cell:
    """Sets up a cell's device and state, and panics."""

    def __init__(self, spec: dict, runner: Runner):
        self.spec, self.runner = spec, runner
        self.context, self.device_kind, self.state = spec["context"], spec["device"], spec["state"]
        self.device = spec["disk"]
        # What holds the disk's requests: its name in /sys/block.
        self.disk = os.path.basename(spec["disk"]) if spec["disk"] else "nullb0"
        # What counts the volume's requests: below a loop device there are ext4's, too.
        self.counts = self.disk
        self.writers = ATA_WRITERS if self.device_kind == "ahci" else WRITERS
        self.threads: list[threading.Thread] = []
        self.truth = {"writers": 0}

    def modules(self) -> None:
        run("modprobe", "pvpanic-pci")
        run("insmod", str(FILES / "panicker.ko"))
        if self.spec["end"] == "watchdog":
            run("modprobe", "i6300esb", f"heartbeat={self.spec['heartbeat']}", "nowayout=1")

    def prepare_device(self) -> None:
        kind = self.device_kind
        if kind == "null-blk":
            self.null_blk()
        elif kind == "dm-linear":
            run("modprobe", "dm_mod")
            sectors = run("blockdev", "--getsz", self.device).stdout.strip()
            run("dmsetup", "create", "cell", "--table", f"0 {sectors} linear {self.device} 0")
            self.device = "/dev/mapper/cell"
        elif kind == "loop":
            # It writes and flushes when it is told to, and not after five seconds, which would be while the panic goes on.
            mount(self.device, BELOW, "ext4", "commit=300")
            run("modprobe", "loop")
            self.device = run("losetup", "--direct-io=on", "--find", "--show", str(BELOW / "volume")).stdout.strip()
            self.counts = os.path.basename(self.device)
        else:
            # A scheduler, which disks with one queue have, would make one request of two writes side by side.
            pathlib.Path(f"/sys/block/{self.disk}/queue/nomerges").write_text("2")

    def null_blk(self) -> None:
        """A disk in memory; each request takes as long as the spec says, by a timer."""
        run("modprobe", "null_blk", "nr_devices=0")
        folder = pathlib.Path("/sys/kernel/config/nullb/nullb0")
        folder.mkdir()
        for name, value in {"memory_backed": 1, "size": 128, "blocksize": 4096, "hw_queue_depth": 128, "submit_queues": 1,
                            "queue_mode": 2, "irqmode": 0, "power": 1}.items():
            (folder / name).write_text(str(value))
        self.null_folder = folder
        self.device = "/dev/nullb0"
        wait_for("/dev/nullb0", lambda: os.path.exists(self.device))
        run("mkfs.permfs", "-q", self.device)
        mount(self.device, VOLUME)
        write_kept(VOLUME, self.spec["seed"])
        self.scratch()
        run("umount", str(VOLUME))
        # The data stays in the device's memory while it is off.
        (folder / "power").write_text("0")
        (folder / "irqmode").write_text("2")
        (folder / "completion_nsec").write_text(str(self.spec["null_blk_ns"]))
        (folder / "power").write_text("1")
        wait_for("/dev/nullb0", lambda: os.path.exists(self.device))

    def prepare_volume(self) -> None:
        if self.spec["witness"]:
            mount(self.spec["witness"]["device"], OTHER)
            write_kept(OTHER, self.spec["witness"]["seed"])
        mount(self.device, VOLUME)
        if self.device_kind != "null-blk":
            write_kept(VOLUME, self.spec["seed"])
            if self.state == "inflight" or (self.state == "never" and self.context not in ("mount", "unmount")):
                self.scratch()
        self.truth["mount_log"] = [line for line in run("dmesg").stdout.splitlines() if "permfs" in line]
        if self.context in ("mount", "unload"):
            if self.context == "unload" and self.spec["witness"]:
                run("umount", str(OTHER))
            run("umount", str(VOLUME))

    def scratch(self) -> None:
        """Files for the writers, allocated and durable: an overwrite of them is one request each."""
        (VOLUME / "scratch").mkdir()
        for n in range(WRITERS):
            (VOLUME / "scratch" / str(n)).write_bytes(bytes(WRITE))
        run("sync", "-f", str(VOLUME))

    # --- the device's state

    def prepare_state(self) -> None:
        if self.state == "inflight":
            self.stall()
            self.write_and_wait()
        elif self.state == "never":
            self.stall()
            if self.context == "mount":
                self.start(lambda: run("mount", "-t", "permfs", self.device, str(VOLUME), check=False))
                self.wait_for_blocked(1)
            elif self.context == "unmount":
                self.start(lambda: run("umount", str(VOLUME), check=False))
                self.wait_for_blocked(1)
            else:
                self.write_and_wait()
        elif self.state == "errors":
            self.errors()
        elif self.state == "unplugged":
            self.unplug()

    def stall(self) -> None:
        if self.context == "unmount":
            (VOLUME / "dirty").write_bytes(bytes(WRITE))
        if self.device_kind != "null-blk":
            self.runner.ask(ask="stall")

    def start(self, what) -> None:
        thread = threading.Thread(target=what, daemon=True)
        thread.start()
        self.threads.append(thread)

    def in_flight(self) -> int:
        """Requests of the volume that the disk's queue holds, by the block layer's own count."""
        return sum(int(n) for n in pathlib.Path(f"/sys/block/{self.counts}/inflight").read_text().split())

    def wait_for_blocked(self, at_least: int) -> None:
        """Until the queue holds something, and the same for half a second."""
        last, since = -1, time.monotonic()
        end = time.monotonic() + PATIENCE
        while last < at_least or time.monotonic() - since < 0.5:
            now = self.in_flight()
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() > end:
                raise Failed(f"the queue holds {last} requests, not {at_least}")
            time.sleep(0.02)
        self.truth["in_flight"] = last

    def write_and_wait(self) -> None:
        """Direct writes of a block each, and the moment when all are in the device."""
        fds = [os.open(VOLUME / "scratch" / str(n), os.O_WRONLY | os.O_DIRECT) for n in range(self.writers)]
        buffer = mmap.mmap(-1, WRITE)
        buffer.write(b"w" * WRITE)
        returned = []

        def write(fd: int) -> None:
            try:
                os.pwrite(fd, buffer, 0)
                returned.append(fd)
            except OSError as error:
                returned.append(error)

        if self.device_kind != "null-blk":
            for fd in fds:
                self.start(lambda fd=fd: write(fd))
            self.wait_for_blocked(self.writers)
        else:
            self.write_to_null_blk(fds, write)
        if returned:
            raise Failed(f"{len(returned)} of {self.writers} writes returned though the device is stalled: {returned[:2]}")
        self.truth["writers"] = self.writers

    def write_to_null_blk(self, fds: list[int], write) -> None:
        """All 64 at once: they complete together, a second later, if there is no panic before that."""
        barrier = threading.Barrier(WRITERS + 1)

        def later(fd: int) -> None:
            barrier.wait()
            write(fd)

        for fd in fds:
            self.start(lambda fd=fd: later(fd))
        # Said before it is so: between the submission and the panic there is no time to say it.
        self.truth.update(in_flight=WRITERS, writers=WRITERS)
        self.ready()
        barrier.wait()
        end = time.monotonic() + self.spec["null_blk_ns"] / 2e9
        while self.in_flight() != WRITERS:
            if time.monotonic() > end:
                raise Failed(f"null_blk held {self.in_flight()} requests, not {WRITERS}, in half the time they take")

    def errors(self) -> None:
        """The device fails every write and flush from now on; outside PermFS's own work a write has seen it fail."""
        if self.device_kind == "null-blk":
            # Its bad blocks fail reads too: what a change has to read is in memory before.
            (VOLUME / "read").touch()
            fsync(VOLUME)
            (self.null_folder / "badblocks").write_text(f"+0-{128 * 2048 - 1}")
        elif self.device_kind == "dm-linear":
            sectors = run("blockdev", "--getsz", self.device).stdout.strip()
            run("dmsetup", "suspend", "--nolockfs", "cell")
            run("dmsetup", "load", "cell", "--table", f"0 {sectors} error")
            run("dmsetup", "resume", "cell")
        else:
            self.runner.ask(ask="errors")
        if self.context in ("submit", "commit", "alloc", "rust", "unmount"):
            return
        try:
            with open(VOLUME / "failing", "wb") as out:
                out.write(bytes(WRITE))
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            self.truth["error"] = error.strerror
            return
        raise Failed("fsync says that the data is on a disk that fails every write")

    def unplug(self) -> None:
        sys_disk = pathlib.Path(os.path.realpath(f"/sys/block/{self.disk}"))
        if self.device_kind == "null-blk":
            (self.null_folder / "power").write_text("0")
        elif self.device_kind in ("virtio-scsi", "ahci"):
            (sys_disk / "device/delete").write_text("1")
        else:
            # The PCI function that the disk belongs to is the nearest folder above it that can be removed.
            pci = next(folder for folder in sys_disk.parents if (folder / "remove").exists())
            (pci / "remove").write_text("1")
        wait_for(f"the disk {self.disk} to go", lambda: not os.path.exists(f"/sys/block/{self.disk}"))

    # --- the panic

    def ready(self) -> None:
        """The last moment before the panic: the runner notes what the disk has seen."""
        if "ready" in self.truth:
            return
        self.truth["ready"] = True
        self.truth["vfs"] = [line for line in open("/proc/mounts", encoding="utf-8") if " permfs " in line]
        self.runner.ask(ask="ready", truth=self.truth)

    def feed(self) -> None:
        if self.spec["end"] == "watchdog":
            # Opened, it runs; never fed, it bites.
            self.watchdog = os.open("/dev/watchdog", os.O_WRONLY)

    def panic(self) -> None:
        context = self.context
        if context == "process" or (self.state == "never" and context in ("mount", "unmount")):
            pathlib.Path("/proc/sysrq-trigger").write_text("c")
        elif context in ("softirq", "hardirq", "nmi", "spin"):
            pathlib.Path("/sys/module/panicker/parameters/at").write_text(context)
        else:
            self.panic_inside()
        time.sleep(10)
        raise Failed("the kernel did not panic")

    def panic_inside(self) -> None:
        """At one of PermFS's own points, by doing what leads there."""
        context = self.context
        PANIC_AT.write_text(self.spec["points"][context])
        if context == "commit":
            # No data, whose write would come first, and would have to wait if the device stalls.
            (VOLUME / "new").mkdir()
            fsync(VOLUME)
        elif context in ("submit", "alloc", "rust"):
            with open(VOLUME / "new", "wb") as out:
                out.write(bytes(8 * WRITE))
                out.flush()
                os.fsync(out.fileno())
        elif context == "mount":
            run("mount", "-t", "permfs", self.device, str(VOLUME), check=False)
        elif context == "unmount":
            run("umount", str(VOLUME), check=False)
        elif context == "unload":
            run("rmmod", "permfs", check=False)
        elif context == "nested":
            pathlib.Path("/proc/sysrq-trigger").write_text("c")

    def go(self) -> None:
        self.modules()
        self.prepare_device()
        self.prepare_volume()
        self.prepare_state()
        self.ready()
        self.feed()
        self.panic()
