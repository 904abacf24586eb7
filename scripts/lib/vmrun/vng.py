# SPDX-License-Identifier: GPL-2.0
"""virtme-ng."""
from .kit import SetupError
def command(*a):
    raise SetupError("not yet")
