# SPDX-License-Identifier: GPL-2.0
"""QEMU's command line for the test machine."""

import pathlib
import shlex
import shutil
import subprocess

from . import payload
from .disks import escape
from .kit import Kit

# Faster under emulation and without a part in what is tested; nokaslr makes addresses in logs comparable. Without no_timer_check
# a guest whose emulator gets no processor for some ticks panics at boot, for it takes its timer for broken (seen on a
# machine with three times as much to do as it has processors).
BOOT = ("mitigations=off nokaslr init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off "
        "damon_stat.enabled=N audit=0 apparmor=0 oops=panic no_timer_check")
# The kernel clears the boot CPU's feature bits and finds them out anew. To an interrupt in between, five levels of page tables
# look like four, and KASAN, which then looks for its shadow elsewhere, reports a good access (seen in one boot of four).
BOOT_DEBUG = "no5lvl"


def accelerator(kit: Kit, folder: pathlib.Path) -> str:
    """`kvm` where it boots a guest, else `tcg`. /dev/kvm alone proves nothing; the answer holds until the host reboots."""
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = kit.cache / "kvm-probe"
    if known.exists() and known.read_text().split()[:1] == [boot_id]:
        return known.read_text().split()[1]
    answer = "tcg"
    if pathlib.Path("/dev/kvm").exists():
        initrd = folder / "probe.img"
        payload.write_probe(initrd, kit.initrd)
        args, env = kit.program("qemu-system-x86_64")
        args += base(kit) + ["-accel", "kvm", "-cpu", "host", "-m", "512M", "-no-reboot", "-kernel",
                             str(kit.vmlinuz("stock")), "-initrd", str(initrd), "-append", "panic=-1 quiet"]
        try:
            done = subprocess.run(args, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
            answer = "kvm" if done.returncode == 0 else "tcg"
        except subprocess.TimeoutExpired:
            pass
    known.with_suffix(f".{folder.name}").write_text(f"{boot_id} {answer}\n")
    known.with_suffix(f".{folder.name}").rename(known)
    return answer


def base(kit: Kit) -> list[str]:
    """A bare q35 machine, with the root's firmware."""
    share = kit.root / "usr/share"
    return ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35",
            "-L", str(share / "qemu"), "-L", str(share / "seabios")]


def append(opts) -> str:
    """The guest kernel's command line."""
    words = [f"panic={opts.panic_timeout}", BOOT] + ([BOOT_DEBUG] if opts.kernel == "debug" else [])
    words.append("loglevel=7" if opts.verbose else "quiet loglevel=4")
    return " ".join(words + opts.append)


def devices(opts, kit: Kit, folder: pathlib.Path, disks: list) -> list[str]:
    """What the test machine has besides processor and memory, the same under every launcher."""
    args = ["-device", "virtio-serial-pci,id=permfs,max_ports=8"]
    ports = {"permfs.ctl": folder / "ctl", "permfs.out": folder / "out"}
    if opts.ack:
        ports["permfs.ack"] = pathlib.Path(opts.ack).absolute()
    for n, (name, path) in enumerate(ports.items()):
        more = ",append=on" if name == "permfs.ack" else ""
        args += ["-chardev", f"file,id=port{n},path={escape(path)}{more}",
                 "-device", f"virtserialport,bus=permfs.0,chardev=port{n},name={name}"]
    for disk in disks:
        args += disk.arguments()
    if opts.erst:
        args += store("erst", opts.erst, 0x10000) + ["-device", "acpi-erst,memdev=erst"]
    if opts.ramoops:
        args += store("ramoops", opts.ramoops, 0x100000) + ["-device", "ivshmem-plain,memdev=ramoops"]
    if opts.efi:
        args += efi(opts.efi, kit)
    if opts.share:
        args += ["-virtfs", f"local,path={escape(pathlib.Path(opts.share).absolute())},mount_tag=share,"
                            "security_model=none,multidevs=remap"]
    for words in opts.qemu:
        args += shlex.split(words)
    return args


def store(name: str, path: str, size: int) -> list[str]:
    """Memory in a file, which outlives the machine; made with `size` bytes if the file is not there."""
    file = pathlib.Path(path).absolute()
    if not file.exists() or file.stat().st_size < size:
        with open(file, "ab") as out:
            out.truncate(size)
    return ["-object", f"memory-backend-file,id={name},mem-path={escape(file)},size={file.stat().st_size},share=on"]


def efi(path: str, kit: Kit) -> list[str]:
    """UEFI firmware instead of the BIOS, with its variables in a file; made from the empty store if it is not there."""
    file, empty = pathlib.Path(path).absolute(), kit.firmware / "OVMF_VARS_4M.fd"
    if not file.exists() or file.stat().st_size < empty.stat().st_size:
        shutil.copyfile(empty, file)
    code = escape(kit.firmware / "OVMF_CODE_4M.fd")
    return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
            "-drive", f"if=pflash,unit=1,format=raw,file={escape(file)}"]


def command(opts, kit: Kit, folder: pathlib.Path, disks: list) -> tuple[list[str], dict[str, str]]:
    """Argument list and environment of a direct QEMU launch: fast and clean under emulation."""
    args, env = kit.program("qemu-system-x86_64")
    args += base(kit)
    if opts.icount:
        # The clock jumps over idle time: what passes is what is executed.
        args += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm"]
        opts.cpus = 1
    elif accelerator(kit, folder) == "kvm":
        args += ["-accel", "kvm", "-cpu", "host"]
    else:
        # The string instructions' fast forms are slow when they are emulated.
        args += ["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"]
    args += ["-smp", str(opts.cpus), "-m", opts.mem, "-no-reboot", "-device", "virtio-rng-pci",
             "-serial", f"file:{escape(folder / 'console')}",
             "-kernel", str(kit.vmlinuz(opts.kernel)), "-initrd", str(folder / "initrd"),
             "-append", f"console=ttyS0 {append(opts)} tsc=reliable"]
    args += devices(opts, kit, folder, disks)
    # Devices are named in the order of their addresses, and these two come last: what the caller gave comes first.
    if opts.corpus:
        args += image(kit.corpus, "permfs-corpus", "1d")
    args += image(kit.image, "permfs-root", "1e")
    return args, env


def image(path: pathlib.Path, serial: str, slot: str) -> list[str]:
    return ["-drive", f"if=none,id={serial},file={escape(path)},format=raw,readonly=on,cache=writeback",
            "-device", f"virtio-blk-pci,drive={serial},serial={serial},addr={slot}"]
