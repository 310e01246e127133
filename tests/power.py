"""A disk that remembers what was synced: what a power cut would have left, at any moment of a program's life.

`Disk.watching` follows what the program does to the files of one folder. `Disk.after_cut` then builds what may be there
after the power went at a moment: of each file the bytes that were synced by then, and of those written since some, none
or zeros; of the names each change that was made durable, and of the later ones some.

Two kinds of disk: a "journal" keeps changes of names in their order, and any sync writes all before it (ext4, xfs); a
"strict" one promises no more than POSIX does: a name is durable when its own folder was synced, each folder for itself.
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
class Named:
    """A change of names: `path` now means this file (None: a folder); `gone` means nothing any more."""

    path: str
    file: int | None
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Synced:
    """A file (with the bytes it had) or a folder was synced."""

    path: str
    file: int | None
    data: bytes = b""


class Disk:
    """What was done to the files under `root`, in order."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[Named | Synced] = []
        self._lock = threading.RLock()
        self._files: dict[str, int] = {}  # by their present names
        self._open: dict[int, tuple[str, int | None]] = {}  # descriptor -> name when opened, file
        self._count = 0

    @contextmanager
    def watching(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Follow this program, all its threads."""
        real: dict[str, Callable[..., Any]] = {
            name: getattr(os, name) for name in ("open", "close", "fsync", "replace", "rename", "unlink", "mkdir")
        }

        def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            with self._lock:
                name = _whole(path, named.get("dir_fd"))
                new = flags & os.O_CREAT and not os.path.lexists(name)
                fd: int = real["open"](path, flags, *rest, **named)
                if self._is_ours(name):
                    if new:
                        self._count += 1
                        self._files[name] = self._count
                        self.events.append(Named(name, self._count))
                    self._open[fd] = name, self._files.get(name)
                return fd

        def closed(fd: int) -> None:
            with self._lock:
                self._open.pop(fd, None)
                real["close"](fd)

        def synced(fd: int) -> None:
            with self._lock:
                if fd in self._open:
                    name, file = self._open[fd]
                    data = b"" if file is None else Path(f"/proc/self/fd/{fd}").read_bytes()
                    self.events.append(Synced(name, file, data))

        def moved(source: Any, target: Any, **named: Any) -> None:
            with self._lock:
                before, after = _whole(source, named.get("src_dir_fd")), _whole(target, named.get("dst_dir_fd"))
                real["replace"](source, target, **named)
                if self._is_ours(before):
                    file = self._files.pop(before)
                    self._files[after] = file
                    self.events.append(Named(after, file, before))

        def removed(path: Any, **named: Any) -> None:
            with self._lock:
                name = _whole(path, named.get("dir_fd"))
                real["unlink"](path, **named)
                if self._is_ours(name):
                    self._files.pop(name, None)
                    self.events.append(Named("", None, name))

        def made(path: Any, *rest: Any, **named: Any) -> None:
            with self._lock:
                name = _whole(path, named.get("dir_fd"))
                real["mkdir"](path, *rest, **named)
                if self._is_ours(name):
                    self.events.append(Named(name, None))

        ours = {"open": opened, "close": closed, "fsync": synced, "replace": moved, "rename": moved}
        with patch.context() as patched:
            for name, function in {**ours, "unlink": removed, "mkdir": made}.items():
                patched.setattr(os, name, function)
            yield

    def after_cut(self, moment: int, folder: Path, dice: random.Random, *, strict: bool) -> None:
        """Build in `folder` what may be left when the power goes after so many events."""
        past, future = self.events[:moment], self.events[moment:]
        names: dict[str, int | None] = {self.root: None}
        for change in _surviving(past, dice, strict=strict):
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
                target.write_bytes(_left_of(file, past, future, dice))

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self.root)


def _whole(path: Any, dir_fd: int | None) -> str:
    """The path of what is named, perhaps relative to an open folder; "" for a descriptor."""
    if isinstance(path, int):
        return ""
    if dir_fd is None:
        return os.fspath(path)
    return os.path.normpath(Path(f"/proc/self/fd/{dir_fd}").readlink() / path)


def _surviving(past: list[Named | Synced], dice: random.Random, *, strict: bool) -> list[Named]:
    """The changes of names that are there after the cut."""
    changes: dict[str, list[tuple[int, Named]]] = {}  # of each folder; on a journal all are one
    durable: dict[str, int] = {}
    for place, event in enumerate(past):
        if isinstance(event, Named):
            where = str(Path(event.path or event.gone).parent) if strict else ""
            changes.setdefault(where, []).append((place, event))
        elif not strict or event.file is None:
            where = event.path if strict else ""
            durable[where] = len(changes.get(where, ()))
    kept: list[tuple[int, Named]] = []
    for where, made in changes.items():
        kept += made[: dice.randint(durable.get(where, 0), len(made))]
    return [change for _, change in sorted(kept, key=lambda pair: pair[0])]


def _left_of(file: int, past: list[Named | Synced], future: list[Named | Synced], dice: random.Random) -> bytes:
    """The bytes of a file: what was synced, and something, nothing or zeros where more was written."""

    def versions(events: list[Named | Synced]) -> list[bytes]:
        return [event.data for event in events if isinstance(event, Synced) and event.file == file]

    sure = (versions(past) or [b""])[-1]
    later = (versions(future) or [sure])[0]  # pages that were on their way
    fate = dice.choice(["lost", "zeros", "some"])
    if fate == "lost" or later == sure:
        return sure
    left = bytearray(sure.ljust(len(later), b"\0"))
    if fate == "some":
        for at in range(0, len(left), BLOCK):
            if dice.random() < 0.5:
                left[at : at + BLOCK] = later[at : at + BLOCK]
    return bytes(left)
