# SPDX-License-Identifier: GPL-2.0
"""Reads what the cell before left: its report in pstore, its volume."""

import json
import os
import pathlib

from common import BELOW, OTHER, Failed, fsync, lost, mount, run


def pstore_files() -> dict[str, int]:
    return {f.name: f.stat().st_size for f in sorted(pathlib.Path("/sys/fs/pstore").iterdir())}


def read_pstore() -> dict:
    """What /sys/fs/pstore holds and what `permfs panic` makes of it; empties it."""
    files = pstore_files()
    done = run("permfs", "panic", "--json", "/sys/fs/pstore", check=False)
    for name in files:
        os.unlink(f"/sys/fs/pstore/{name}")
    return {"files": files, "status": done.returncode, "json": json.loads(done.stdout) if done.stdout else None,
            "backend": pathlib.Path("/sys/module/pstore/parameters/backend").read_text().strip()}


def verify(spec: dict) -> dict:
    """Reads the pstore and mounts the volumes of the cell before; the host judges what is found."""
    seen = {"volumes": [], "pstore": None}
    if spec["pstore"] != "ours":
        seen["pstore"] = read_pstore()
    for volume in spec["volumes"]:
        device = volume["device"]
        found = {"name": volume["name"], "mounted": False, "lost": [], "error": None}
        try:
            if volume.get("file"):
                run("modprobe", "loop")
                mount(device, BELOW, "ext4")
                device = run("losetup", "--find", "--show", str(BELOW / volume["file"])).stdout.strip()
            mount(device, OTHER)
            found["mounted"] = True
            found["lost"] = lost(OTHER, volume["seed"])
            if spec["pstore"] == "ours":
                found["pstore"] = read_pstore()
            (OTHER / "after").write_bytes(b"written after the panic")
            fsync(OTHER / "after")
            run("umount", str(OTHER))
            if volume.get("file"):
                run("losetup", "-d", device)
                run("umount", str(BELOW))
        except (Failed, OSError) as error:
            found["error"] = str(error)
        seen["volumes"].append(found)
    seen["log"] = [line for line in run("dmesg").stdout.splitlines() if "permfs" in line]
    return seen
