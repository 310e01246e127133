"""Network file systems: whether a file lock (flock) is valid on all computers that share a folder, or only on one.

Linux lists the mounts with their options in /proc/self/mountinfo. A lock on Lustre is valid everywhere only if it was
mounted with `flock`; with `localflock` each computer has its own locks. NFS says `local_lock=none` if the locks are
those of the server. For other file systems, such as GPFS and BeeGFS, that depends on the server, so the answer is no.
"""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = "/proc/self/mountinfo"


def are_locks_shared(path: Path, mounts: str = _MOUNTS) -> bool:
    """Return whether the locks of the file at `path` are certainly valid on all computers. Never fails.

    mounts: file in the format of /proc/self/mountinfo.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            lines = file.read().splitlines()
        folder = os.path.realpath(path.parent)
    except (OSError, ValueError):
        return False
    kind, options = _mount_of(folder, lines)
    if kind in ("nfs", "nfs4"):
        return "local_lock=none" in options and "nolock" not in options
    if kind == "lustre":
        return "flock" in options and "localflock" not in options
    return kind == "ceph"


def _mount_of(folder: str, lines: list[str]) -> tuple[str, set[str]]:
    """Return the file system type and the options of the mount of a folder, the last of the longest path."""
    best, kind, options = -1, "", set[str]()
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields, system = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(system) < 3:
            continue
        point = _unescape(fields[4])
        is_above = folder == point or folder.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= best:
            best, kind, options = len(point), system[0], {*fields[5].split(","), *system[2].split(",")}
    return kind, options


def _unescape(path: str) -> str:
    """Return a path without the octal escapes of the mount list."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escape, character)
    return path
