# SPDX-License-Identifier: GPL-2.0
"""One panic: a machine gets disks plugged in, mounts their volumes and panics; the host then looks at what they hold.

Most of that would be the boot. So the machine's state is saved once, before there is any disk, and a panic begins with it.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import time

from cell import VOLUME_SIZE, sparse_copy, tool
from classes import CLASSES
from machine import REPO, Event, Machine

# How long the machine may take until its volumes are in use, and then from the panic to its reset.
SETUP_SECONDS = 120
PANIC_SECONDS = 20
SAVE_SECONDS = 60
MEMORY = "1G"
PANICS_A_ROUND = 1 + len(CLASSES)
# Odd, so that idle rounds and those under writers have a boot in turn.
ROUNDS_A_BOOT = 9
GUEST = [REPO / "tests/matrix/guest/common.py", REPO / "tests/panic-times/guest/times.py"]


@dataclasses.dataclass
class Volume:
    """A class's volume, which lives through many panics."""

    name: str
    image: pathlib.Path
    # Seed of the files that the panic before must have left.
    kept: str | None = None

    def make(self) -> None:
        """A new, empty one."""
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(VOLUME_SIZE)
        tool("mkfs.permfs", "-q", self.image, check=True)
        self.kept = None

    def save(self, folder: pathlib.Path) -> None:
        """A copy of it as it is, to look at later."""
        sparse_copy(self.image, folder / f"{self.name}.img")


@dataclasses.dataclass
class Plan:
    """What is to be: its number, the classes whose volumes are mounted, whether there are writers, whether there is a panic."""

    number: int
    names: list[str]
    load: bool
    panic: bool = True


def plan(number: int) -> Plan:
    """A round is a panic with volumes of all classes and one with a volume of each; rounds are under writers and idle in turn."""
    names = list(CLASSES)
    of_round, place = divmod(number, PANICS_A_ROUND)
    return Plan(number, [names[place - 1]] if place else names, load=of_round % 2 == 0)


def needs_boot(what: Plan) -> bool:
    """Some panics of all volumes, and the last look at them, come after a boot of their own: is a saved machine like that?"""
    return not what.panic or (what.number + PANICS_A_ROUND) % (PANICS_A_ROUND * ROUNDS_A_BOOT) == 0


@dataclasses.dataclass
class Seen:
    """What was seen of it. `outcome`: reset, hang, or what went wrong before the panic."""

    plan: Plan
    saved: bool
    outcome: str = ""
    volumes: dict = dataclasses.field(default_factory=dict)
    reset_ms: float | None = None
    record: dict | None = None
    areas: dict = dataclasses.field(default_factory=dict)
    fsck: dict = dataclasses.field(default_factory=dict)
    seconds: dict = dataclasses.field(default_factory=dict)


def arguments(more: list[str]) -> list[str]:
    """The machine's: nothing but free ports for the disks to come."""
    args = ["--timeout", str(SETUP_SECONDS + 2 * PANIC_SECONDS), "--mem", MEMORY, "--append", "sysrq_always_enabled",
            "--qemu", "-action shutdown=pause,panic=none", "--qemu", "-device pvpanic-pci"]
    for n in range(len(CLASSES)):
        args += ["--qemu", f"-device pcie-root-port,id=port{n},chassis={n + 1},slot={n + 1}"]
    for file in GUEST:
        args += ["--files", str(file)]
    for words in more:
        args += ["--qemu", words]
    return [*args, "--", "python3 /run/permfs/files/times.py"]


class Guest:
    """Handles what the guest asks for, whatever is to be."""

    machine: Machine
    failed: str | None = None

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def run(self, more: list[str]) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.machine = Machine(arguments(more), self.folder, self)
        return self.machine.run(SETUP_SECONDS)

    def on_guest(self, message: dict) -> dict | None:
        ask = message["ask"]
        if ask == "failed":
            self.failed = message["reason"]
            (self.folder / "guest.log").write_text(message["log"])
            self.machine.over = True
            return {}
        return getattr(self, f"on_{ask}")(message)

    def on_event(self, event: Event) -> bool:
        return event.name == "SHUTDOWN"

    def on_end(self) -> None:
        pass


class SavedMachine(Guest):
    """The machine's state, saved when it has booted and waits for its orders; made again when anything in it has changed."""

    def __init__(self, work: pathlib.Path):
        super().__init__(work / "saved")
        self.file, self.key_file = self.folder / "state", self.folder / "key"

    def key(self) -> str:
        """What the state depends on: the contents of what goes into the machine, and the kit that it boots from."""
        tools = pathlib.Path(os.environ.get("PERMFS_GUEST_BIN") or REPO / "build/guest-bin")
        module = pathlib.Path(os.environ.get("PERMFS_KO") or REPO / "permfs.ko")
        cache = pathlib.Path(os.environ.get("PERMFS_CACHE") or pathlib.Path.home() / ".cache/permfs")
        code = [REPO / "scripts/vm", *(REPO / "scripts/lib").rglob("*"), pathlib.Path(__file__)]
        files = sorted(f for f in [module, *tools.iterdir(), *GUEST, *code, cache / "kit.lock"] if f.is_file())
        digest = hashlib.sha256()
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        digest.update("".join(str(f.stat().st_mtime_ns) for f in (cache / "images").glob("*.img")).encode())
        return digest.hexdigest()

    def make(self) -> bool:
        """Saves it if it is not there; false if that did not work, and `failed` says why."""
        key = self.key()
        if self.file.exists() and self.key_file.exists() and self.key_file.read_text() == key:
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key_file.unlink(missing_ok=True)
        self.failed = "the guest did not come to the point of saving"
        if self.run([]) == "over" and not self.failed:
            self.key_file.write_text(key)
        return not self.failed

    def on_orders(self, _message: dict) -> None:
        """The guest waits; its state goes to the file, and the machine ends. Its next life gets the answer."""
        if self.machine.over:
            return
        monitor = self.machine.monitor
        self.file.unlink(missing_ok=True)
        monitor.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        monitor.command("migrate", uri=f"file:{self.file}")
        end = time.monotonic() + SAVE_SECONDS
        while True:
            status = monitor.command("query-migrate")
            if status.get("status") == "completed":
                self.failed = None
                break
            if status.get("status") in ("failed", "cancelled") or time.monotonic() > end:
                self.failed = f"the machine's state was not saved: {status}"
                break
            time.sleep(0.05)
        self.machine.over = True


class Panic(Guest):
    """One panic, begun by a boot or from a saved machine."""

    def __init__(self, plan: Plan, volumes: dict[str, Volume], folder: pathlib.Path, saved: SavedMachine | None):
        super().__init__(folder)
        self.plan, self.saved = plan, saved
        self.used = [volumes[name] for name in plan.names]
        self.seen = Seen(plan, saved is not None)
        self.begin = time.monotonic()

    def mark(self, what: str) -> None:
        """Notes when something was reached, in seconds since its begin."""
        self.seen.seconds[what] = round(time.monotonic() - self.begin, 2)

    def go(self) -> Seen:
        """All of it; what it changed is in `volumes`."""
        seen = self.seen
        outcome = self.run([f"-incoming file:{self.saved.file}"] if self.saved else [])
        self.mark("stopped")
        events = {event.name: event for event in self.machine.events}
        reset = events.get("SHUTDOWN")
        ready = "ready" in seen.seconds
        if self.failed:
            seen.outcome = self.failed
        elif not self.plan.panic:
            seen.outcome = "end" if "end" in seen.seconds else f"the last machine ended by {outcome}"
        elif ready and reset and reset.data.get("reason") == "guest-reset" and "GUEST_PANICKED" in events:
            seen.outcome = "reset"
            seen.reset_ms = (reset.at - events["GUEST_PANICKED"].at) * 1000
        elif ready and outcome == "timeout":
            seen.outcome = "hang"
        else:
            seen.outcome = f"{outcome} {'after' if ready else 'before'} the panic was asked for"
        if ready:
            self.look()
        self.mark("looked")
        return seen

    def look(self) -> None:
        """What the console tells, and what is on the disks."""
        console = self.folder / "console"
        console.write_text(self.machine.console_text())
        done = tool("permfs", "panic", "--json", console)
        self.seen.record = json.loads(done.stdout) if done.stdout.strip() else None
        for volume in self.used:
            self.seen.areas[volume.name] = json.loads(tool("permfs", "panic", "--json", volume.image).stdout or "null")
            done = tool("fsck.permfs", "-n", volume.image)
            self.seen.fsck[volume.name] = None if done.returncode == 0 else \
                f"status {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}"

    # --- what the guest asks for

    def on_orders(self, _message: dict) -> dict | None:
        if "up" in self.seen.seconds:
            return None
        self.mark("up")
        seed = f"panic {self.plan.number}"
        return {"time": time.time(), "load": self.plan.load, "panic": self.plan.panic, "volumes": [
            {"name": volume.name, "parameters": CLASSES[volume.name].parameters, "modules": CLASSES[volume.name].modules,
             "before": volume.kept, "now": seed if self.plan.panic else None} for volume in self.used]}

    def on_plug(self, message: dict) -> dict:
        name = message["name"]
        monitor, volume = self.machine.monitor, next(v for v in self.used if v.name == name)
        monitor.command("blockdev-add", **{"node-name": name, "driver": "raw", "discard": "unmap",
                                           "file": {"driver": "file", "filename": str(volume.image), "discard": "unmap"}})
        bus = f"port{self.used.index(volume)}"
        *controllers, disk = CLASSES[name].devices
        for n, device in enumerate(controllers):
            monitor.command("device_add", **device, id=f"{name}-{n}", bus=bus)
            bus = f"{name}-{n}.0"
        monitor.command("device_add", **disk, id=name, bus=bus, drive=name, serial=name)
        self.mark(f"{name} plugged")
        return {}

    def on_ready(self, message: dict) -> dict:
        self.mark("ready")
        self.seen.volumes = message["volumes"]
        for volume in self.used:
            volume.kept = f"panic {self.plan.number}"
        self.machine.leave(PANIC_SECONDS)
        return {}

    def on_done(self, message: dict) -> dict:
        """The end without a panic."""
        self.mark("end")
        self.seen.volumes = message["volumes"]
        self.machine.over = True
        return {}
