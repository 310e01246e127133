"""Prepares an object for download: finds existing bytes on disk and chooses how to verify it.

    final file                 part file and its resume entry  result
    has the object's MD5       any                             kept, nothing is fetched
    right size, no known MD5   any                             kept if a session has fetched it, else fetched again
    other bytes                any                             parts with a known MD5 are copied, the rest is fetched
    none                       of this version                 the download continues from the bytes on disk
    none                       none, or of another version     the download starts at the first byte

The existing final file is kept until the new one is complete.

Bytes of an earlier run in a part file are read and hashed again before the file is verified, even if the resume file
has their MD5s: the disk or another program may have changed them since. The recorded MD5s only show which parts have to
be fetched again. Reading the disk is faster than any download. If the ETag is not an MD5, the MD5s of our own blocks of
BLOCK_SIZE bytes are recorded for the same purpose, and only blocks with a recorded MD5 are reused.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import EtagTrust, VerificationResult, verify_final_file
from era5dl.errors import DiskError, UnsafeKey
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.part_file import PartFile
from era5dl.proof.etag import etag_md5, likely_part_sizes, opaque_tag, part_size_fits
from era5dl.proof.object_digest import READ_SIZE, ObjectDigest
from era5dl.ranges import Range, RangeSet
from era5dl.session.checkpoint import UnfinishedObject

BLOCK_SIZE = 4 << 20  # bytes; if ETags are not MD5s, a kill loses the incomplete blocks
MAX_PART_SIZES = 16  # number of part sizes that are remembered
VERIFICATION_OFF = "verification was switched off"
NO_MD5 = "the server's ETag is not an MD5"
UNKNOWN_PART_SIZE = "the server does not report the part size that its ETag depends on"


class PartSizes:
    """Finds the part size of a multipart upload, on which the ETag depends. Thread-safe.

    Requesting it from the server would cost one request per object before its first byte. The answer is nearly always
    the same, since a bucket is usually filled with one tool. So the part size is guessed: from the server's answers for
    other objects in this run, then from the common sizes. The ETag shows whether the guess was right. Only after a
    mismatch the server is asked, and the bytes on disk are hashed again.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._known: tuple[int, ...] = ()  # newest first; replaced, never changed; an update lost in a race is harmless

    def candidates(self, obj: ObjectInfo, earlier: int = 0) -> list[int]:
        """Return the part sizes that fit the number of parts in the object's ETag, the most likely one first.

        earlier: the part size assumed in an earlier run; 0 for none.
        """
        count = _part_count(obj)
        if count == 1:
            return [obj.size]
        sizes = [earlier, *self._known, *likely_part_sizes(obj.size, count)]
        return [size for size in dict.fromkeys(sizes) if part_size_fits(obj.size, count, size)]

    def query(self, obj: ObjectInfo, abort: Abort) -> int | None:
        """Request the part size of this object from the server; None if it reports none or an impossible one."""
        parts = self._bucket.parts(obj, abort)
        if parts is None or parts.count != _part_count(obj) or not part_size_fits(obj.size, parts.count, parts.size):
            return None
        self._known = (parts.size, *(size for size in self._known if size != parts.size))[:MAX_PART_SIZES]
        return parts.size


def _part_count(obj: ObjectInfo) -> int:
    """Return the number of parts in the object's ETag; 1 if the ETag has none."""
    found = etag_md5(obj.etag)
    return (found.parts or 1) if found else 1


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """The files of an object, and what earlier runs have recorded about them.

    In a session each file is a ConfinedPath below the chosen folder.
    """

    final: Path | ConfinedPath
    part: Path | ConfinedPath
    entry: UnfinishedObject | None  # the entry of the part file in the resume file
    part_md5s: Callable[[], tuple[str, ...]]  # MD5s of all its parts when it was verified; () if not recorded
    is_recorded: Callable[[], bool]  # whether another session has recorded the final file as fetched


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """How objects are verified. verify: whether to compute MD5s."""

    verify: bool
    trust: EtagTrust
    part_sizes: PartSizes


def prepare_transfer(
    transfer: Transfer, files: ObjectFiles, policy: VerificationPolicy, abort: Abort, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Set the existing bytes, the wanted bytes and the digest of the transfer.

    Return a result if the final file is already complete, else None. Raises UnsafeKey, a DiskError or a BucketError.
    """
    obj, part_sizes = transfer.obj, policy.part_sizes
    choose_digest(transfer, part_sizes, policy.verify, files.entry.part_size if files.entry else 0)
    transfer.wanted = [(0, obj.size)]
    reopened = transfer.part is not None
    transfer.part = PartFile(files.part, obj.size, predecessor=transfer.part)
    found = _status_of(files.final, obj.key)
    if found is not None:
        existing = found.st_size
        if existing == obj.size:
            result = verify_final_file(
                transfer, files.final, policy.trust, lambda: part_sizes.query(obj, abort), stopped
            )
            if result is not None and _may_keep(result, files, policy):
                transfer.part.discard()
                with suppress(DiskError):  # a remaining *.mismatch file only uses disk space
                    transfer.part.discard_mismatch()
                return replace(result, status=found)
        elif transfer.part_size_guesses and (part_size := part_sizes.query(obj, abort)):
            transfer.set_part_size(part_size)
        if transfer.digest is not None and transfer.multipart and (md5s := files.part_md5s()):
            reuse_final_file(transfer, files.final, existing, md5s, stopped)
            return None
    resume_part_file(transfer, files, reopened=reopened)
    return None


def _may_keep(result: VerificationResult, files: ObjectFiles, policy: VerificationPolicy) -> bool:
    """Whether to keep the existing final file. If no MD5 was compared, the right size is not enough, since a file of
    another version may have the same size."""
    return result.outcome is Outcome.VERIFIED or not policy.verify or files.is_recorded()


def choose_digest(transfer: Transfer, part_sizes: PartSizes, verify: bool, earlier: int = 0) -> None:
    """Create the digest that is compared with the ETag. Sends no request.

    If the ETag cannot be compared, set `transfer.unverifiable` to the reason and create a digest of blocks, which shows
    later changes on disk. If verification is off, create no digest. earlier: the part size assumed in an earlier run; 0
    for none.
    """
    obj = transfer.obj
    transfer.digest, transfer.part_size_guesses, transfer.unverifiable = None, [], ""
    found = etag_md5(obj.etag) if verify else None
    if found is None:
        transfer.unverifiable = NO_MD5 if verify else VERIFICATION_OFF
        transfer.digest = ObjectDigest(obj.size, BLOCK_SIZE) if verify else None
        return
    transfer.multipart = found.parts is not None
    if found.parts is None:
        transfer.digest = ObjectDigest(obj.size)
        return
    sizes = part_sizes.candidates(obj, earlier)
    if found.parts > 1:
        transfer.part_size_guesses = sizes
    if sizes:
        transfer.digest = ObjectDigest(obj.size, sizes[0])
    else:
        transfer.unverifiable = UNKNOWN_PART_SIZE
        transfer.digest = ObjectDigest(obj.size, BLOCK_SIZE)


def _status_of(path: Path | ConfinedPath, key: str) -> os.stat_result | None:
    """Return the status of this file; None if there is no regular file. Raises UnsafeKey if it is a folder."""
    with translate_disk_errors(path):
        try:
            found = ConfinedPath.from_path(path).stat()
        except FileNotFoundError:
            return None
    if stat.S_ISDIR(found.st_mode):
        raise UnsafeKey(f"{key}: there is a folder in the place of the file")
    return found if stat.S_ISREG(found.st_mode) else None


def resume_part_file(transfer: Transfer, files: ObjectFiles, *, reopened: bool = False) -> None:
    """Reuse the bytes of the part file that its resume entry lists and that exist.

    Bytes beyond the end of a truncated part file do not count. If the ETag cannot show other changes to the file, only
    blocks with a recorded MD5 count. reopened: the part file is opened again after a disk failure in this run; then the
    page cache may differ from the disk, and is bypassed.
    """
    entry, size = files.entry, transfer.obj.size
    transfer.done, transfer.recorded_md5s = RangeSet(), {}
    found = _status_of(files.part, transfer.obj.key)
    existing = None if found is None else found.st_size
    if (
        entry is None
        or entry.layout
        or existing is None
        or existing > size
        or (existing < size and transfer.digest is None)
    ):
        return
    for start, stop in entry.done:
        transfer.done.add(max(start, 0), min(stop, existing))
    parts = transfer.digest.parts if transfer.digest is not None else []
    if parts and parts[0][1] == entry.part_size:
        transfer.recorded_md5s = {
            i: md5 for i, md5 in entry.digests.items() if i < len(parts) and transfer.done.covers(*parts[i])
        }
    if parts and transfer.unverifiable:
        transfer.done = RangeSet(parts[i] for i in transfer.recorded_md5s)
    if transfer.part is not None:
        transfer.part.restore(transfer.done)
        if reopened:
            transfer.part.bypass_page_cache()


def reuse_final_file(
    transfer: Transfer, final: Path | ConfinedPath, existing: int, md5s: tuple[str, ...], stopped: Callable[[], bool]
) -> None:
    """Copy the intact parts of a damaged final file into the part file, so that only the others are fetched.

    existing: size of the final file. md5s: recorded MD5s of its parts, which are used only if the ETag computed from
    them is the server's.
    """
    digest, part, size = transfer.digest, transfer.part, transfer.obj.size
    assert digest is not None and part is not None
    recorded = ObjectDigest(size, digest.parts[0][1] or None, dict(enumerate(md5s)))
    recorded_etag = len(md5s) == len(digest.parts) and recorded.etag(multipart=transfer.multipart)
    if transfer.part_size_guesses or recorded_etag != opaque_tag(transfer.obj.etag):
        return
    transfer.done = RangeSet()
    part.acquire()
    try:
        with translate_disk_errors(final), ConfinedPath.from_path(final).open_for_reading() as file:
            for index, (start, stop) in enumerate(digest.parts):
                if stop > existing or stopped():
                    break
                if _copy(file, part, (start, stop)) == md5s[index]:
                    transfer.done.add(start, stop)
    finally:
        part.release()
    known = {i: md5s[i] for i, span in enumerate(digest.parts) if transfer.done.covers(*span)}
    transfer.digest = ObjectDigest(size, digest.parts[0][1] or None, known)


def _copy(file: BinaryIO, part: PartFile, span: Range) -> str:
    """Copy this range to the same offset of the part file; return the MD5 of its bytes."""
    at, stop = span
    md5 = hashlib.md5(usedforsecurity=False)
    file.seek(at)
    while at < stop and (data := file.read(min(READ_SIZE, stop - at))):
        part.write(at, memoryview(data))
        md5.update(data)
        at += len(data)
    return md5.hexdigest()
