# SPDX-License-Identifier: GPL-2.0
"""Where in the sources an instruction comes from, if the module has debug information and binutils' addr2line is there."""

import re
import shutil
import subprocess


class Places:
    """Places in one module."""

    def __init__(self, path):
        self.path = path

    def of(self, function, addr):
        """`file:line` of the innermost function that is not of Rust's own libraries; an offset if nothing is known."""
        known = f"+{addr - function.start:#x}"
        if shutil.which("addr2line") is None:
            return known
        command = ["addr2line", "-i", "-e", self.path, "-j", function.section, hex(addr)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in run.stdout.splitlines():
            m = re.search(r"((?:permfs|rust/crash|rust/vfs)/[\w/]+\.(?:rs|c):\d+)", line)
            if m:
                return m[1]
        return known
