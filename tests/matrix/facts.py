# SPDX-License-Identifier: GPL-2.0
"""What must hold in each cell, as tables, and what the checks ask of a cell that was seen."""

from cell import ENDS, Seen
from machine import Event
from space import Cell

# The handler's deadline, and what its lines may take beside it on an emulated serial console.
DEADLINE = 0.5
PRINTING = 1.0
# From the first notifier to halt or reset: the handler, the kernel's own lines, pstore, and kernel.panic seconds.
KERNEL = 6.0
WAITS = {"once": 1.0, "now": 0.0}
NEXT = {"once": "reboot", "now": "reboot", "watchdog": "halt"}
TIMEOUT = {"once": 1, "now": -1, "watchdog": 0}
NS = 1_000_000_000

# Of the size that the guest's writers use.
SECTORS_A_WRITE = 8

# What the report calls the context.
CONTEXT = {"softirq": "softirq", "hardirq": "hardirq", "nmi": "nmi"}
# The panic's message, a regular expression; sysrq's for the others.
MESSAGE = {"softirq": "panicker: softirq", "hardirq": "panicker: hardirq", "nmi": "panicker: nmi", "spin": "panicker: spin",
           "rust": "Fatal exception.*"}
SYSRQ = "sysrq triggered crash"
INSIDE = "permfs: panic_at"
# States that a volume may be in, by context; then by the device's state.
VOLUME_STATES = {"mount": {"claimed", "mounting"}, "unmount": {"mounted", "unmounting"}, "rust": {"failed"}}
DEVICE_STATES = {"errors": {"mounted", "failed"}, "unplugged": {"mounted", "failed"}}
# Requests that PermFS counts beside those that the device holds: at that point one is counted and not yet submitted.
EXTRA_IN_FLIGHT = {"submit": 1}

# The ways to write and to collect that a device has, as mount and panic name them.
WAYS = {"virtio-poll": ("virtio-poll", "virtio-shared"), "virtio-shared": ("virtio-shared", "virtio-shared"),
        "virtio-scsi": ("virtio-scsi", "virtio-scsi"), "ahci": ("ahci", "ahci"), "nvme-poll": ("nvme-poll", "nvme-reap"),
        "nvme-default": ("nvme-reap", "nvme-reap"), "null-blk": ("none:driver", "none:driver"),
        "dm-linear": ("none:not-mq", "none:not-mq"), "loop": ("none:driver", "none:driver")}
# The volume on the virtio disk beside null_blk.
WITNESS = "vda"
WITNESS_WAYS = ("virtio-shared", "virtio-shared")
# A record must be on the disk in these contexts and states of the device, if it has a way; elsewhere it may be refused.
RECORDED_CONTEXTS = {"process", "softirq", "hardirq", "spin", "commit", "alloc", "unmount", "rust"}
RECORDED_STATES = {"idle", "inflight"}
# With such a device there can be no record, and none may be claimed.
DEAD_STATES = {"never", "errors", "unplugged"}
# All in flight must be collected there.
DRAINED_CONTEXTS = {"process", "softirq", "hardirq", "spin"}


def reports(record: dict | None) -> list[dict]:
    """The panics in what `permfs panic` has read."""
    return (record or {}).get("panics", [])


def end_event(seen: Seen) -> Event:
    return next(event for event in seen.events if event.name in ENDS)


def panicked_at(seen: Seen) -> float | None:
    """When the first notifier, pvpanic's, was called, by QEMU's clock."""
    return next((event.at for event in seen.events if event.name == "GUEST_PANICKED"), None)


def time_to_end(seen: Seen) -> float | None:
    """Seconds from the first notifier to the machine's end, by QEMU's clock."""
    at = panicked_at(seen)
    return None if at is None else end_event(seen).at - at


def asked_since_panic(seen: Seen) -> list:
    """Writes and flushes that the disk was asked for since the first notifier."""
    at = panicked_at(seen)
    return [request for request in seen.requests if request.at > at]


def by_sysrq(cell: Cell) -> bool:
    """Whether the panic is the one that sysrq makes: a mount or unmount may simply hang on its device."""
    return cell.context in ("process", "nested") or (cell.context in ("mount", "unmount") and cell.state == "never")


def message_of(cell: Cell) -> str:
    """What the panic's message must be, a regular expression."""
    return MESSAGE.get(cell.context, SYSRQ if by_sysrq(cell) else INSIDE)


def volumes(seen: Seen) -> dict[str, dict]:
    """The volumes that the report tells of, by name."""
    return {volume["name"]: volume for volume in reports(seen.record)[0]["volumes"]}


def expected_volumes(seen: Seen) -> set[str]:
    """Names of the volumes that are mounted, or on their way."""
    return set() if seen.cell.context == "unload" else set(mounted_ways(seen))


def mounted_ways(seen: Seen) -> dict[str, tuple[str, str]]:
    """The volumes that the cell has mounted at some time, and what their mounts must say of their ways."""
    ways = {seen.kind.volume: WAYS[seen.cell.device]}
    return {**ways, WITNESS: WITNESS_WAYS} if seen.cell.device == "null-blk" else ways


def has_way(cell: Cell) -> bool:
    """Whether the volume on the disk whose log is read has a lane."""
    return cell.device == "null-blk" or not WAYS[cell.device][0].startswith("none")


def disk_volume(seen: Seen) -> str:
    """Name of the volume that is on the disk whose log is read: the witness beside null_blk, else the cell's."""
    return WITNESS if seen.cell.device == "null-blk" else seen.kind.volume


def disk_lane(seen: Seen) -> dict | None:
    """What the report says of that volume's lane."""
    return (volumes(seen).get(disk_volume(seen)) or {}).get("lane")


def is_dead(cell: Cell) -> bool:
    """Whether the disk whose log is read takes no writes."""
    return cell.state in DEAD_STATES and cell.device != "null-blk"


def must_record(seen: Seen) -> bool:
    """Whether there must be a record on the disk."""
    cell = seen.cell
    return has_way(cell) and not is_dead(cell) and cell.context in RECORDED_CONTEXTS


def area_records(seen: Seen, kind: str) -> list[dict]:
    """Records of this panic that the area on the disk without its cache holds."""
    panic = reports(seen.record)[0]["id"]
    found = [record for area in (seen.area or {"areas": []})["areas"] for record in area["records"]]
    return [record for record in found if (record["panic"], record["kind"]) == (panic, kind)]
