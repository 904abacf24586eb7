# SPDX-License-Identifier: GPL-2.0
"""Reported of names, times and attributes: what servers, builds and containers rely on."""

import ctypes
import os
import pathlib
import struct
import subprocess

from cases import LIBC, case, expect, put, refused, syscall

SYS_GETDENTS64 = 217
O_TMPFILE = 0o20000000 | os.O_DIRECTORY
MERGED = pathlib.Path("/tmp/reported/merged")


def page_of(fd, size):
    """The names that one call of getdents64 gives, with the position behind each."""
    buffer = ctypes.create_string_buffer(size)
    got, at, names = syscall(SYS_GETDENTS64, fd, buffer, size), 0, []
    while at < got:
        _, position, length, _ = struct.unpack_from("=QqHB", buffer, at)
        names.append((buffer.raw[at + 19:at + length].split(b"\0")[0].decode(), position))
        at += length
    return names


@case("a listing goes on at a position that it gave, on a folder opened anew for each page, as NFS servers do")
def pages_of_a_listing(volume):
    count = 1500
    os.mkdir("d")
    os.chdir("d")
    for i in range(count):
        put(f"entry-{i:05}-{'n' * (i % 40)}", b"")
    names, position, pages = [], 0, 0
    while True:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        os.lseek(fd, position, os.SEEK_SET)
        page = page_of(fd, 4096)
        os.close(fd)
        if not page:
            break
        names += [name for name, _ in page if name not in (".", "..")]
        position, pages = page[-1][1], pages + 1
        expect(pages < 2000, "the listing does not end")
    expect(len(names) == len(set(names)) == count, f"{len(names)} names, {len(set(names))} of them different, in {pages} pages")


@case("seekdir goes back to where telldir was")
def telldir_and_seekdir(volume):
    for i in range(1000):
        put(f"entry-{i:05}", b"")
    LIBC.opendir.restype = LIBC.readdir64.restype = ctypes.c_void_p
    LIBC.readdir64.argtypes = LIBC.telldir.argtypes = LIBC.closedir.argtypes = [ctypes.c_void_p]
    LIBC.telldir.restype = ctypes.c_long
    LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
    folder = LIBC.opendir(b".")

    def entry():
        found = LIBC.readdir64(folder)
        return ctypes.string_at(found + 19).decode() if found else None

    for _ in range(700):
        entry()
    place, want = LIBC.telldir(folder), entry()
    for _ in range(200):
        entry()
    LIBC.seekdir(folder, place)
    seen = entry()
    LIBC.closedir(folder)
    expect(seen == want, f"{seen} instead of {want}")


@case("a write or a new name after a stat has another time, however soon it comes", lacks="multigrain timestamps")
def times_tell_changes_apart(volume):
    count = 400
    fd = os.open("source.c", os.O_RDWR | os.O_CREAT, 0o644)
    same, last = [0, 0, 0], os.fstat(fd)
    for i in range(count):
        os.pwrite(fd, b"%8d" % i, 0)
        now = os.fstat(fd)
        same[0] += now.st_mtime_ns == last.st_mtime_ns
        same[1] += now.st_ctime_ns == last.st_ctime_ns
        last = now
    os.close(fd)
    last = os.stat(".")
    for i in range(count):
        put(f"t{i}", b"")
        now = os.stat(".")
        same[2] += now.st_mtime_ns == last.st_mtime_ns
        last = now
    expect(same == [0, 0, 0], f"of {count} changes each, the same mtime, ctime, folder's mtime as before: {same}")


@case("extended attributes of every kind are kept", lacks="extended attributes")
def extended_attributes(volume):
    nobody = 0xFFFFFFFF
    acl = struct.pack("<I" + "HHI" * 5, 2, 1, 6, nobody, 2, 4, 1000, 4, 4, nobody, 16, 6, nobody, 32, 4, nobody)
    values = {
        "user.note": b"x" * 100,
        "trusted.overlay.opaque": b"y",
        "security.capability": bytes.fromhex("0100000200200000000000000000000000000000"),
        "system.posix_acl_access": acl,
    }
    put("f")
    wrong = {name: refused(os.setxattr, "f", name, value) for name, value in values.items()}
    expect(not any(wrong.values()), wrong)
    volume.remount()
    for name in values:
        expect(os.getxattr("f", name) == values[name], f"{name} was not kept")


def overlay(mounted):
    """Mounts the overlay, or unmounts it."""
    if not mounted:
        subprocess.run(("umount", MERGED), check=True)
        return
    lower = MERGED.parent / "lower"
    options = f"lowerdir={lower},upperdir={os.getcwd()}/upper,workdir={os.getcwd()}/work"
    told = subprocess.run(("mount", "-t", "overlay", "overlay", "-o", options, MERGED), capture_output=True, text=True)
    expect(told.returncode == 0, f"overlayfs does not take it as its upper: {told.stderr}")


@case("overlayfs, with its upper on the volume, changes, removes and replaces what its lower has", lacks="whiteouts and xattrs")
def container_layers(volume):
    subprocess.run(("modprobe", "overlay"), check=True)
    lower = MERGED.parent / "lower"
    for folder in (lower / "dir", lower / "old", MERGED, pathlib.Path("upper"), pathlib.Path("work")):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("file", "removed", "dir/a", "old/o"):
        put(lower / name, b"lower\n")
    overlay(True)
    try:
        with open(MERGED / "file", "a") as f:
            f.write("changed\n")
        (MERGED / "removed").unlink()
        subprocess.run(("rm", "-r", MERGED / "dir"), check=True)
        (MERGED / "dir").mkdir()
        put(MERGED / "dir/c")
        subprocess.run(("mv", MERGED / "old", MERGED / "new"), check=True)
        os.link(MERGED / "file", MERGED / "link")
        os.close(os.open(MERGED, os.O_RDWR | O_TMPFILE, 0o644))
        os.setxattr(MERGED / "file", "user.note", b"x")
        overlay(False)
        overlay(True)
        expect((MERGED / "file").read_text() == "lower\nchanged\n", "a changed file of the lower layer")
        names = sorted(p.name for p in MERGED.iterdir()), sorted(p.name for p in (MERGED / "dir").iterdir())
        expect(names == (["dir", "file", "link", "new"], ["c"]), f"after another mount of the overlay there are {names}")
    finally:
        subprocess.run(("umount", MERGED), check=False)


@case("what a control group's processes write to the cache is counted as theirs", lacks="cgroup writeback")
def io_of_containers(volume):
    root = pathlib.Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        subprocess.run(("mount", "-t", "cgroup2", "cgroup2", root), check=True)
    (root / "cgroup.subtree_control").write_text("+io +memory")
    group = root / "reported"
    group.mkdir(exist_ok=True)
    written = 24 << 20
    subprocess.run(("bash", "-c", f"echo $$ >{group}/cgroup.procs && exec dd if=/dev/zero of=f bs=1M count=24 status=none"), check=True)
    os.sync()
    number = os.stat(volume.device).st_rdev
    mine = [line for line in (group / "io.stat").read_text().splitlines() if line.startswith(f"{os.major(number)}:{os.minor(number)} ")]
    counted = int(mine[0].split("wbytes=")[1].split()[0]) if mine else 0
    group.rmdir()
    expect(counted >= written // 2, f"{counted >> 10} of {written >> 10} KiB are counted")


@case("a file can be swapped to", lacks="swap files")
def swap_file(volume):
    with open("swap", "wb") as f:
        f.write(bytes(24 << 20))
        os.fsync(f.fileno())
    os.chmod("swap", 0o600)
    subprocess.run(("mkswap", "swap"), check=True, stdout=subprocess.DEVNULL)
    told = subprocess.run(("swapon", "swap"), capture_output=True, text=True)
    expect(told.returncode == 0, told.stderr)
    subprocess.run(("swapoff", "swap"), check=True)
    os.unlink("swap")
