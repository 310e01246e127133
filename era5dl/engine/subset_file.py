"""Subsets of objects: which byte ranges are fetched, and the small file that is written from them.

    index of the object -> chunks -> byte ranges -> packed part file -> decoded, cropped, written -> final file

Such a file is CHECKED_PART, because the ETag covers only the whole object, no part of it. What is certain: all
responses were of one version of the object (If-Match), every chunk has the right Adler-32 checksum and size, the index
agrees with the name of the object, and the written file was read back.

An object with an unusual layout is fetched whole, under its usual name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from io import FileIO
from typing import BinaryIO

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import parse_key
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import ObjectFiles
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import VerificationResult
from era5dl.errors import BadResponse, BadSelection, DiskError, Era5Error, ProofError, Stopped
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.new_file import NewFile
from era5dl.folder.packed_part_file import PackedLayout, PackedPartFile
from era5dl.hdf5 import (
    DamagedChunk,
    DamagedFile,
    Index,
    SparseBytes,
    UnsupportedLayout,
    complete_index,
    first_ranges,
)
from era5dl.hdf5.filters import DEFLATE, FLETCHER32
from era5dl.proof.object_digest import READ_SIZE
from era5dl.ranges import Range, RangeSet
from era5dl.session.object_paths import new_file_of
from era5dl.session.origin import address_of
from era5dl.subset import import_writer
from era5dl.subset.index_cache import shared_cache
from era5dl.subset.range_requests import RangeRequests
from era5dl.subset.ranges import FileSubset, coalesce, plan_file
from era5dl.subset.selection import Subset

PART_REASON = "only a part of the object was fetched, which its MD5 does not cover"
REMEDY_DAMAGED = (
    "If it happens on another network, too, the file in the bucket is damaged: download the whole file, without hours, "
    "levels, an area or points, to see which of its values can be read."
)
WRITE_THREADS = min(4, os.cpu_count() or 1)
MAX_INDEX_READS = 3  # attempts, if the index seems to be damaged
INDEX_REQUESTS = 20  # at the same time, while other workers have nothing to do

Aborted = Callable[[], bool]


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
    if (status := _kept(run, transfer, files, lambda: bool(abort.reason))) is not None:
        return VerificationResult(Outcome.CHECKED_PART, PART_REASON, status=status)
    wanted = _file_subset(run, transfer, subset, abort)
    layout = PackedLayout(wanted.ranges())
    reopened = transfer.part is not None
    transfer.subset, transfer.wanted = wanted, list(layout.ranges)
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
    cache = shared_cache(address_of(run.settings)) if has_tls else None
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


# Existing files


def _kept(run: RunState, transfer: Transfer, files: ObjectFiles, stopped: Aborted) -> os.stat_result | None:
    """Return the status of the final file if it has the bytes that this or another session of the folder has written;
    None if it has others, or does not exist."""
    with translate_disk_errors(files.final):
        try:
            file = ConfinedPath.from_path(files.final).open_for_reading()
        except FileNotFoundError:
            return None
        with file:
            status = os.fstat(file.fileno())
            recorded = run.session.subset_md5s(run.part_digests, transfer.index, transfer.obj)
            if not recorded:  # it may say what it is, but have other bytes than were written
                return None
            md5 = md5_of(file, stopped)
            if md5 not in recorded:
                return None
            _record(run, transfer, md5)  # if another session has it, that may be forgotten
            return status


def has_provenance(file: BinaryIO, obj: ObjectInfo, subset: Subset) -> bool:
    """Whether a file says that it is this subset of this version of an object."""
    with FileIO(os.dup(file.fileno())) as raw:
        return bool(import_writer().is_subset_of(raw, obj.key, obj.etag, obj.size, subset))


def _record(run: RunState, transfer: Transfer, md5: str) -> None:
    named = replace(transfer.obj, key=run.session.paths.relative(transfer.index))
    if run.part_digests.find(named) != (md5,):
        with suppress(DiskError):  # without the record, a later run writes the file again
            run.part_digests.record(named, [md5])


def md5_of(file: BinaryIO, stopped: Aborted) -> str:
    """Return the MD5 (hex) of a file. Raises Stopped, OSError."""
    md5 = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while data := file.read(READ_SIZE):
        md5.update(data)
        if stopped():
            raise Stopped("while a file is read")
    return md5.hexdigest()


# Writing


def write_subset_file(run: RunState, transfer: Transfer, stopped: Aborted) -> VerificationResult | list[Range]:
    """Write the final file from the complete part file, and delete the part file. Return the result, or the chunks that
    are damaged and have to be fetched again.

    stopped: called often, from several threads; may raise errors, too. Raises Stopped, DiskErrors, and what `stopped`
    raises. Then the part file still exists.
    """
    part, subset, final = transfer.part, transfer.subset, transfer.final
    assert part is not None and subset is not None and final is not None

    def read(offset: int, length: int) -> bytes:
        if stopped():
            raise Stopped("while a file is written")
        return part.read(offset, length)

    writer = import_writer()
    provenance = writer.Provenance(transfer.obj.key, transfer.obj.etag, datetime.now(timezone.utc))
    if run.settings.read_back or part.changed_by_others:
        part.bypass_page_cache()
    part.acquire()
    try:
        with translate_disk_errors(final), NewFile(run.session.paths.place(new_file_of(part.path))) as new:
            writer.write_content(new.raw, subset, read, provenance, workers=WRITE_THREADS)
            md5 = md5_of(new.raw, stopped)
            _record(run, transfer, md5)
            run.check_folder()
            run.session.claims.ensure_held(transfer.index)
            status = new.commit(run.session.paths.place(final))
    except DamagedChunk as error:
        return _damaged_chunks(subset, read) or [error.range]
    finally:
        part.release()
    with suppress(DiskError):  # it only uses disk space
        part.discard()
    return VerificationResult(Outcome.CHECKED_PART, PART_REASON, status=status)


def _damaged_chunks(subset: FileSubset, read: Callable[[int, int], bytes]) -> list[Range]:
    """Return the byte ranges of all damaged chunks, so that they are fetched together."""
    from era5dl.subset.decode import verify_chunk

    damaged = []
    for chunk in subset.chunks:
        start, stop = chunk.range
        try:
            verify_chunk(
                (read(at, min(READ_SIZE, stop - at)) for at in range(start, stop, READ_SIZE)), subset.field, chunk
            )
        except DamagedChunk as error:
            damaged.append(error.range)
    return damaged
