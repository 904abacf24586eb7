# SPDX-License-Identifier: GPL-2.0
"""What the kernel kit made: paths, and how to start programs of its root from outside."""

import os
import pathlib
import subprocess


class SetupError(Exception):
    """The test machine cannot be started as asked; the message says what to do."""


class Kit:
    """The kit's paths, as `scripts/kit path NAME` prints them."""

    def __init__(self, repo: pathlib.Path):
        self.repo = repo
        cache = os.environ.get("PERMFS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache/permfs")
        self.cache = pathlib.Path(cache).absolute()
        self.root = self.cache / "root"
        self.image = self.cache / "images/root.img"
        self.corpus = self.cache / "images/corpus.img"
        self.initrd = self.cache / "images/initrd.img"
        self.firmware = self.cache / "firmware"
        if subprocess.run([repo / "scripts/kit", "build"], stdin=subprocess.DEVNULL, stdout=2, check=False).returncode:
            raise SetupError("the kernel kit could not be made; its message stands above")
        facts = dict(line.split("=", 1) for line in (self.cache / "kernel/facts").read_text().splitlines())
        self.release = facts["release"]

    def vmlinuz(self, kernel: str) -> pathlib.Path:
        """The kernel image called `stock` or `debug`."""
        if kernel == "stock":
            return self.root / "boot" / f"vmlinuz-{self.release}"
        path = self.cache / "kernel/debug/arch/x86/boot/bzImage"
        if subprocess.run([self.repo / "scripts/kit", "debug", "--check"], check=False).returncode or not path.exists():
            raise SetupError("there is no debug kernel, or one of another version: `make debug-kernel debug-modules` makes it")
        return path

    def program(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Argument list and environment that start `name` of the root on the host, with the root's own libraries."""
        lib = self.root / "usr/lib/x86_64-linux-gnu"
        env = dict(os.environ, QEMU_MODULE_DIR=str(lib / "qemu"))
        loader = self.root / "usr/lib64/ld-linux-x86-64.so.2"
        return [str(loader), "--library-path", str(lib), str(self.root / "usr/bin" / name)], env

    def stripped(self, program: pathlib.Path) -> bytes:
        """A program without its debug information, which would only fill the guest's memory; kept for the next run."""
        data = program.read_bytes()
        if not data.startswith(b"\x7fELF"):
            return data
        state = program.stat()
        kept = self.cache / "stripped" / f"{program.name}.{state.st_size}.{state.st_mtime_ns}"
        try:
            return kept.read_bytes()
        except FileNotFoundError:
            pass
        # Runs of other clones share the folder, and each removes what is not of its own build.
        kept.parent.mkdir(exist_ok=True)
        for old in kept.parent.glob(f"{program.name}.*"):
            old.unlink(missing_ok=True)
        new = kept.with_name(f".{kept.name}.{os.getpid()}")
        args, env = self.program("strip")
        subprocess.run([*args, "-g", "-o", new, program.resolve()], env=env, check=True)
        data = new.read_bytes()
        new.rename(kept)
        return data
