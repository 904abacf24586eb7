# SPDX-License-Identifier: GPL-2.0
"""What the programs share that check promises, each a function named by what must hold; a failed assertion says where."""

import errno
import os
import sys
import traceback


def fails(number, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as e:
        assert e.errno == number, f"{errno.errorcode.get(e.errno)} instead of {errno.errorcode[number]}"
    else:
        raise AssertionError(f"succeeded instead of {errno.errorcode[number]}")


def put(path, data=b"x"):
    with open(path, "wb") as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def cold(path):
    """What the device holds of the file: what is in memory is written and dropped first."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return get(path)


def run(checks):
    """Runs each of checks in a folder of its own, in that which is the program's only argument. The closing line counts; the status is
    for sys.exit()."""
    root = os.path.abspath(sys.argv[1])
    passed = failed = 0
    for check in checks:
        folder = os.path.join(root, check.__name__)
        os.mkdir(folder)
        os.chdir(folder)
        try:
            check()
            passed += 1
        except Exception:
            failed += 1
            print(f"FAIL: {check.__name__}")
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
