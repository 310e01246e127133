"""Subsets of objects: which byte ranges are fetched.

    index of the object -> chunks -> byte ranges -> packed part file -> decoded, cropped, written -> final file

The last steps are in `subset_output`.

Such a file is CHECKED_PART, because the ETag covers only the whole object, no part of it. What is certain: all
responses were of one version of the object (If-Match), every chunk has the right Adler-32 checksum and size, the index
agrees with the name of the object, and the written file was read back.

An object with an unusual layout is fetched whole (`crop`).
"""

from __future__ import annotations

import os

from era5dl.bucket.cancellation import Abort
from era5dl.catalog import parse_key
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import ObjectFiles
from era5dl.engine.run_state import RunState
from era5dl.engine.subset_output import PART_REASON, status_if_kept
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import VerificationResult
from era5dl.errors import BadResponse, BadSelection, Era5Error, ProofError
from era5dl.folder.packed_part_file import PackedLayout, PackedPartFile
from era5dl.hdf5 import (
    DamagedFile,
    Index,
    SparseBytes,
    UnsupportedLayout,
    complete_index,
    first_ranges,
)
from era5dl.hdf5.filters import DEFLATE, FLETCHER32
from era5dl.ranges import RangeSet
from era5dl.session.origin import address_of
from era5dl.subset import import_writer
from era5dl.subset.index_cache import shared_cache
from era5dl.subset.range_requests import RangeRequests
from era5dl.subset.ranges import FileSubset, coalesce, plan_file
from era5dl.subset.selection import Subset

REMEDY_DAMAGED = (
    "If it happens on another network, too, the file in the bucket is damaged: download the whole file, without hours, "
    "levels, an area or points, to see which of its values can be read."
)
MAX_INDEX_READS = 3  # attempts, if the index seems to be damaged
INDEX_REQUESTS = 20  # at the same time, while other workers have nothing to do


# Preparing


def prepare_subset(
    run: RunState, transfer: Transfer, files: ObjectFiles, subset: Subset, abort: Abort
) -> VerificationResult | None:
    """Set the wanted ranges and the existing bytes of the transfer.

    Return a result if the final file is already complete, else None. Raises UnsupportedLayout for an object that has
    to be fetched whole, BucketErrors, DiskErrors, and ProofError for an object that is not a complete HDF5 file.
    """
    obj = transfer.obj
    import_writer()
    if not obj.etag:
        raise UnsupportedLayout("no ETag, so that its versions cannot be distinguished")
    if (status := status_if_kept(run, transfer, files, lambda: bool(abort.reason))) is not None:
        return VerificationResult(Outcome.CHECKED_PART, PART_REASON, status=status)
    wanted = _file_subset(run, transfer, subset, abort)
    layout = PackedLayout(wanted.ranges())
    reopened = transfer.part is not None
    transfer.crop, transfer.subset, transfer.wanted = None, wanted, list(layout.ranges)
    transfer.digest, transfer.unverifiable, transfer.part_size_guesses = None, "", []
    transfer.part = part = PackedPartFile(files.part, layout, predecessor=transfer.part)
    transfer.done, entry = RangeSet(), files.entry
    if entry is not None and entry.layout == layout.id and _size_of(files.part) == layout.size:
        transfer.done = part.offsets(RangeSet(entry.done))
        part.restore(transfer.done)
        if reopened:
            part.bypass_page_cache()
    return None


def _file_subset(run: RunState, transfer: Transfer, subset: Subset, abort: Abort) -> FileSubset:
    """Return what the subset needs of this version of the object."""
    obj = transfer.obj
    key = parse_key(obj.key)
    if key is None:
        raise UnsupportedLayout("a name that is not that of an ERA5 file")
    try:
        wanted = plan_file(_index_of(run, transfer, abort), key, subset)
    except BadSelection as error:  # concerns this object, not the run
        raise Era5Error(f"{obj.key}: {error}", remedy=error.remedy) from error
    # Each chunk needs at least one filter with a checksum that was not skipped (its bit in the filter mask is 0)
    checksums = [number for number, one in enumerate(wanted.field.filters) if one.number in (DEFLATE, FLETCHER32)]
    if not all(any(not chunk.filter_mask >> number & 1 for number in checksums) for chunk in wanted.chunks):
        raise UnsupportedLayout("chunks without a checksum")
    return wanted


def _index_of(run: RunState, transfer: Transfer, abort: Abort) -> Index:
    """Return the index of this version of the object.

    An index that seems to be damaged is read again: it may have been damaged in transit. Without TLS, every index is
    read twice, because most of it has no checksums, and a wrong index could give wrong values. The cache is used with
    TLS only, because it also contains indexes that were read only once.
    """
    has_tls = not (run.settings.endpoint_url or "").startswith("http:")
    cache = shared_cache(address_of(run.settings))  # None without TLS
    index = cache.get(transfer.obj) if cache else None
    if index is not None:
        return index
    index = _read_intact_index(run, transfer, abort, 0)
    if not has_tls:
        second = _read_intact_index(run, transfer, abort, 1)
        if second != index:
            transfer.index_bytes = {}
            raise BadResponse(f"{transfer.obj.key}: its HDF5 index was not the same when it was read twice")
    transfer.index_bytes = {}
    if cache:
        cache.put(transfer.obj, index)
    return index


def _read_intact_index(
    run: RunState, transfer: Transfer, abort: Abort, number: int, attempts: int = MAX_INDEX_READS
) -> Index:
    """Read the index, and again if it seems to be damaged. number: 0 for the first reading, 1 for the second."""
    try:
        return _read_index(run, transfer, abort, transfer.index_bytes.setdefault(number, {}))
    except DamagedFile as error:
        del transfer.index_bytes[number]
        if attempts == 1:
            text = f"{transfer.obj.key} is not a complete HDF5 file: {error}"
            raise ProofError(text, remedy=REMEDY_DAMAGED) from error
    return _read_intact_index(run, transfer, abort, number, attempts - 1)


def _read_index(run: RunState, transfer: Transfer, abort: Abort, received: dict[int, bytes]) -> Index:
    """Return the index. received: the bytes of it received so far, by their offsets; new ones are added.

    So a new attempt continues where the previous one failed: the index of a monthly file takes about 20 requests.
    """
    obj = transfer.obj
    source = SparseBytes(obj.size)
    for start, data in received.items():
        source.add(start, data)

    def store(start: int, data: bytes) -> None:
        received[start] = data
        source.add(start, data)
        with run.lock:
            transfer.failures = transfer.denials = 0  # they count attempts without a new byte

    def record_received(count: int) -> None:
        with run.lock:
            run.counters.fetched_bytes += count

    with run.lock:
        unused = run.throttle.allowed - len(run.aborts)
    parallel = max(1, min(INDEX_REQUESTS, 1 + unused))
    requests = RangeRequests(run.bucket, obj, parallel, abort=abort, on_received=record_received)
    first = [] if received else first_ranges(obj.size)
    return complete_index(source, lambda ranges: requests.fetch(coalesce(ranges), store), first)


def _size_of(path: os.PathLike[str]) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None
