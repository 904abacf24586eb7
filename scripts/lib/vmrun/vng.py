# SPDX-License-Identifier: GPL-2.0
"""The test machine under virtme-ng: the guest's root is the kit's root itself, exported over 9p.

Always 9p: virtiofs corrupts what it shares under emulation, and one launcher should be one way.
"""

import os
import pathlib
import shlex

from . import payload, qemu
from .kit import Kit


def command(opts, kit: Kit, folder: pathlib.Path, disks: list, content: payload.Content,
            guest_init: pathlib.Path) -> tuple[list[str], dict[str, str]]:
    """Argument list and environment of a launch by virtme-ng, inside the root."""
    brought = folder / "payload"
    payload.write_folder(brought, guest_init, content)
    devices = qemu.devices(opts, kit, folder, disks)
    if opts.corpus:
        devices += qemu.image(kit.corpus, "permfs-corpus", "1d")
    job = f"mkdir -p /run/permfs && cp -r {shlex.quote(str(brought))}/. /run/permfs && exec bash /run/permfs/init"
    # Verbose: the kernel's console goes to stderr, which the runner keeps as the console's log.
    vng = ["vng", "--verbose", "--force-9p", "--disable-microvm", "--user", "root", "--cwd", "/", "--name", "vm",
           "--memory", opts.mem, "--cpus", str(opts.cpus), "--append", qemu.append(opts),
           "--qemu-opts=" + shlex.join(devices), "--run", "/" + str(kit.vmlinuz(opts.kernel).relative_to(kit.root))]
    if qemu.accelerator(kit, folder) != "kvm":
        vng.append("--disable-kvm")
    # Its programs start each other; in a process namespace of their own none can outlive the first.
    args = ["unshare", "--pid", "--fork", "--kill-child", str(kit.repo / "scripts/kit"), "run"]
    for path in outside(opts, disks):
        args += ["--bind", path]
    return args + [*vng, "--", job], dict(os.environ)


def outside(opts, disks: list) -> list[str]:
    """Folders that the launch must see inside the root under their own paths."""
    files = [disk.path for disk in disks] + [disk.log for disk in disks] + [opts.erst, opts.efi, opts.ramoops, opts.ack]
    folders = {str(pathlib.Path(f).absolute().parent) for f in files if f}
    if opts.share:
        folders.add(str(pathlib.Path(opts.share).absolute()))
    return sorted(folders)
