# SPDX-License-Identifier: GPL-2.0
"""The archive appended to the initramfs: the guest's init, its settings, the job, permfs.ko and the tools."""

import os
import pathlib
import shlex
import shutil


class Cpio:
    """Writes a `newc` cpio archive, the form in which the kernel takes an initramfs."""

    def __init__(self, out):
        self.out = out
        self.inode = 1

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        self.out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        self.out.write(b"\0" * (-(110 + len(raw)) % 4) + data + b"\0" * (-len(data) % 4))

    def folder(self, name: str) -> None:
        self.add(name, 0o040755)

    def file(self, name: str, data: bytes, executable: bool = False) -> None:
        self.add(name, 0o100755 if executable else 0o100644, data)

    def close(self) -> None:
        self.add("TRAILER!!!", 0)


def job_script(cmd: list[str]) -> str:
    """What the guest runs: one argument is a shell's command line, several are a program and its arguments."""
    return cmd[0] if len(cmd) == 1 else shlex.join(cmd)


def write(out_path: pathlib.Path, initrd: pathlib.Path, guest_init: pathlib.Path, settings: dict[str, str],
          cmd: list[str], module: pathlib.Path | None, tools: pathlib.Path | None) -> None:
    """Writes the whole initramfs for one run: the kit's, then the archive with this run's files under /permfs."""
    with open(out_path, "wb") as out:
        with open(initrd, "rb") as base:
            shutil.copyfileobj(base, out)
        out.write(b"\0" * (-out.tell() % 4))
        cpio = Cpio(out)
        cpio.folder("permfs")
        cpio.folder("permfs/bin")
        cpio.file("permfs/init", guest_init.read_bytes(), executable=True)
        lines = (f"{key}={shlex.quote(value)}\n" for key, value in settings.items())
        cpio.file("permfs/settings", "".join(lines).encode())
        cpio.file("permfs/job", (job_script(cmd) + "\n").encode())
        if module:
            cpio.file("permfs/permfs.ko", module.read_bytes())
        if tools and tools.is_dir():
            for tool in sorted(tools.iterdir()):
                if tool.is_file() and os.access(tool, os.X_OK):
                    cpio.file(f"permfs/bin/{tool.name}", tool.read_bytes(), executable=True)
        cpio.close()


def write_probe(out_path: pathlib.Path, initrd: pathlib.Path) -> None:
    """An initramfs that boots, finds its drivers and switches off: shows whether an accelerator runs a guest."""
    with open(out_path, "wb") as out:
        out.write(initrd.read_bytes())
        out.write(b"\0" * (-out.tell() % 4))
        cpio = Cpio(out)
        cpio.folder("permfs")
        cpio.file("permfs/probe", b"")
        cpio.close()
