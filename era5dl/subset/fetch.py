"""Fetches a subset of one object, for use in Python: reads its index, fetches the needed chunks, writes the file.

    from era5dl.subset.fetch import fetch_subset

    fetch_subset(bucket, bucket.head(key), Subset(hours=(0, 12), area=Area(54, 73, 18, 135)), Path("china.nc"))

All requests are for the same version of the object (If-Match). Failed requests are repeated a few times. The engine is
not involved: a call that was interrupted starts again from the beginning.
"""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import accumulate
from pathlib import Path
from types import ModuleType, TracebackType

from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog.keys import parse_key
from era5dl.errors import ProofError, UsageError
from era5dl.folder.atomic_write import make_folders
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.hdf5 import DamagedChunk, UnsupportedLayout
from era5dl.ranges import Range
from era5dl.subset.range_requests import RangeRequests
from era5dl.subset.ranges import plan_file
from era5dl.subset.read_index import PARALLEL, index_through
from era5dl.subset.selection import Subset

INSTALL = 'pip install "era5dl[subset]"'


@dataclass(frozen=True, slots=True)
class Fetched:
    """The numbers of bytes that were fetched, for the index and for the chunks."""

    index: int
    chunks: int


def fetch_subset(bucket: Bucket, obj: ObjectInfo, subset: Subset, path: Path, *, parallel: int = 8) -> Fetched:
    """Fetch a subset of this version of an object in up to `parallel` requests at a time, and write it to `path`.

    The values are those of the object bit for bit; each chunk was verified by its Adler-32 checksum and its size.
    Raises BadSelection if nothing is selected, UnsupportedLayout for an object that has to be fetched whole,
    DamagedFile for one that is not a complete HDF5 file, ProofError if a chunk is still damaged after a second fetch,
    BucketErrors (ObjectChanged for another version), DiskErrors, and UsageError without h5py.
    """
    writer = import_writer()
    key = parse_key(obj.key)
    if key is None:
        raise UnsupportedLayout(f"{obj.key}, which is not an ERA5 file")
    index_requests = RangeRequests(bucket, obj, max(parallel, PARALLEL))
    part = plan_file(index_through(index_requests), key, subset)
    requests = RangeRequests(bucket, obj, parallel)
    provenance = writer.Provenance(obj.key, obj.etag, datetime.now(timezone.utc))
    with translate_disk_errors(path):
        make_folders(path.parent)
        with _PackedFile(path.parent, part.ranges()) as packed:
            requests.fetch(part.ranges(), packed.put)
            fetched_again: set[Range] = set()
            while True:
                try:
                    writer.write_subset(path, part, packed.get, provenance)
                    break
                except DamagedChunk as error:
                    if error.range in fetched_again:
                        raise ProofError(f"{obj.key}: {error}") from error
                    fetched_again.add(error.range)
                    requests.fetch([error.range], packed.put)
    return Fetched(index_requests.received, requests.received)


def import_writer() -> ModuleType:
    """Return the module that writes subsets. Raises UsageError, with the install command, if h5py is missing."""
    try:
        from era5dl.subset import write
    except ImportError:
        raise UsageError("Subsets of files need h5py, which is not installed.", remedy=INSTALL) from None
    return write


class _PackedFile:
    """Byte ranges of an object, one after the other in a temporary file that is deleted when it is closed."""

    def __init__(self, folder: Path, ranges: list[Range]) -> None:
        self._starts = [start for start, _ in ranges]
        self._places = [0, *accumulate(stop - start for start, stop in ranges)]
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._lock = threading.Lock()

    def put(self, start: int, data: bytes) -> None:
        """Store these bytes, which are within one of the ranges."""
        with self._lock:
            self._file.seek(self._place(start))
            self._file.write(data)

    def get(self, start: int, length: int) -> bytes:
        """Return bytes within one of the ranges."""
        with self._lock:
            self._file.seek(self._place(start))
            return self._file.read(length)

    def _place(self, offset: int) -> int:
        index = bisect_right(self._starts, offset) - 1
        return self._places[index] + offset - self._starts[index]

    def __enter__(self) -> _PackedFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._file.close()
