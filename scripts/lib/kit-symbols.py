#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compares the Rust symbols a kernel build tree exports with those of the stock kernel's Module.symvers.

usage: kit-symbols.py MODULE.SYMVERS RUST-FOLDER

Exit status 0 if every `EXPORT_SYMBOL_RUST_GPL(name)` in RUST-FOLDER/exports_*_generated.h stands in MODULE.SYMVERS.
"""

import pathlib
import re
import sys


def main() -> int:
    symvers, rust = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    # A line is: CRC, symbol, module, kind of export, namespace; separated by tabs.
    stock = {line.split("\t")[1] for line in symvers.read_text().splitlines()}
    headers = sorted(rust.glob("exports_*_generated.h"))
    ours = {name for h in headers for name in re.findall(r"EXPORT_SYMBOL_RUST_GPL\((\w+)\)", h.read_text())}
    if not ours:
        print(f"no exported Rust symbol in {rust}: the tree is not built with CONFIG_RUST")
        return 1
    missing = sorted(ours - stock)
    for name in missing[:20]:
        print(f"not exported by the stock kernel: {name}")
    print(f"{len(ours) - len(missing)} of {len(ours)} Rust symbols are exported by the stock kernel")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
