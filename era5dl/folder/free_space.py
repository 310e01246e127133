"""Free disk space: its amount, whether a download fits, and whether a folder can be created and is writable."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from era5dl.errors import FolderUnusable, WillNotFit
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import format_size

_TEST_BYTES = 1 << 20  # minimum of a test write: the last few bytes of a quota do not count as free space


def free_bytes(folder: Path) -> int:
    """Return the free bytes for this user on the disk of `folder`, which need not exist. Raises FolderUnusable."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    with translate_disk_errors(folder):
        return shutil.disk_usage(existing).free


def check_free(folder: Path, needed: int, reserve: int) -> None:
    """Raise WillNotFit unless `needed` bytes fit into `folder` and `reserve` bytes remain free."""
    free = free_bytes(folder)
    if needed + reserve > free:
        short = needed + reserve - free
        raise WillNotFit(
            f"not enough space in {folder}: {format_size(needed)} to write and {format_size(reserve)} to keep free, "
            f"but only {format_size(free)} are free ({format_size(short)} too little)"
        )


def check_creatable(folder: Path) -> None:
    """Raise FolderUnusable if `folder`, or its nearest parent that exists, is not a folder that this user may write to.

    Called before planning, which can take minutes. Writes nothing, so other errors are found only when it is used.
    """
    target = folder.absolute()
    own = target / OWN_FOLDER
    existing = next((path for path in (own, *own.parents) if os.path.lexists(path)), target)
    is_missing = existing in target.parents
    what = f"{target} cannot be created" if is_missing else f"{target} is unusable"
    if not os.path.isdir(existing):  # noqa: PTH112 - raises no errors
        raise FolderUnusable(
            f"{what}: {existing} is not a folder", remedy="Move that file or link away, or choose another folder."
        )
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise FolderUnusable(f"{what}: you may not write in {existing}")
    with contextlib.suppress(OSError):
        if is_missing and shutil.disk_usage(existing).total == 0:  # such as /proc, where root has all permissions
            raise FolderUnusable(f"{what}: {existing} is not on a disk", remedy="Choose another folder.")


def is_writable(folder: Path, amount: int = _TEST_BYTES) -> bool:
    """Return whether a file of `amount` bytes can be written in `folder`. Used after a disk error."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(max(amount, _TEST_BYTES) // _TEST_BYTES):
                file.write(bytes(_TEST_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True
