# SPDX-License-Identifier: GPL-2.0
"""One cell: its images, what its boot is given, what was seen of it, and what the next boot found."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import uuid

import logwrites
import witness
from machine import REPO, Event, Machine
from space import Cell

VOLUME_SIZE = 128 << 20
LOOP_DISK_SIZE = 192 << 20
# The watchdog's time, seconds: longer than the panic path may take. CPUs that do not answer are waited for, by a count that
# takes several seconds under emulation, before the path begins.
HEARTBEAT = 6
HEARTBEAT_SPIN = 20
# A request to null_blk takes so long.
NULL_BLK_NS = 500_000_000
# How long a boot may take until its cell is set up, and then until the machine has come to its end.
SETUP_SECONDS = 150
PANIC_SECONDS = 45
# What QEMU tells when the machine has come to its end. It is paused then, not gone: its disk is still to be asked.
ENDS = ("SHUTDOWN", "WATCHDOG")
PANIC_TIMEOUT = {"watchdog": 0, "once": 1, "now": -1}


@dataclasses.dataclass(frozen=True)
class Device:
    """How a kind of device is made: bus and properties of QEMU's disk, the kernel's parameters, names in the guest."""

    bus: str
    path: str
    volume: str
    props: tuple[str, ...] = ()
    append: tuple[str, ...] = ()

    @property
    def drive(self) -> str:
        return {"--disk": "virtio0", "--nvme": "nvme0", "--scsi": "scsi0", "--sata": "sata0"}[self.bus]


KINDS = {
    "virtio-poll": Device("--disk", "/dev/vda", "vda", ("num-queues=3",), ("virtio_blk.poll_queues=1",)),
    "virtio-shared": Device("--disk", "/dev/vda", "vda", ("num-queues=1",)),
    "nvme-poll": Device("--nvme", "/dev/nvme0n1", "nvme0n1", (), ("nvme.poll_queues=1",)),
    "nvme-default": Device("--nvme", "/dev/nvme0n1", "nvme0n1"),
    "virtio-scsi": Device("--scsi", "/dev/sda", "sda"),
    "ahci": Device("--sata", "/dev/sda", "sda"),
    # The disk beside null_blk, which keeps nothing, holds a second volume: the witness.
    "null-blk": Device("--disk", "/dev/vda", "nullb0"),
    "dm-linear": Device("--disk", "/dev/vda", "dm-0"),
    "loop": Device("--disk", "/dev/vda", "loop0"),
}


@dataclasses.dataclass
class Disk:
    """What the disk had seen at a moment: bytes of its log and of its trace; flushes that were done and that failed, by QEMU's
    own count (none: its NVMe controller does not count them)."""

    log_bytes: int
    trace_bytes: int
    flushes: int | None
    failed: int | None


@dataclasses.dataclass
class Seen:
    """Everything that is known of a cell when it is judged."""

    cell: Cell
    folder: pathlib.Path
    outcome: str = "not run"
    failed: str | None = None
    features: dict = dataclasses.field(default_factory=dict)
    truth: dict = dataclasses.field(default_factory=dict)
    at_ready: Disk | None = None
    at_end: Disk | None = None
    events: list[Event] = dataclasses.field(default_factory=list)
    console: str = ""
    record: dict | None = None
    log: list[logwrites.Entry] = dataclasses.field(default_factory=list)
    mark: int = 0
    requests: list[witness.Request] = dataclasses.field(default_factory=list)
    layout: dict | None = None
    area: dict | None = None
    volume: dict | None = None
    pstore: dict | None = None
    next_log: list[str] = dataclasses.field(default_factory=list)
    fsck: str | None = None
    seconds: float = 0.0

    @property
    def kind(self) -> Device:
        return KINDS[self.cell.device]

    @property
    def image(self) -> pathlib.Path:
        """The disk as the next boot gets it."""
        return self.folder / "after.img"


def tool(name: str, *arguments, check: bool = False) -> subprocess.CompletedProcess:
    """A program of build/bin on the host."""
    return subprocess.run([REPO / "build/bin" / name, *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=check)


def heartbeat(cell: Cell) -> int:
    return HEARTBEAT_SPIN if cell.context == "spin" else HEARTBEAT


def sparse_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def make_image(cell: Cell, folder: pathlib.Path, templates: pathlib.Path) -> None:
    """before.img, which stays as it is, and disk.img, its copy, which the cell uses."""
    before = folder / "before.img"
    if cell.device == "loop":
        sparse_copy(loop_template(templates), before)
    else:
        with open(before, "wb") as image:
            image.truncate(VOLUME_SIZE)
        tool("mkfs.permfs", "-q", "-U", str(uuid.uuid5(uuid.NAMESPACE_OID, cell.name)), before, check=True)
    sparse_copy(before, folder / "disk.img")


def loop_template(templates: pathlib.Path) -> pathlib.Path:
    """An ext4 image with a volume in the file `volume`."""
    template = templates / "loop.img"
    if not template.exists():
        content = templates / "loop"
        shutil.rmtree(content, ignore_errors=True)
        content.mkdir(parents=True)
        with open(content / "volume", "wb") as image:
            image.truncate(VOLUME_SIZE)
        tool("mkfs.permfs", "-q", content / "volume", check=True)
        new = templates / "loop.new"
        new.unlink(missing_ok=True)
        # Nothing is left to ext4's own thread, whose writes would count as in flight.
        subprocess.run([REPO / "scripts/kit", "run", "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                        "-d", content, new, f"{LOOP_DISK_SIZE >> 10}k"], check=True, stdin=subprocess.DEVNULL)
        new.rename(template)
    return template


class Boot:
    """The boot that verifies one cell and runs the next; either may be missing."""

    def __init__(self, before: Seen | None, now: Seen | None, store: pathlib.Path, pstore: str, folder: pathlib.Path,
                 points: dict[str, str], module_params: str):
        self.before, self.now, self.store, self.pstore = before, now, store, pstore
        self.folder, self.points, self.module_params = folder, points, module_params
        self.verified = False
        self.machine: Machine | None = None
        self.stalled = False

    def run(self) -> str:
        """`over`, `gone` or `timeout`; what was seen is in `before` and `now`."""
        spec = {"verify": self.verify_spec(), "cell": self.cell_spec()}
        # The guest finds it under this name.
        (self.folder / "spec.json").write_text(json.dumps(spec))
        self.machine = Machine(self.arguments(), self.folder, self)
        outcome = self.machine.run(SETUP_SECONDS)
        if self.now:
            self.now.outcome = outcome
            self.now.console = self.machine.console_text()
            self.now.events = self.machine.events
        return outcome

    def arguments(self) -> list[str]:
        args = ["--timeout", str(SETUP_SECONDS + 2 * PANIC_SECONDS), "--append", "printk.time=1",
                "--append", "sysrq_always_enabled", "--qemu", "-action shutdown=pause,panic=none,watchdog=pause",
                "--qemu", "-device pvpanic-pci", "--qemu", "-device i6300esb",
                "--files", str(REPO / "tests/matrix/guest"), "--files", str(self.folder / "spec.json"),
                "--files", str(REPO / "build/panicker/panicker.ko")]
        if self.module_params:
            args += ["--module-params", self.module_params]
        if self.pstore != "ours":
            args += [f"--{self.pstore}", str(self.store)]
        if self.now:
            kind = self.now.kind
            disk = [f"{self.now.folder}/disk.img", f"log={self.now.folder}/disk.log", *kind.props]
            args += [kind.bus, ",".join(disk), "--panic-timeout", str(PANIC_TIMEOUT[self.now.cell.end])]
            for word in kind.append:
                args += ["--append", word]
            args += ["--qemu", witness.arguments(kind.bus, self.now.folder / "trace")]
        if self.before:
            args += ["--disk", str(self.before.image)]
        return [*args, "--", "python3 /run/permfs/files/guest/agent.py"]

    def verify_spec(self) -> dict | None:
        if not self.before:
            return None
        cell = self.before.cell
        first = not self.now or self.now.kind.bus != "--disk"
        volume = {"device": "/dev/vda" if first else "/dev/vdb", "seed": cell.name, "name": self.before.kind.volume,
                  "file": "volume" if cell.device == "loop" else None}
        return {"pstore": self.pstore, "volumes": [volume]}

    def cell_spec(self) -> dict | None:
        if not self.now:
            return None
        cell, kind = self.now.cell, self.now.kind
        null = cell.device == "null-blk"
        return {**cell._asdict(), "seed": cell.name, "disk": None if null else kind.path, "heartbeat": heartbeat(cell),
                "null_blk_ns": NULL_BLK_NS, "points": self.points,
                "witness": {"device": kind.path, "seed": cell.name} if null else None}

    # --- what the machine tells

    def on_guest(self, message: dict) -> dict | None:
        ask = message.get("ask")
        if "features" in message:
            self.now.features = message["features"]
        if ask == "verified":
            self.verified = True
            seen = message["seen"]
            self.before.volume = seen["volumes"][0]
            self.before.pstore = seen["pstore"] or self.before.volume.get("pstore")
            self.before.next_log = seen["log"]
        elif ask == "failed":
            if self.now and (self.verified or not self.before):
                self.now.failed = message["reason"]
            elif self.before:
                self.before.failed = message["reason"]
            (self.folder / "guest.log").write_text(message["log"])
            self.machine.over = True
        elif ask == "stall":
            self.stall()
        elif ask == "errors":
            self.fail_requests()
        elif ask == "ready":
            self.now.truth = message["truth"]
            self.now.at_ready = self.disk()
            self.machine.leave(PANIC_SECONDS)
        if ask == "verified" and not self.now:
            self.machine.over = True
        return {} if ask else None

    def on_event(self, event: Event) -> bool:
        if event.name == "GUEST_PANICKED" and self.stalled and self.now.cell.state == "inflight":
            # From here on the device completes what it holds, if somebody collects it.
            self.throttle(0)
        return event.name in ENDS

    def on_end(self) -> None:
        if self.now:
            self.now.at_end = self.disk()

    # --- what is done to the disk

    def throttle(self, bytes_per_second: int) -> None:
        self.machine.monitor.command("block_set_io_throttle", device=self.now.kind.drive, bps=bytes_per_second, bps_rd=0,
                                     bps_wr=0, iops=0, iops_rd=0, iops_wr=0)
        self.stalled = bytes_per_second > 0

    def stall(self) -> None:
        """A byte a second: the next request uses up an hour, and all after it wait. Flushes are not held."""
        self.throttle(1)
        self.machine.monitor.command("human-monitor-command",
                                     **{"command-line": f'qemu-io {self.now.kind.drive} "read -q 0 4k"'})

    def fail_requests(self) -> None:
        """Every write and flush fails from now on, before the disk's log sees it."""
        drive = self.now.kind.drive
        errors = [{"event": "none", "iotype": kind, "errno": 5, "once": False} for kind in ("write", "flush")]
        self.machine.monitor.command("blockdev-add", **{"node-name": "failing", "driver": "blkdebug",
                                                        "image": f"{drive}-log", "inject-error": errors})
        self.machine.monitor.command("blockdev-reopen", options=[
            {"driver": "raw", "node-name": f"{drive}-top", "file": "failing"}])

    def disk(self) -> Disk:
        stats = next(d["stats"] for d in self.machine.monitor.command("query-blockstats")
                     if d.get("device") == self.now.kind.drive)
        counts = self.now.kind.bus != "--nvme"
        return Disk((self.now.folder / "disk.log").stat().st_size, (self.now.folder / "trace").stat().st_size,
                    stats["flush_operations"] if counts else None, stats["failed_flush_operations"] if counts else None)


def after(seen: Seen) -> None:
    """Makes what the next boot gets: the disk, without anything that its cache might have lost."""
    log_path = seen.folder / "disk.log"
    # What has panicked, was ready before.
    seen.mark = len(logwrites.read(log_path, seen.at_ready.log_bytes))
    seen.requests = witness.read(seen.folder / "trace", seen.at_ready.trace_bytes)
    witness.tell_failed(seen.requests, *(None if now is None else now - then for now, then in (
        (seen.at_end.flushes, seen.at_ready.flushes), (seen.at_end.failed, seen.at_ready.failed))))
    seen.log = true_log(seen, logwrites.read(log_path))
    before = seen.folder / "before.img"
    if seen.cell.device != "loop":
        seen.layout = json.loads(tool("permfs", "info", "--json", before, check=True).stdout)
    if seen.kind.bus == "--nvme":
        mark_journal_writes(seen)
    before.rename(seen.image)
    logwrites.replay(log_path, logwrites.durable(seen.log), seen.image)
    if seen.cell.device != "loop":
        seen.area = json.loads(tool("permfs", "panic", "--json", seen.image).stdout)


def mark_journal_writes(seen: Seen) -> None:
    """Sets the FUA that QEMU's NVMe controller, which has it, forgets to tell the disk: PermFS's journal is written so.

    That they are is not seen here, but on the disks without FUA, where each such write must be followed by a flush.
    """
    layout = seen.layout
    block = layout["block_size"] // logwrites.SECTOR
    start = layout["journal_header"] * block
    end = (layout["journal_start"] + layout["journal_blocks"]) * block
    for entry in seen.log:
        if entry.is_write and start <= entry.sector < end:
            entry.flags |= logwrites.FUA


def true_log(seen: Seen, log: list[logwrites.Entry]) -> list[logwrites.Entry]:
    """The log without what QEMU itself did when it paused the ended machine: it lets stalled requests go, and flushes."""
    if seen.cell.state == "never" and seen.cell.device != "null-blk":
        log = log[:seen.mark] + [entry for entry in log[seen.mark:] if entry.is_flush]
    in_log = sum(entry.is_flush for entry in log[seen.mark:])
    if log and log[-1].is_flush and in_log > sum(request.is_flush and not request.failed for request in seen.requests):
        log = log[:-1]
    return log


def read_console(seen: Seen) -> None:
    """What `permfs panic` reads in the console's log."""
    path = seen.folder / "console"
    path.write_text(seen.console)
    done = tool("permfs", "panic", "--json", path)
    seen.record = json.loads(done.stdout) if done.stdout.strip() else None


def check_image(seen: Seen) -> None:
    """fsck.permfs on the host, after the next boot has mounted and unmounted the volume."""
    if seen.cell.device == "loop":
        volume = seen.folder / "volume.img"
        subprocess.run([REPO / "scripts/kit", "run", "debugfs", "-R", f"dump /volume {volume}", seen.image],
                       check=True, capture_output=True, stdin=subprocess.DEVNULL)
        done = tool("fsck.permfs", "-n", volume)
    else:
        done = tool("fsck.permfs", "-n", seen.image)
    seen.fsck = None if done.returncode == 0 else f"status {done.returncode}: {(done.stdout + done.stderr).strip()[-400:]}"
