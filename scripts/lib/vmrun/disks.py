# SPDX-License-Identifier: GPL-2.0
"""Disks of the test machine: from SIZE|IMAGE[,property=value...] to QEMU's arguments."""

import os
import pathlib
import re

from .kit import SetupError

# Properties that belong to QEMU's drive (the host's side); all others go to the device (the guest's side).
DRIVE_KEYS = ("cache", "aio", "discard", "detect-zeroes", "readonly", "format", "werror", "rerror")
# Properties of a virtio-scsi disk that belong to its controller; each disk has one of its own.
HBA_KEYS = ("num_queues", "virtqueue_size", "cmd_per_lun", "max_sectors", "param_change")
DEVICES = {"virtio": "virtio-blk-pci", "nvme": "nvme", "scsi": "scsi-hd", "sata": "ide-hd"}
CONTROLLERS = {"scsi": "virtio-scsi-pci", "sata": "ich9-ahci"}
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Disk:
    """One disk: `spec` as the caller gave it, `bus` virtio, nvme, scsi or sata, `index` its place among those of its bus."""

    def __init__(self, bus: str, index: int, spec: str, extra: str, folder: pathlib.Path):
        self.bus, self.id = bus, f"{bus}{index}"
        what, *props = spec.split(",")
        props = [p for p in extra.split(",") if p] + props
        self.log = None
        self.drive = {"cache": "writeback", "discard": "unmap", "format": "raw"}
        self.device, self.hba = [], []
        for prop in props:
            key, _, value = prop.partition("=")
            if key == "log":
                self.log = value
            elif key in DRIVE_KEYS or key.startswith("throttling."):
                self.drive[key] = value or "on"
            elif bus == "scsi" and key in HBA_KEYS:
                self.hba.append(prop)
            else:
                self.device.append(prop)
        if not any(p.startswith("serial=") for p in self.device):
            self.device.append(f"serial={self.id}")
        self.path = self._image(what, folder)

    def _image(self, what: str, folder: pathlib.Path) -> pathlib.Path:
        """The image's path; a size becomes a sparse file that goes with the run."""
        size = re.fullmatch(r"(\d+)([KMGT]?)", what, re.IGNORECASE)
        if not size:
            path = pathlib.Path(what).absolute()
            if not path.exists():
                raise SetupError(f"no image {what} (and it is not a size such as 512M or 2G)")
            return path
        path = folder / f"{self.id}.img"
        with open(path, "wb") as image:
            os.truncate(image.fileno(), int(size[1]) * UNITS[size[2].upper()])
        return path

    def arguments(self) -> list[str]:
        """QEMU's arguments for this disk."""
        drive = [f"{key}={value}" for key, value in self.drive.items()]
        name = escape(self.path)
        if self.log:
            # Every write, flush and FUA that reaches the disk, in the form of dm-log-writes. The nodes have names, so that
            # a test may put another one (blkdebug) between the two while the machine runs.
            log = pathlib.Path(self.log).absolute()
            log.touch()
            drive = [d for d in drive if not d.startswith("format=")]
            drive += ["driver=raw", f"node-name={self.id}-top", "file.driver=blklogwrites", f"file.node-name={self.id}-log",
                      "file.file.driver=raw", "file.file.file.driver=file", f"file.file.file.filename={name}",
                      "file.log.driver=file", f"file.log.filename={escape(log)}"]
        else:
            drive.append(f"file={name}")
        device = [DEVICES[self.bus], f"drive={self.id}"]
        args = ["-drive", ",".join([f"if=none,id={self.id}", *drive])]
        if self.bus in CONTROLLERS:
            args += ["-device", ",".join([CONTROLLERS[self.bus], f"id={self.id}-hba", *self.hba])]
            device.append(f"bus={self.id}-hba.0")
        return [*args, "-device", ",".join([*device, *self.device])]


def escape(path: pathlib.Path) -> str:
    """A path as a value in a QEMU option, where a comma is doubled."""
    return str(path).replace(",", ",,")
