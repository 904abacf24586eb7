# SPDX-License-Identifier: GPL-2.0
"""The classes of devices that panics are timed on: how each is made. A class is one entry here, and nothing elsewhere."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Class:
    """A class of devices: the way its lane must have, its drivers' modules, their parameters (in /sys/module), QEMU's devices.

    `devices` are for one disk, the last being the disk itself; the first is plugged into a PCI port.
    """

    way: str
    modules: tuple[str, ...]
    parameters: dict[str, int]
    devices: tuple[dict[str, object], ...]


VIRTIO, SCSI, NVME = "virtio_blk", "virtio_scsi", "nvme"
CLASSES = {
    "virtio-poll": Class("virtio-poll", (VIRTIO,), {f"{VIRTIO}/parameters/poll_queues": 1}, ({"driver": "virtio-blk-pci"},)),
    "virtio-shared": Class("virtio-shared", (VIRTIO,), {f"{VIRTIO}/parameters/poll_queues": 0}, ({"driver": "virtio-blk-pci"},)),
    "virtio-scsi": Class("virtio-scsi", (SCSI, "sd_mod"), {}, ({"driver": "virtio-scsi-pci"}, {"driver": "scsi-hd"})),
    "nvme-poll": Class("nvme-poll", (NVME,), {f"{NVME}/parameters/poll_queues": 1}, ({"driver": "nvme"},)),
    "nvme-reap": Class("nvme-reap", (NVME,), {f"{NVME}/parameters/poll_queues": 0}, ({"driver": "nvme"},)),
}
