"""Cache of HDF5 indexes on disk, so that a second selection from the same files needs no requests for their indexes.

One file for each version of an object (server, key, size and ETag), in the user's cache folder. The cache never fails:
what is missing, damaged or unreadable is read from the bucket again. Several processes may use it at the same time.

Anybody can set up a server that has an object with the same key, size and ETag as the bucket, and sends a false index:
units that are wrong, or chunks in other places. Therefore what one server sent is not used for another one.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import Era5Error
from era5dl.folder.atomic_write import rename
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.private_files import FILE_MODE, make_private_folder
from era5dl.hdf5 import Index
from era5dl.subset.index_format import MAX_SIZE, DamagedIndex, decode_index, encode_index
from era5dl.validation import Malformed, read_regular_file

MAX_TOTAL = 256 << 20  # bytes of all files; a monthly file has about 17 kB

_SUFFIX = ".index"
_TEMPORARY = ".tmp"
_ABANDONED = 3600.0  # seconds after which a temporary file belongs to a process that was ended
_PUTS_BETWEEN_SCANS = 1000
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def cache_folder() -> Path:
    """Return the user's cache folder: ERA5DL_STATE_DIR/index, or the system's default for caches."""
    chosen = os.environ.get("ERA5DL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute() / "index"
    import platformdirs  # not needed to import this package

    return platformdirs.user_cache_path("era5dl", appauthor=False) / "index"


def shared_cache(address: str) -> IndexCache | None:
    """Return the cache in the user's cache folder. address: see IndexCache.

    None for a user without a home folder; and without TLS, because an index that was read only once may be wrong then:
    the engine reads it twice, and compares.
    """
    if address.startswith("http:"):
        return None
    try:
        return _cache_in(cache_folder(), address)
    except RuntimeError:
        return None


@lru_cache(maxsize=4)
def _cache_in(folder: Path, address: str) -> IndexCache:
    """Return one object for each folder and server: it counts when files have to be removed."""
    return IndexCache(folder, address)


class IndexCache:
    """The indexes in a folder. Thread-safe; no method raises.

    address: URL of the server, see `era5dl.session.origin.address_of`.
    """

    def __init__(self, folder: Path, address: str = "", *, max_total: int = MAX_TOTAL) -> None:
        self._address = address
        self._max_total = max_total
        self._lock = threading.Lock()
        self._puts = 0
        self._folder = folder

    def get(self, obj: ObjectInfo) -> Index | None:
        """Return the index of this version of an object; None if it is not there, or damaged."""
        path = self._path(obj)
        if path is None:
            return None
        try:
            return decode_index(read_regular_file(path, MAX_SIZE), obj)
        except (OSError, Malformed, DamagedIndex):
            return None

    def put(self, obj: ObjectInfo, index: Index) -> None:
        """Keep the index of this version of an object, and remove the oldest ones if there are too many."""
        path = self._path(obj)
        data = encode_index(obj, index)
        if path is None or len(data) > MAX_SIZE:
            return
        with suppress(OSError, Era5Error):
            make_private_folder(path.parent)
            # not synced: a file that a power cut damages does not have its digest
            temp = ConfinedPath.from_path(path).sibling(f"{path.stem}.{secrets.token_hex(4)}{_TEMPORARY}")
            try:
                with os.fdopen(temp.open(_NEW_FILE, FILE_MODE), "wb") as file:
                    file.write(data)
                rename(temp, path)
            except BaseException:
                temp.unlink(missing_ok=True)
                raise
        with self._lock:
            is_due = self._puts % _PUTS_BETWEEN_SCANS == 0
            self._puts += 1
        if is_due:
            self._remove_oldest(path.parent)

    def _path(self, obj: ObjectInfo) -> Path | None:
        """Return the path of the file for this version of an object; None without an ETag, which names the version."""
        if not obj.etag:
            return None
        version = f"{self._address}\n{obj.key}\n{obj.size}\n{obj.etag}"
        name = blake2b(version.encode(errors="replace"), digest_size=16).hexdigest()
        return self._folder / (name + _SUFFIX)

    def _remove_oldest(self, folder: Path) -> None:
        """Remove the oldest files until those that remain have 90 % of the limit, if they have more than the limit."""
        found = []
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, _TEMPORARY)):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        limit = total if total <= self._max_total else 0.9 * self._max_total
        for modified, size, path in sorted(found):
            is_abandoned = path.endswith(_TEMPORARY) and time.time() - modified > _ABANDONED
            if total > limit or is_abandoned:
                with suppress(OSError):
                    Path(path).unlink()
                    total -= size
