"""The lock an operating system keeps on an open file, and drops by itself when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys

_HELD = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_NOT_HERE = {
    errno.ENOSYS,  # Lustre mounted without -o flock
    errno.ENOLCK,  # NFS without its lock daemon
    errno.EINVAL,
    errno.EOPNOTSUPP,
    getattr(errno, "ENOTSUP", errno.EOPNOTSUPP),
}


class Unsupported(OSError):
    """This file system has no such locks."""


def try_lock(fd: int) -> bool:
    """Take the lock if nobody has it. Raises Unsupported; OSError when the disk fails.

    Also within one process: two open files are two owners.
    """
    try:
        _lock(fd)
    except OSError as exc:
        if exc.errno in _HELD:
            return False
        if exc.errno in _NOT_HERE:
            raise Unsupported(exc.errno, exc.strerror) from exc
        raise
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        """One byte far behind the text: Windows keeps everybody else from reading a locked byte."""
        os.lseek(fd, 2**30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        """flock, not fcntl locks: those are lost when any other descriptor of the file is closed."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
