"""Rows of the queue table: a file, the heading of a group of files, and the latest error of a file. No Tk."""

from __future__ import annotations

from dataclasses import dataclass

from era5dl.catalog.key_names import KeyName
from era5dl.engine.progress import FileState


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file. Sizes in bytes, speed in bytes per second.

    share: 0 to 1, the fraction of its bytes on disk. reason and kind: of the error for which it failed or is retried,
    as the engine reports them; empty if there is none. checked_because: why it could not be verified.
    """

    index: int
    key: str
    size: int
    share: float
    speed: float
    state: FileState
    proving: bool
    attempts: int
    reason: str
    kind: str
    checked_because: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The heading of the files of one variable. known: one of them; None for files that are not of ERA5.

    files, done: number of its files that are shown, and of those that are finished. size: the sum of all, in bytes.
    """

    known: KeyName | None
    files: int
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class FileError:
    """The latest error of a file. failed: the file has failed; otherwise it is retried."""

    kind: str
    reason: str
    remedy: str
    failed: bool
