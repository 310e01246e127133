"""Simulates a power cut: records what a program does to its files, and restores what may be left at any moment.

`RecordedDisk.recording` records what the program does to the files of one folder. `RecordedDisk.restore_after_cut` then
creates what may be on the disk after a power cut at one moment: of each file the bytes that were synced by then, and of
those written later some, none or zeros; of the names every change that was durable, and some of the later ones.

Two kinds of disk: a "journal" keeps changes of names in order, and every sync also writes all earlier ones (ext4, xfs).
A "strict" disk guarantees only what POSIX does: a name is durable when its own folder was synced.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BLOCK = 4096


@dataclass(frozen=True, slots=True)
class NameChange:
    """A change of names: `path` now refers to this file (None: a folder), `gone` no longer exists."""

    path: str
    file: int | None
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Sync:
    """A file (with the bytes it had) or a folder was synced."""

    path: str
    file: int | None
    data: bytes = b""


Event = NameChange | Sync


class RecordedDisk:
    """Everything that was done to the files under `root`, in order."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[Event] = []
        self._lock = threading.RLock()
        self._files: dict[str, int] = {}  # by their present names
        self._descriptors: dict[int, tuple[str, int | None]] = {}  # descriptor -> name when opened, file
        self._count = 0

    @contextmanager
    def recording(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Record the file operations of this process, in all threads."""
        real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name) for name in ("open", "close", "fsync", "replace", "rename", "unlink", "mkdir")
        }

        def record_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            with self._lock:
                name = _absolute(path, named.get("dir_fd"))
                new = flags & os.O_CREAT and not os.path.lexists(name)
                fd: int = real["open"](path, flags, *rest, **named)
                if self._is_recorded(name):
                    if new:
                        self._count += 1
                        self._files[name] = self._count
                        self.events.append(NameChange(name, self._count))
                    self._descriptors[fd] = name, self._files.get(name)
                return fd

        def record_close(fd: int) -> None:
            with self._lock:
                self._descriptors.pop(fd, None)
                real["close"](fd)

        def record_sync(fd: int) -> None:
            with self._lock:
                if fd in self._descriptors:
                    name, file = self._descriptors[fd]
                    data = b"" if file is None else Path(f"/proc/self/fd/{fd}").read_bytes()
                    self.events.append(Sync(name, file, data))

        def record_rename(source: Any, target: Any, **named: Any) -> None:
            with self._lock:
                before, after = _absolute(source, named.get("src_dir_fd")), _absolute(target, named.get("dst_dir_fd"))
                real["replace"](source, target, **named)
                if self._is_recorded(before):
                    file = self._files.pop(before)
                    self._files[after] = file
                    self.events.append(NameChange(after, file, before))

        def record_unlink(path: Any, **named: Any) -> None:
            with self._lock:
                name = _absolute(path, named.get("dir_fd"))
                real["unlink"](path, **named)
                if self._is_recorded(name):
                    self._files.pop(name, None)
                    self.events.append(NameChange("", None, name))

        def record_mkdir(path: Any, *rest: Any, **named: Any) -> None:
            with self._lock:
                name = _absolute(path, named.get("dir_fd"))
                real["mkdir"](path, *rest, **named)
                if self._is_recorded(name):
                    self.events.append(NameChange(name, None))

        wrappers = {"open": record_open, "close": record_close, "fsync": record_sync, "replace": record_rename}
        wrappers |= {"rename": record_rename, "unlink": record_unlink, "mkdir": record_mkdir}
        with patch.context() as patched:
            for name, function in wrappers.items():
                patched.setattr(os, name, function)
            yield

    def restore_after_cut(self, moment: int, folder: Path, rng: random.Random, *, strict: bool) -> None:
        """Create in `folder` what may be left by a power cut after `moment` events."""
        past, future = self.events[:moment], self.events[moment:]
        names: dict[str, int | None] = {self.root: None}
        for change in _surviving_changes(past, rng, strict=strict):
            names.pop(change.gone, None)
            if change.path:
                names[change.path] = change.file
        for name, file in sorted(names.items()):
            whole_way = all(str(parent) in names for parent in Path(name).parents if parent.is_relative_to(self.root))
            target = folder / Path(name).relative_to(self.root)
            if not whole_way:
                continue
            if file is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(_content_after_cut(file, past, future, rng))

    def _is_recorded(self, path: str) -> bool:
        return path.startswith(self.root)


def _absolute(path: Any, dir_fd: int | None) -> str:
    """Return the absolute path of an argument that may be relative to an open folder; "" for a descriptor."""
    if isinstance(path, int):
        return ""
    if dir_fd is None:
        return os.fspath(path)
    return os.path.normpath(Path(f"/proc/self/fd/{dir_fd}").readlink() / path)


def _surviving_changes(past: list[Event], rng: random.Random, *, strict: bool) -> list[NameChange]:
    """Return the changes of names that survive the power cut."""
    changes: dict[str, list[tuple[int, NameChange]]] = {}  # of each folder; on a journal all are one
    durable: dict[str, int] = {}
    for place, event in enumerate(past):
        if isinstance(event, NameChange):
            where = str(Path(event.path or event.gone).parent) if strict else ""
            changes.setdefault(where, []).append((place, event))
        elif not strict or event.file is None:
            where = event.path if strict else ""
            durable[where] = len(changes.get(where, ()))
    kept: list[tuple[int, NameChange]] = []
    for where, made in changes.items():
        kept += made[: rng.randint(durable.get(where, 0), len(made))]
    return [change for _, change in sorted(kept, key=lambda pair: pair[0])]


def _content_after_cut(file: int, past: list[Event], future: list[Event], rng: random.Random) -> bytes:
    """Return the bytes of a file: what was synced, and some, none or zeros of what was written later."""

    def versions(events: list[Event]) -> list[bytes]:
        return [event.data for event in events if isinstance(event, Sync) and event.file == file]

    sure = (versions(past) or [b""])[-1]
    later = (versions(future) or [sure])[0]  # pages that were on their way
    fate = rng.choice(["lost", "zeros", "some"])
    if fate == "lost" or later == sure:
        return sure
    left = bytearray(sure.ljust(len(later), b"\0"))
    if fate == "some":
        for at in range(0, len(left), BLOCK):
            if rng.random() < 0.5:
                left[at : at + BLOCK] = later[at : at + BLOCK]
    return bytes(left)
