"""Files with subsets: whether an existing one is kept, and how one is written from a complete part file.

The MD5 of each written file is recorded, because the bucket has nothing to compare it with. A file that was taken out
of a whole object whose ETag matched has a record of its own kind: only such a file counts as verified.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from io import FileIO
from typing import BinaryIO

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import ObjectFiles
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import VerificationResult
from era5dl.errors import DiskError, Stopped
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.new_file import NewFile
from era5dl.hdf5 import DamagedChunk
from era5dl.proof.object_digest import READ_SIZE
from era5dl.ranges import Range
from era5dl.session.object_paths import new_file_of
from era5dl.subset import import_writer
from era5dl.subset.ranges import FileSubset
from era5dl.subset.selection import Subset

PART_REASON = "only a part of the object was fetched, which its MD5 does not cover"
WRITE_THREADS = min(4, os.cpu_count() or 1)

Aborted = Callable[[], bool]
Read = Callable[[int, int], bytes]


# Existing files


def status_if_kept(
    run: RunState, transfer: Transfer, files: ObjectFiles, stopped: Aborted, *, verified: bool = False
) -> os.stat_result | None:
    """Return the status of the final file if it has the bytes that this or another session of the folder has written;
    None if it has others, or does not exist.

    verified: only a file that was taken out of a verified whole object is kept. Raises Stopped, a DiskError.
    """
    with translate_disk_errors(files.final):
        try:
            file = ConfinedPath.from_path(files.final).open_for_reading()
        except FileNotFoundError:
            return None
        with file:
            status = os.fstat(file.fileno())
            recorded = run.session.subset_md5s(run.part_digests, transfer.index, transfer.obj, verified=True)
            if not verified:
                recorded += run.session.subset_md5s(run.part_digests, transfer.index, transfer.obj)
            if not recorded:  # it may say what it is, but have other bytes than were written
                return None
            md5 = md5_of(file, stopped)
            if md5 not in recorded:
                return None
            _record(run, transfer, md5, verified=verified)  # if another session has it, that may be forgotten
            return status


def has_provenance(file: BinaryIO, obj: ObjectInfo, subset: Subset) -> bool:
    """Whether a file says that it is this subset of this version of an object."""
    with FileIO(os.dup(file.fileno())) as raw:
        return bool(import_writer().is_subset_of(raw, obj.key, obj.etag, obj.size, subset))


def _record(run: RunState, transfer: Transfer, md5: str, *, verified: bool) -> None:
    named = run.session.subset_record(transfer.index, transfer.obj, verified=verified)
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
    part, subset = transfer.part, transfer.subset
    assert part is not None and subset is not None
    if run.settings.read_back or part.changed_by_others:
        part.bypass_page_cache()
    part.acquire()
    read = reader(transfer, stopped)
    try:
        status = write_final_file(run, transfer, subset, read, stopped, verified=False)
    except DamagedChunk as error:
        return _damaged_chunks(subset, read) or [error.range]
    finally:
        part.release()
    with suppress(DiskError):  # it only uses disk space
        part.discard()
    return VerificationResult(Outcome.CHECKED_PART, PART_REASON, status=status)


def reader(transfer: Transfer, stopped: Aborted) -> Read:
    """Return a function that reads bytes of the object from its part file, which must be open. It raises Stopped."""
    part = transfer.part
    assert part is not None

    def read(offset: int, length: int) -> bytes:
        if stopped():
            raise Stopped("while a file is written")
        return part.read(offset, length)

    return read


def write_final_file(
    run: RunState, transfer: Transfer, subset: FileSubset, read: Read, stopped: Aborted, *, verified: bool
) -> os.stat_result:
    """Write the file with a subset, record its MD5, and give it its final name. Return its status.

    verified: the bytes that `read` returns are those of a whole object whose ETag matched. Raises DamagedChunk,
    Stopped, DiskErrors, and what `read` and `stopped` raise.
    """
    part, final = transfer.part, transfer.final
    assert part is not None and final is not None
    writer = import_writer()
    provenance = writer.Provenance(transfer.obj.key, transfer.obj.etag, datetime.now(timezone.utc))
    with translate_disk_errors(final), NewFile(run.session.paths.place(new_file_of(part.path))) as new:
        writer.write_content(new.raw, subset, read, provenance, workers=WRITE_THREADS)
        _record(run, transfer, md5_of(new.raw, stopped), verified=verified)
        run.check_folder()
        run.session.claims.ensure_held(transfer.index)
        return new.commit(run.session.paths.place(final))


def _damaged_chunks(subset: FileSubset, read: Read) -> list[Range]:
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
