# SPDX-License-Identifier: GPL-2.0
"""One run of the test machine: starts it, passes its output on, waits, and leaves nothing behind."""

import ctypes
import os
import pathlib
import selectors
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
# How long the guest may take to go down after its job is done, and QEMU to end after that.
DOWN_SECONDS = 60


class Stopped(Exception):
    """A signal asked the runner to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def work_folder(cache: pathlib.Path) -> pathlib.Path:
    """A folder for this run alone. Those of runners that were killed without a chance to clean up are removed."""
    runs = cache / "run"
    runs.mkdir(parents=True, exist_ok=True)
    for old in runs.iterdir():
        pid = old.name.partition(".")[2]
        if pid.isdigit() and not pathlib.Path("/proc", pid).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = runs / f"vm.{os.getpid()}"
    folder.mkdir()
    for name in ("ctl", "out"):
        os.mkfifo(folder / name)
    return folder


def dies_with_us() -> None:
    """In the child: a group of its own, and death when the runner dies, by whatever means."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Run:
    """The machine's process and the channels it writes to."""

    def __init__(self, args: list[str], env: dict[str, str], folder: pathlib.Path, timeout: float, show_console: bool,
                 console_on_stderr: bool):
        self.folder, self.timeout = folder, timeout
        self.started = time.monotonic()
        self.ready = self.rc = self.failure = None
        self.bye = False
        self.ctl_text = b""
        self.console = None
        self.console_path = folder / "console"
        self.console_path.touch()
        if show_console:
            self.console = open(self.console_path, "rb", buffering=0)
        self.selector = selectors.DefaultSelector()
        for name in ("ctl", "out"):
            # Opened for writing too: the channel does not end when QEMU closes its side, the loop does.
            self.selector.register(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK), selectors.EVENT_READ, name)
        # virtme-ng has the console on stderr; QEMU itself writes it to a file and has complaints on stderr.
        self.errors = open(folder / "qemu.log", "w+b")
        stderr = open(self.console_path, "ab") if console_on_stderr else self.errors
        self.process = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=self.errors,
                                        stderr=stderr, preexec_fn=dies_with_us)

    def _control(self, data: bytes) -> None:
        """Lines of the guest's init: ready UPTIME, fail MESSAGE, rc N, bye."""
        self.ctl_text += data
        *lines, self.ctl_text = self.ctl_text.split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "ready":
                self.ready = time.monotonic() - self.started
            elif word == "fail":
                self.failure = rest
            elif word == "rc":
                self.rc = int(rest)
                self.timeout = min(self.timeout, time.monotonic() - self.started + DOWN_SECONDS)
            elif word == "bye":
                self.bye = True

    def _pump(self, wait: float) -> bool:
        """Passes on what has come in; false when nothing came within `wait` seconds."""
        got = False
        for key, _ in self.selector.select(wait):
            data = os.read(key.fd, 1 << 16)
            got = got or bool(data)
            if key.data == "ctl":
                self._control(data)
            else:
                write_all(1, data)
        if self.console:
            text = self.console.read()
            if text:
                write_all(2, text)
        return got

    def wait(self) -> bool:
        """Runs until the machine has ended or the time is over; true if it ended by itself."""
        while self.process.poll() is None:
            if time.monotonic() - self.started > self.timeout:
                return False
            # Once the guest has said good-bye there is nothing left that switching it off by itself would add.
            if self.bye:
                self.kill()
                break
            self._pump(0.1)
        while self._pump(0):
            pass
        return True

    def kill(self) -> None:
        """Ends the machine and waits for it."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def console_tail(self, lines: int) -> str:
        """The console's last lines, without the firmware's terminal codes."""
        text = self.console_path.read_bytes().decode(errors="replace").replace("\r", "")
        return "\n".join(text.split("\n")[-lines - 1:]).rstrip("\n")

    def qemu_errors(self) -> str:
        """What QEMU itself printed."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]


def catch_signals() -> None:
    """INT, TERM and HUP become an exception, so that the machine is ended and the folder removed on the way out."""
    stopping = []

    def stop(number, _frame):
        # A second signal must not interrupt the cleaning up that the first one began.
        stopping.append(number)
        if len(stopping) == 1:
            raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def message(text: str) -> None:
    """A line of the runner's own, on stderr."""
    print(f"vm: {text}", file=sys.stderr, flush=True)
