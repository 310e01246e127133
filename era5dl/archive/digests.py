"""Digests of the files of an archive: reads a file once, and computes its SHA-256 and the MD5 of its ETag."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from era5dl.errors import Stopped
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.proof.etag import EtagMd5, etag_md5, likely_part_sizes

_READ_SIZE = 4 << 20  # bytes


@dataclass(frozen=True, slots=True)
class FileDigests:
    """What was read of a file. size: in bytes; modified: ns since 1970. sha256, md5: hex; "" if not computed.

    matches_etag: whether it has the MD5 of the ETag; None if the ETag has none.
    """

    size: int
    modified: int
    sha256: str = ""
    md5: str = ""
    matches_etag: bool | None = None


def read_digests(
    root: Path, path: Path, *, etag: str = "", sha256: bool = True, md5: bool = False, stopped: Callable[[], bool]
) -> FileDigests:
    """Read a file below `root` and return its digests. etag: that its bytes should have; "" if it has no MD5.

    If no digest is asked for, only its size is returned.

    Raises DiskErrors, UnsafeKey if the file is not below `root`, and Stopped.
    """
    with translate_disk_errors(path), ConfinedPath.below(root, path).open_for_reading() as file:
        status = os.fstat(file.fileno())
        hashes = _Hashes(status.st_size, etag_md5(etag), sha256=sha256, md5=md5)
        while not hashes.is_empty and (data := file.read(_READ_SIZE)):
            if stopped():
                raise Stopped("while a file is read")
            hashes.update(data)
    return FileDigests(status.st_size, status.st_mtime_ns, hashes.sha256, hashes.md5, hashes.matches_etag())


class _Hashes:
    """The hashes of one file: SHA-256, MD5, and those of the likely parts of a multipart upload."""

    def __init__(self, size: int, expected: EtagMd5 | None, *, sha256: bool, md5: bool) -> None:
        self._expected = expected
        self._sha256: Any = hashlib.sha256() if sha256 else None
        is_single = expected is not None and expected.parts is None
        self._md5: Any = _new_md5() if md5 or is_single else None
        self._multipart: list[_Multipart] = []
        if expected is not None and expected.parts is not None:
            self._multipart = [_Multipart(part) for part in likely_part_sizes(size, expected.parts)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is computed, so that the file need not be read."""
        return self._sha256 is None and self._md5 is None and not self._multipart

    def update(self, data: bytes) -> None:
        """Hash the next bytes."""
        for one in (self._sha256, self._md5, *self._multipart):
            if one is not None:
                one.update(data)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest() if self._sha256 else ""

    @property
    def md5(self) -> str:
        return self._md5.hexdigest() if self._md5 else ""

    def matches_etag(self) -> bool | None:
        """Whether the bytes have the MD5 of the ETag; None if there is none, or its part size is not known."""
        if self._expected is None:
            return None
        if self._expected.parts is None:
            return self.md5 == self._expected.md5
        if not self._multipart:
            return None
        return any(one.hexdigest() == self._expected.md5 for one in self._multipart)


class _Multipart:
    """The MD5 in the ETag of a multipart upload with parts of `part_size` bytes."""

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._whole, self._part = _new_md5(), _new_md5()
        self._remaining = part_size

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            piece = view[: self._remaining]
            self._part.update(piece)
            self._remaining -= len(piece)
            view = view[len(piece) :]
            if not self._remaining:
                self._end_part()

    def hexdigest(self) -> str:
        if self._remaining < self._part_size:
            self._end_part()
        return str(self._whole.hexdigest())

    def _end_part(self) -> None:
        self._whole.update(self._part.digest())
        self._part, self._remaining = _new_md5(), self._part_size


def _new_md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
