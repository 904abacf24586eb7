# SPDX-License-Identifier: GPL-2.0
"""One run of scripts/vm, driven from outside: the guest's requests over a port of its own, QEMU over QMP, the console.

The guest (guest/agent.py) sends one JSON object a line; those with `ask` are answered.
"""

import dataclasses
import json
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
# How long QEMU's monitor may take to answer.
QMP_SECONDS = 30
# What the guest may take to say where its tasks are.
TASKS_SECONDS = 5
# What the run may take to go after it was told to.
END_SECONDS = 30


class MachineError(Exception):
    """The machine or its monitor did not do what the runner needs."""


@dataclasses.dataclass
class Event:
    """What QEMU told: `at` by the host's clock, seconds."""

    name: str
    at: float
    data: dict


class Monitor:
    """A QMP connection."""

    def __init__(self, path: pathlib.Path, on_event: Callable[[Event], None]):
        self.socket = connect(path)
        self.on_event = on_event
        self.text = b""
        self.answers: list[dict] = []
        self.greeted = False

    def take(self) -> bool:
        """Reads what has come; false when the other side has closed."""
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, BlockingIOError):
            data = b""
        self.text += data
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "event" in message:
                stamp = message["timestamp"]
                self.on_event(Event(message["event"], stamp["seconds"] + stamp["microseconds"] / 1e6, message.get("data", {})))
            elif "QMP" not in message:
                self.answers.append(message)
        return bool(data)

    def command(self, name: str, **arguments) -> object:
        """Executes a command and waits for its answer; events that come in between are told."""
        if not self.greeted:
            self.greeted = True
            self.command("qmp_capabilities")
        try:
            self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            end = time.monotonic() + QMP_SECONDS
            self.socket.settimeout(QMP_SECONDS)
            while not self.answers:
                if not self.take() or time.monotonic() > end:
                    raise MachineError(f"QEMU did not answer to {name}")
        except OSError as error:
            raise MachineError(f"QEMU did not take {name}: {error}") from error
        answer = self.answers.pop(0)
        if "error" in answer:
            raise MachineError(f"QEMU refused {name}: {answer['error'].get('desc')}")
        return answer["return"]


def connect(path: pathlib.Path) -> socket.socket:
    end = time.monotonic() + QMP_SECONDS
    while True:
        try:
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(path))
            return s
        except OSError as error:
            s.close()
            if time.monotonic() > end:
                raise MachineError(f"no connection to {path.name}: {error}") from error
            time.sleep(0.05)


class Machine:
    """A run of scripts/vm with the cell's devices. What happens is told to `handler`, which has

    `on_guest(message) -> dict | None`: the answer to one that asks,
    `on_event(event) -> bool`: true ends the run,
    `on_end()`: called when it has ended that way, with the monitor still there.
    """

    def __init__(self, arguments: list[str], folder: pathlib.Path, handler):
        self.handler = handler
        # A socket's path has room for some hundred bytes only.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="permfs-matrix."))
        self.console_path = folder / "console"
        self.events: list[Event] = []
        self.over = False
        qemu = [f"-qmp unix:{self.sockets}/qmp,server=on,wait=off",
                f"-chardev socket,id=matrix,path={self.sockets}/port,server=on,wait=off",
                "-device virtserialport,bus=permfs.0,chardev=matrix,name=permfs.matrix"]
        command = [str(REPO / "scripts/vm"), "--backend", "qemu", "--keep-console", str(self.console_path)]
        for words in qemu:
            command += ["--qemu", words]
        self.out = open(folder / "out", "wb")
        self.end = 0.0
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.out, start_new_session=True)

    def leave(self, seconds: float) -> None:
        """The run may take so much longer, from now, and no more."""
        self.end = time.monotonic() + seconds

    def event(self, event: Event) -> None:
        self.events.append(event)
        if self.handler.on_event(event):
            self.over = True

    def run(self, seconds: float) -> str:
        """Drives the machine until the handler ends it, QEMU goes or the time is over: `over`, `gone` or `timeout`."""
        try:
            self.leave(seconds)
            while not (self.sockets / "port").exists():
                if self.process.poll() is not None:
                    return "gone"
                if time.monotonic() > self.end:
                    return "timeout"
                time.sleep(0.02)
            self.monitor = Monitor(self.sockets / "qmp", self.event)
            self.monitor.command("query-status")
            return self.drive()
        finally:
            self.stop()

    def drive(self) -> str:
        port = connect(self.sockets / "port")
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.monitor.socket, selectors.EVENT_READ, "qmp")
            selector.register(port, selectors.EVENT_READ, "port")
            while not self.over:
                if time.monotonic() > self.end:
                    self.ask_for_tasks()
                    return "timeout"
                if self.process.poll() is not None:
                    return "gone"
                for key, _ in selector.select(0.2):
                    if key.data == "qmp":
                        if not self.monitor.take() and not self.over:
                            return "gone"
                        continue
                    data = port.recv(1 << 16)
                    if not data:
                        selector.unregister(port)
                    text += data
                    *lines, text = text.split(b"\n")
                    for line in lines:
                        answer = self.handler.on_guest(json.loads(line))
                        if answer is not None:
                            port.sendall(json.dumps(answer).encode() + b"\n")
        self.handler.on_end()
        return "over"

    def ask_for_tasks(self) -> None:
        """Has a kernel that still lives say on the console where every task is: else nothing would tell what it waits for."""
        try:
            for letter in ("7", "t", "w"):
                keys = [{"type": "qcode", "data": key} for key in ("alt", "sysrq", letter)]
                self.monitor.command("send-key", keys=keys)
            time.sleep(TASKS_SECONDS)
        except MachineError:
            pass

    def stop(self) -> None:
        """Ends scripts/vm, which ends QEMU, and waits for both."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.out.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def console_text(self) -> str:
        """The console of a run that has ended, without carriage returns."""
        if not self.console_path.exists():
            return ""
        return self.console_path.read_bytes().decode(errors="replace").replace("\r", "")
