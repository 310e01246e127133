"""Objects that are fetched whole although only a subset is wanted: verified, and then the subset is taken out of them.

    part file of the whole object -> MD5 and ETag -> index from the disk -> cropped, written -> final file

That is done on request (`Subset.prove`), because the ETag says nothing about ranges; and for objects whose layout the
index reader does not know. If no subset can be taken out of it, the whole file is kept, under its usual name.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from era5dl.catalog import parse_key
from era5dl.engine.events import Outcome
from era5dl.engine.prepare import ObjectFiles, VerificationPolicy, choose_digest, resume_part_file
from era5dl.engine.run_state import RunState
from era5dl.engine.subset_output import Aborted, Read, reader, status_if_kept, write_final_file
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import VerificationResult
from era5dl.errors import BadSelection, DiskError, Era5Error
from era5dl.folder.part_file import PartFile
from era5dl.hdf5 import DamagedFile, Index, SparseBytes, UnsupportedLayout, complete_index, first_ranges
from era5dl.ranges import Range
from era5dl.subset import import_writer
from era5dl.subset.ranges import FileSubset, plan_file
from era5dl.subset.selection import Subset


def prepare_crop(
    run: RunState, transfer: Transfer, files: ObjectFiles, subset: Subset, policy: VerificationPolicy, stopped: Aborted
) -> VerificationResult | None:
    """Set the existing bytes, the wanted bytes and the digest of the transfer: those of the whole object.

    Return a result if the final file already exists and was taken out of a verified object, else None. Raises a
    DiskError or Stopped.
    """
    import_writer()
    if policy.verify and (status := status_if_kept(run, transfer, files, stopped, verified=True)) is not None:
        return VerificationResult(Outcome.VERIFIED, status=status)
    choose_digest(transfer, policy.part_sizes, policy.verify, files.entry.part_size if files.entry else 0)
    transfer.crop, transfer.subset, transfer.wanted = subset, None, [(0, transfer.obj.size)]
    reopened = transfer.part is not None
    transfer.part = PartFile(files.part, transfer.obj.size, predecessor=transfer.part)
    resume_part_file(transfer, files, reopened=reopened)
    return None


def crop(
    run: RunState, transfer: Transfer, result: VerificationResult, stopped: Aborted
) -> VerificationResult | UnsupportedLayout:
    """Write the final file from the part file with the whole object, and delete the part file.

    result: of verifying the part file. Return that of the final file, or why no subset can be taken out of the object.
    Raises Stopped, DiskErrors, what `stopped` raises, and Era5Error if nothing in the object is selected. Then the part
    file still exists.
    """
    part = transfer.part
    assert part is not None
    part.acquire()
    try:
        read = reader(transfer, stopped)
        subset = _file_subset(transfer, read)
        verified = result.outcome is Outcome.VERIFIED
        status = write_final_file(run, transfer, subset, read, stopped, verified=verified)
    except UnsupportedLayout as reason:
        return reason
    except DamagedFile as error:  # although the bytes are those of the bucket, if they were verified
        return UnsupportedLayout(f"data that cannot be read ({error})")
    finally:
        part.release()
    with suppress(DiskError):  # it only uses disk space
        part.discard()
        part.discard_mismatch()
    return replace(result, status=status, part_md5s=())


def _file_subset(transfer: Transfer, read: Read) -> FileSubset:
    """Return what is to be written. Raises UnsupportedLayout, DamagedFile, and Era5Error if nothing is selected."""
    obj, subset = transfer.obj, transfer.crop
    key = parse_key(obj.key)
    assert subset is not None and key is not None
    try:
        try:
            return plan_file(_read_index(obj.size, read), key, subset)
        except UnsupportedLayout:
            from era5dl.subset.h5py_index import read_index_by_h5py

            return plan_file(read_index_by_h5py(obj.size, read), key, subset)
    except BadSelection as error:  # concerns this object, not the run
        raise Era5Error(f"{obj.key}: {error}", remedy=error.remedy) from error


def _read_index(size: int, read: Read) -> Index:
    source = SparseBytes(size)

    def fetch(ranges: list[Range]) -> None:
        for start, stop in ranges:
            source.add(start, read(start, stop - start))

    return complete_index(source, fetch, first_ranges(size))
