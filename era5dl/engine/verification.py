"""Verification: compares the MD5 of an object's bytes on disk with its ETag.

The ETag of S3 is the MD5 of the object, or for a multipart upload the MD5 of its parts' MD5s. (Encryption with a
customer's key gives ETags of the same form that are not MD5s, but an anonymous user cannot read such objects.) So bytes
that do not match are wrong. They are fetched again a few times, and then the object has failed. Receiving the same
bytes twice proves nothing, since a broken router can flip the same bit each time. Only the user can state that a
server's ETags are not MD5s (`Settings.opaque_etags`). Even that does not apply to a form of ETag that has matched for
another object of the bucket.

While the part size of a multipart upload is only a guess (`PartSizes`), a mismatch may be due to a wrong guess. So the
part size is requested from the server, and the bytes on disk are hashed with it, before anything is fetched again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.transfer import Transfer
from era5dl.errors import PartLost, ProofError, Stopped
from era5dl.folder.confined_path import ConfinedPath, is_same_file
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.proof import hdf5
from era5dl.proof.etag import etag_md5, opaque_tag
from era5dl.proof.object_digest import ObjectDigest, Read
from era5dl.ranges import Range, RangeSet

MAX_FETCHES = 4  # of a part, before its object has failed
MAX_IDENTICAL_FETCHES = 2  # the same, if all fetches gave the same bytes and no ETag of this form has ever matched

ETAG_MISMATCH = "the server's ETag looks like an MD5 but is not the MD5 of these bytes"
REMEDY_ALTERED = (
    "Something between the server and this disk alters the data: try another network, and test this computer's memory. "
    "The received bytes are kept next to the file as *.mismatch."
)
REMEDY_DISK = (
    "Check the disk or choose a folder on another one. Make sure that no other program writes into the folder."
)
REMEDY_OPAQUE_ETAGS = (
    "If the ETags of this server are not MD5s, for example because it encrypts objects, use --opaque-etags: files are "
    "then checked, not verified. The received bytes are kept next to the file as *.mismatch."
)

QueryPartSize = Callable[[], int | None]
"""Requests the part size of the object from the server; returns None if the server does not report it."""


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """Result of verifying an object.

    reason: why it is not VERIFIED, else "". part_md5s: MD5s of all parts, if they were computed. status: of the file
    with its final name; of an existing file, before its bytes were read.
    """

    outcome: Outcome
    reason: str = ""
    part_md5s: tuple[str, ...] = ()
    status: os.stat_result | None = None


class EtagTrust:
    """Decides whether an ETag in the form of an MD5 must be the MD5 of its object. Thread-safe.

    ETags have two forms, plain and multipart. One match shows that all ETags of that form are MD5s. opaque: the user
    has stated that the ETags of this server are not MD5s. verified: objects that matched their ETags in earlier runs.
    """

    def __init__(self, *, opaque: bool, verified: Iterable[ObjectInfo] = ()) -> None:
        self._opaque = opaque
        self._matched: set[bool] = set()  # forms that have matched: True for multipart
        for obj in verified:
            if len(self._matched) == 2:
                break
            self.record_match(obj.etag)

    def record_match(self, etag: str) -> bool:
        """Record that an object matched this ETag. Return whether it is the first match of this form."""
        found = etag_md5(etag)
        form = found is not None and found.parts is not None
        if found is None or form in self._matched:
            return False
        self._matched.add(form)
        return True

    def has_matched(self, etag: str) -> bool:
        """Whether any object has matched an ETag of this form."""
        found = etag_md5(etag)
        return found is not None and (found.parts is not None) in self._matched

    def is_binding(self, etag: str) -> bool:
        """Whether bytes that do not match this ETag are wrong."""
        return not self._opaque or self.has_matched(etag)


def verify_part_file(
    transfer: Transfer, trust: EtagTrust, query: QueryPartSize, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Verify a complete part file; return None if its bytes do not match the ETag. Changes nothing on disk.

    Raises Stopped, a DiskError, or a BucketError from `query`.
    """
    digest, part = transfer.digest, transfer.part
    assert part is not None
    if digest is not None and not transfer.unverifiable and digest.complete and (result := _compare(transfer, digest)):
        return result  # all bytes were hashed on arrival
    part.acquire()
    try:
        return _verify(transfer, part.path.name, part.read, trust, query, stopped)
    finally:
        part.release()


def ranges_to_refetch(transfer: Transfer, *, etag_is_md5: bool) -> list[Range]:
    """Return the ranges to fetch again after a mismatch, and drop their MD5s. Does no I/O.

    The caller removes these ranges from `transfer.done`. Call this exactly once after each fetch, since it counts the
    fetches. etag_is_md5: an ETag of this form has matched for another object. Raises ProofError if the object was
    fetched as often as allowed.
    """
    digest = transfer.digest
    assert digest is not None
    corrupted, transfer.recorded_md5s = _corrupted_parts(transfer, digest), {}
    if corrupted:
        parts, transfer.disk_corruptions = corrupted, transfer.disk_corruptions + 1
        if transfer.disk_corruptions >= MAX_FETCHES:
            raise ProofError(
                f"{transfer.obj.key}: the disk returns other bytes than were written to it", remedy=REMEDY_DISK
            )
    else:
        transfer.mismatches.append(digest.part_md5s())
        seen = [Counter(found[i] for found in transfer.mismatches if i in found) for i in range(len(digest.parts))]
        parts = [i for i, votes in enumerate(seen) if max(votes.values()) < 2]
        _raise_if_exhausted(transfer, etag_is_md5, always_identical=all(len(votes) == 1 for votes in seen))
        parts = parts or list(range(len(digest.parts)))
    for index in parts:
        digest.reset_part(index)
    return [digest.parts[index] for index in parts]


def _raise_if_exhausted(transfer: Transfer, etag_is_md5: bool, *, always_identical: bool) -> None:
    """Raise ProofError if the object was fetched as often as allowed."""
    key, fetches = transfer.obj.key, len(transfer.mismatches)
    if not transfer.obj.size:
        text = f"{key}: it is empty, but its ETag is not the MD5 of an empty file"
        raise ProofError(text, remedy=REMEDY_OPAQUE_ETAGS)
    if always_identical and not etag_is_md5 and fetches >= MAX_IDENTICAL_FETCHES:
        text = f"{key}: the same bytes were received {fetches} times; {ETAG_MISMATCH}"
        raise ProofError(text, remedy=REMEDY_OPAQUE_ETAGS)
    if fetches >= MAX_FETCHES:
        remedy = REMEDY_OPAQUE_ETAGS if always_identical else REMEDY_ALTERED
        raise ProofError(f"{key}: fetched {fetches} times; {ETAG_MISMATCH}", remedy=remedy)


def _corrupted_parts(transfer: Transfer, digest: ObjectDigest) -> list[int]:
    """Return the parts whose MD5 differs from the recorded one: they have changed on disk, not on the server."""
    now = digest.part_md5s()
    return [index for index, md5 in transfer.recorded_md5s.items() if now[index] != md5]


def verify_final_file(
    transfer: Transfer, path: Path | ConfinedPath, trust: EtagTrust, query: QueryPartSize, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Verify a file with its final name; return None if it does not match, or was replaced while it was read.

    Raises Stopped, a DiskError, or a BucketError from `query`.
    """
    place = ConfinedPath.from_path(path)
    with translate_disk_errors(path), place.open_for_reading() as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            data = file.read(length)
            if len(data) < length:
                raise PartLost(f"{path} was truncated while it was read")
            return data

        if transfer.unverifiable and _structure_error(transfer, place.name, read):
            return None
        whole = [(0, transfer.obj.size)]
        fresh = Transfer(transfer.index, transfer.obj, whole, done=RangeSet(whole), prepared=True)
        fresh.multipart, fresh.unverifiable = transfer.multipart, transfer.unverifiable
        fresh.part_size_guesses = transfer.part_size_guesses[:]
        if transfer.digest is not None and not transfer.unverifiable:
            fresh.digest = ObjectDigest(transfer.obj.size, transfer.digest.parts[0][1] or None)
        result = _verify(fresh, place.name, read, trust, query, stopped)
        if not is_same_file(os.fstat(file.fileno()), place.stat()):
            return None
    if fresh.digest is not None and transfer.part_size_guesses and not fresh.part_size_guesses:
        transfer.set_part_size(fresh.digest.parts[0][1])  # the server has reported it
    return result


def _verify(
    transfer: Transfer, name: str, read: Read, trust: EtagTrust, query: QueryPartSize, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Verify by reading; return None if the bytes do not match an ETag that must be their MD5."""
    if transfer.unverifiable:
        unchanged = transfer.digest is None or _is_as_recorded(transfer, transfer.digest, read, stopped)
        reason = transfer.unverifiable + _structure_error(transfer, name, read)
        return VerificationResult(Outcome.CHECKED, reason) if unchanged else None
    assert transfer.digest is not None
    result = _verify_by_md5(transfer, transfer.digest, read, query, stopped)
    if result is not None or trust.is_binding(transfer.obj.etag) or _corrupted_parts(transfer, transfer.digest):
        return result
    return VerificationResult(Outcome.CHECKED, ETAG_MISMATCH + _structure_error(transfer, name, read))


def _verify_by_md5(
    transfer: Transfer, digest: ObjectDigest, read: Read, query: QueryPartSize, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Compare with the ETag. If they differ and the part size is a guess, request it from the server; if the server
    does not report it, try the other guesses."""
    result = _hash_and_compare(transfer, digest, read, stopped)
    if result or not transfer.part_size_guesses or _corrupted_parts(transfer, digest):
        return result
    if part_size := query():
        transfer.set_part_size(part_size)
        assert transfer.digest is not None
        return _verify_by_md5(transfer, transfer.digest, read, query, stopped)
    others = (ObjectDigest(transfer.obj.size, guess) for guess in transfer.part_size_guesses[1:])
    return next((found for other in others if (found := _hash_and_compare(transfer, other, read, stopped))), None)


def _is_as_recorded(transfer: Transfer, digest: ObjectDigest, read: Read, stopped: Callable[[], bool]) -> bool:
    """Whether the bytes on disk still have the MD5s that were recorded by an earlier run or before a disk failure."""
    if not transfer.recorded_md5s:
        return True
    if not digest.hash_remaining(transfer.done, read, stopped):
        raise Stopped("while verifying")
    return not _corrupted_parts(transfer, digest)


def _hash_and_compare(
    transfer: Transfer, digest: ObjectDigest, read: Read, stopped: Callable[[], bool]
) -> VerificationResult | None:
    """Compute the missing MD5s by reading, and compare; return None if they do not match the ETag."""
    if not digest.hash_remaining(transfer.done, read, stopped):
        raise Stopped("while verifying")
    return _compare(transfer, digest)


def _compare(transfer: Transfer, digest: ObjectDigest) -> VerificationResult | None:
    """Compare a complete digest with the ETag; return None if it does not match."""
    if digest.etag(multipart=transfer.multipart) != opaque_tag(transfer.obj.etag):
        return None
    md5s = digest.part_md5s()
    return VerificationResult(Outcome.VERIFIED, part_md5s=tuple(md5s[i] for i in range(len(md5s))))


def _structure_error(transfer: Transfer, name: str, read: Read) -> str:
    """Return an error in the structure of the file as text to append to a reason; "" if there is none."""
    error = hdf5.structure_error(name, transfer.obj.size, read)
    return f"; {error}" if error else ""
