# SPDX-License-Identifier: GPL-2.0
"""Where the panic path of a module begins, told by names."""

import re

from .refused import Refused

# `crash::panic::Registration<N>::call`, mangled, for whatever N, in whatever crate it was made.
NOTIFIER = r"^_R.*5crash5panic.*12Registration.*4call(B\w*_)?$"
# And in the same way `crash::die::DieRegistration::call`, `crash::kmsg::Dumper::call`, `crash::pstore::Registration::write`.
OTHERS = [
    r"^_R.*5crash3die.*15DieRegistration.*4call(B\w*_)?$",
    r"^_R.*5crash4kmsg.*6Dumper.*4call(B\w*_)?$",
    r"^_R.*5crash6pstore.*12Registration.*5write(B\w*_)?$",
]
# What runs in a panic whoever calls it: `crash::lane::at_panic::*`. It is there with PANIC=n, too.
LANE = r"^_RNv(?:Nt)+Cs\w*_5crash4lane8at_panic\d"


def matching(mod, pattern):
    """Functions whose mangled names match."""
    return [f for name, f in mod.functions.items() if re.search(pattern, name)]


def find(mod, pattern=None):
    """Those of a pattern, or all of the panic path; there must be a panic notifier."""
    found = matching(mod, pattern or NOTIFIER)
    if not found:
        raise Refused(f"no function of {mod.path} is a panic notifier (/{pattern or NOTIFIER}/)")
    if not pattern:
        found += [f for p in (*OTHERS, LANE) for f in matching(mod, p) if f not in found]
    return found
