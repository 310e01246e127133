"""How much room a folder has, and whether it is enough."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from era5dl.errors import WillNotFit
from era5dl.folder.disk_errors import disk_errors
from era5dl.formatting import size

_TRIAL = 1 << 20  # bytes: what is written at once, so that the last crumbs of a quota do not pass for room


def free_bytes(folder: Path) -> int:
    """Bytes this user can still write under `folder`, which need not exist yet. Raises FolderUnusable."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    with disk_errors(folder):
        return shutil.disk_usage(existing).free


def check_free(folder: Path, needed: int, reserve: int) -> None:
    """Raise WillNotFit, with figures, unless `needed` bytes fit and `reserve` bytes stay free for everybody else."""
    free = free_bytes(folder)
    if needed + reserve > free:
        raise WillNotFit(
            f"{size(needed)} are to be written to {folder} and {size(reserve)} kept free, but only {size(free)} are "
            f"free: {size(needed + reserve - free)} too little"
        )


def is_writable(folder: Path, amount: int = _TRIAL) -> bool:
    """Whether a file of `amount` bytes can be written in `folder` right now: after disk trouble."""
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            for _ in range(max(amount, _TRIAL) // _TRIAL):
                trial.write(bytes(_TRIAL))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError:
        return False
    return True
