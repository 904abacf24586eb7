# SPDX-License-Identifier: GPL-2.0
"""Why there is no verdict."""


class Refused(Exception):
    """The file cannot be judged; that is never a pass."""
