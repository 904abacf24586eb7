# SPDX-License-Identifier: GPL-2.0
"""The parts of scripts/vm: options, what goes into the guest, QEMU's command line, and the run itself."""
