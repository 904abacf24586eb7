# SPDX-License-Identifier: GPL-2.0
"""The archive appended to the initramfs: the guest's init, its settings, the job, permfs.ko and the tools."""

import dataclasses
import os
import pathlib
import shlex
import shutil

from .kit import Kit


class Cpio:
    """Writes a `newc` cpio archive, the form in which the kernel takes an initramfs."""

    def __init__(self, out):
        self.out = out
        self.inode = 1
        self.folders = set()

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self.out.write(b"\0" * (-(110 + len(raw)) % 4) + data + b"\0" * (-len(data) % 4))

    def file(self, name: str, data: bytes, executable: bool = False) -> None:
        """A file, after the folders that it lies in."""
        for parent in reversed(pathlib.PurePath(name).parents[:-1]):
            if parent not in self.folders:
                self.folders.add(parent)
                self.add(str(parent), 0o040755)
        self.add(name, 0o100755 if executable else 0o100644, data)

    def close(self) -> None:
        self.add("TRAILER!!!", 0)


def job_script(cmd: list[str]) -> str:
    """What the guest runs: one argument is a shell's command line, several are a program and its arguments."""
    return cmd[0] if len(cmd) == 1 else shlex.join(cmd)


@dataclasses.dataclass
class Content:
    """What one run brings along: settings for the guest's init, the job, permfs.ko, the tools and other files."""

    settings: dict[str, str]
    cmd: list[str]
    module: pathlib.Path | None
    tools: pathlib.Path
    files: list[pathlib.Path]
    kit: Kit

    def entries(self):
        """(name, data, executable) of every file, with names below /run/permfs."""
        lines = (f"{key}={shlex.quote(value)}\n" for key, value in self.settings.items())
        yield "settings", "".join(lines).encode(), False
        yield "job", (job_script(self.cmd) + "\n").encode(), False
        if self.module:
            yield "permfs.ko", self.module.read_bytes(), False
        for tool in sorted(self.tools.iterdir()) if self.tools.is_dir() else []:
            if tool.is_file() and os.access(tool, os.X_OK):
                yield f"bin/{tool.name}", self.kit.stripped(tool), True
        for top in self.files:
            for file in [top] if top.is_file() else sorted(f for f in top.rglob("*") if f.is_file()):
                yield f"files/{file.relative_to(top.parent)}", file.read_bytes(), os.access(file, os.X_OK)


def write(out_path: pathlib.Path, initrd: pathlib.Path, guest_init: pathlib.Path, content: Content) -> None:
    """Writes the whole initramfs for one run: the kit's, then the archive with this run's files under /permfs."""
    with open(out_path, "wb") as out:
        with open(initrd, "rb") as base:
            shutil.copyfileobj(base, out)
        out.write(b"\0" * (-out.tell() % 4))
        cpio = Cpio(out)
        cpio.file("permfs/init", guest_init.read_bytes(), executable=True)
        for name, data, executable in content.entries():
            cpio.file(f"permfs/{name}", data, executable)
        cpio.close()


def write_folder(folder: pathlib.Path, guest_init: pathlib.Path, content: Content) -> None:
    """The same files in a folder, for a guest that takes them from there."""
    for name, data, executable in [("init", guest_init.read_bytes(), True), *content.entries()]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if executable else 0o644)


def write_probe(out_path: pathlib.Path, initrd: pathlib.Path) -> None:
    """An initramfs that boots, finds its drivers and switches off: shows whether an accelerator runs a guest."""
    with open(out_path, "wb") as out:
        out.write(initrd.read_bytes())
        out.write(b"\0" * (-out.tell() % 4))
        cpio = Cpio(out)
        cpio.file("permfs/probe", b"")
        cpio.close()
