"""Fetches a subset of one object from Python: reads its index, fetches the chunks that are needed, writes the file.

    from era5dl.subset.fetch import fetch_subset

    fetch_subset(bucket, bucket.head(key), Subset(hours=(0, 12), area=Area(54, 73, 18, 135)), Path("china.nc"))

All requests are for the same version of the object (If-Match). Failed requests are repeated a few times. The engine is
not involved: a call that was interrupted starts again from the beginning.
"""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import ModuleType, TracebackType

from era5dl.bucket.cancellation import Abort, current_abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog.keys import parse_key
from era5dl.errors import Interrupted, ProofError, UsageError
from era5dl.folder.atomic_write import make_folders
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.hdf5 import (
    DamagedChunk,
    Index,
    MissingBytes,
    SparseBytes,
    UnsupportedLayout,
    first_ranges,
    read_index,
)
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.ranges import Range
from era5dl.subset.ranges import coalesce, plan_file
from era5dl.subset.selection import Subset

INSTALL = 'pip install "era5dl[subset]"'

_PIECE = 8 << 20  # bytes of a request


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes that were fetched for the index and for the chunks."""

    index: int
    chunks: int


def fetch_subset(bucket: Bucket, obj: ObjectInfo, subset: Subset, path: Path, *, parallel: int = 8) -> Fetched:
    """Fetch a subset of this version of an object in up to `parallel` requests at a time, and write it to `path`.

    The values are those of the object bit for bit; each chunk was verified by its Adler-32 and its size. Raises
    BadSelection when nothing is selected, UnsupportedLayout for an object of which all has to be fetched, DamagedFile
    for one that is not a complete HDF5 file, ProofError when a chunk stays damaged, BucketErrors (ObjectChanged for
    another version) and DiskErrors, and UsageError without h5py.
    """
    writer = _import_writer()
    key = parse_key(obj.key)
    if key is None:
        raise UnsupportedLayout(f"{obj.key}, which is not an ERA5 file")
    requests = _Requests(bucket, obj, parallel)
    part = plan_file(_fetch_index(requests), key, subset)
    index_bytes = requests.received
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
    return Fetched(index_bytes, requests.received - index_bytes)


def _import_writer() -> ModuleType:
    try:
        from era5dl.subset import write
    except ImportError:
        raise UsageError("Subsets of files need h5py, which is not installed.", remedy=INSTALL) from None
    return write


def _fetch_index(requests: _Requests) -> Index:
    source = SparseBytes(requests.obj.size)
    missing = first_ranges(requests.obj.size)
    while True:  # the reader limits the rounds and the bytes
        requests.fetch(coalesce(missing), source.add)
        try:
            return read_index(source)
        except MissingBytes as error:
            missing = error.ranges


class _Requests:
    """Range requests for one version of an object. received: number of bytes."""

    def __init__(self, bucket: Bucket, obj: ObjectInfo, parallel: int) -> None:
        self.obj = obj
        self.received = 0
        self._bucket = bucket
        self._parallel = parallel
        self._lock = threading.Lock()

    def fetch(self, ranges: Iterable[Range], store: Callable[[int, bytes], None]) -> None:
        """Fetch these ranges at the same time. store: called with the offset and the bytes of each piece."""
        pieces = [(at, min(at + _PIECE, stop)) for start, stop in ranges for at in range(start, stop, _PIECE)]
        tasks = [partial(self._fetch_piece, start, stop, store) for start, stop in pieces]
        run_concurrently(tasks, parallel=self._parallel)

    def _fetch_piece(self, start: int, stop: int, store: Callable[[int, bytes], None]) -> None:
        data = self._read(start, stop)
        with self._lock:  # one at a time: the stores are not thread-safe
            self.received += len(data)
            store(start, data)

    def _read(self, start: int, stop: int) -> bytes:
        buffer = bytearray(stop - start)
        view = memoryview(buffer)
        with self._bucket.open(self.obj, start, stop, current_abort() or Abort()) as body:
            before = memoryview(bytearray(min(start - body.start, _PIECE)))  # where the range was ignored
            skip = start - body.start
            while skip:
                skip -= self._some(body.readinto(before[:skip]))
            while view:
                view = view[self._some(body.readinto(view)) :]
        return bytes(buffer)

    @staticmethod
    def _some(count: int) -> int:
        if not count:
            raise Interrupted("The response ended early.")
        return count


class _PackedFile:
    """Ranges of an object one after the other in a temporary file, which has no name where the system allows that."""

    def __init__(self, folder: Path, ranges: list[Range]) -> None:
        self._starts = [start for start, _ in ranges]
        self._places = [0, *accumulate(stop - start for start, stop in ranges)]
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._lock = threading.Lock()

    def put(self, start: int, data: bytes) -> None:
        """Keep these bytes, which are within one of the ranges."""
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
