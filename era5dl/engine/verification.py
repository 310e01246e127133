"""Verification: compares the MD5 of an object's bytes on disk with its ETag.

S3's ETag of an object is the MD5 of its bytes, or for a multipart upload the MD5 of its parts' MD5s.  (Encryption with
a customer's key makes ETags of the same form that are no MD5s, but an anonymous reader cannot get such objects.)  So
bytes that do not match are wrong: they are fetched again, a few times, and then the object has failed.  That the same
bytes came twice proves nothing: a broken router can flip the same bit each time.  Only the user can say that a server's
ETags are no MD5s (`Settings.opaque_etags`), and even that does not hold against objects of the same bucket that match.

A mismatch says nothing about the bytes while the part size of a multipart upload is only guessed (`engine.cuts`).  So
before anything is fetched again the server is asked, and what is on disk is hashed as it says.
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
from era5dl.folder.directory_handles import Place, is_same_file
from era5dl.folder.disk_errors import disk_errors
from era5dl.proof import hdf5
from era5dl.proof.etag import etag_md5, opaque_tag
from era5dl.proof.object_digest import Digest, Read
from era5dl.ranges import Range, RangeSet

MOST_FETCHES = 4  # of a part, before its object has failed
ENOUGH_FETCHES = 2  # the same, where all fetches agree and no ETag of this form has ever matched

UNMATCHED = "the server's ETag looks like an MD5 but is not the MD5 of these bytes"
ALTERED = (
    "Something between the server and this disk alters the bytes: try another network, and have this computer's memory "
    "checked. What came is kept beside the file's place, as *.mismatch."
)
BAD_DISK = "Have the disk checked, or choose a folder on another one; and see that no other program writes into it."
NOT_MD5 = (
    "If this server's ETags are not MD5s (encryption with keys of its own makes such ETags), say so with "
    "--opaque-etags: files are then checked, not verified. What came is kept beside the file's place, as *.mismatch."
)


Ask = Callable[[], int | None]
"""-> the size of the object's parts, as the server tells it now; None when it does not"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What could be proven, and why no more (reason is "" for VERIFIED). digests: MD5s of the parts, if computed."""

    outcome: Outcome
    reason: str = ""
    digests: tuple[str, ...] = ()


class EtagTrust:
    """Whether an ETag that looks like an MD5 has to be the MD5 of its object. Thread-safe.

    opaque: the user has said that this server's ETags may be something else. verified: objects that were verified by
    their ETags earlier. An ETag has one of two forms, plain or multipart: one match tells what all of that form are.
    """

    def __init__(self, *, opaque: bool, verified: Iterable[ObjectInfo] = ()) -> None:
        self._opaque = opaque
        self._matched: set[bool] = set()  # forms: True for multipart
        for obj in verified:
            if len(self._matched) == 2:
                break
            self.matched(obj.etag)

    def matched(self, etag: str) -> bool:
        """An object was verified by this ETag. Returns whether it is the first of its form."""
        found = etag_md5(etag)
        form = found is not None and found.parts is not None
        if found is None or form in self._matched:
            return False
        self._matched.add(form)
        return True

    def has_matched(self, etag: str) -> bool:
        """Whether any object was verified by an ETag of this form."""
        found = etag_md5(etag)
        return found is not None and (found.parts is not None) in self._matched

    def binds(self, etag: str) -> bool:
        """Whether bytes that do not match this ETag are wrong."""
        return not self._opaque or self.has_matched(etag)


def examine(transfer: Transfer, trust: EtagTrust, ask: Ask, stopped: Callable[[], bool]) -> Proof | None:
    """The proof of a complete part file; None when its bytes are not those of the ETag. Changes nothing on disk.

    Raises Stopped when told to, a DiskError, a BucketError where it asks.
    """
    digest, part = transfer.digest, transfer.part
    assert part is not None
    if digest is not None and not transfer.unverifiable and digest.complete and (proof := _match(transfer, digest)):
        return proof  # hashed as it came: nothing to read
    part.acquire()
    try:
        return _examine(transfer, part.path.name, part.read, trust, ask, stopped)
    finally:
        part.release()


def to_fetch_again(transfer: Transfer, *, etag_is_md5: bool) -> list[Range]:
    """After a mismatch: the ranges to fetch once more, whose digests are forgotten. No I/O.

    It has to be called once for each time that bytes were fetched, together with removing these ranges from
    `transfer.done`: a fetch counts once, whatever happens to the job that examines it. etag_is_md5: an ETag of this
    form has matched before. Raises ProofError when the object was fetched often enough.
    """
    digest = transfer.digest
    assert digest is not None
    rotten, transfer.recorded_md5s = _rotten(transfer, digest), {}
    if rotten:
        doubtful, transfer.disk_corruptions = rotten, transfer.disk_corruptions + 1
        if transfer.disk_corruptions >= MOST_FETCHES:
            raise ProofError(f"{transfer.obj.key}: the disk gives other bytes than were written to it", remedy=BAD_DISK)
    else:
        transfer.mismatches.append(digest.whole_parts())
        seen = [Counter(found[i] for found in transfer.mismatches if i in found) for i in range(len(digest.parts))]
        doubtful = [i for i, votes in enumerate(seen) if max(votes.values()) < 2]
        _give_up(transfer, etag_is_md5, same_each_time=all(len(votes) == 1 for votes in seen))
        doubtful = doubtful or list(range(len(digest.parts)))
    for index in doubtful:
        digest.forget(index)
    return [digest.parts[index] for index in doubtful]


def _give_up(transfer: Transfer, etag_is_md5: bool, *, same_each_time: bool) -> None:
    """Raise ProofError when it was fetched often enough."""
    key, fetches = transfer.obj.key, len(transfer.mismatches)
    if not transfer.obj.size:
        raise ProofError(f"{key}: it is empty, and its ETag is not the MD5 of nothing", remedy=NOT_MD5)
    if same_each_time and not etag_is_md5 and fetches >= ENOUGH_FETCHES:
        raise ProofError(f"{key}: the same bytes came {fetches} times; {UNMATCHED}", remedy=NOT_MD5)
    if fetches >= MOST_FETCHES:
        remedy = NOT_MD5 if same_each_time else ALTERED
        raise ProofError(f"{key}: fetched {fetches} times; {UNMATCHED}", remedy=remedy)


def _rotten(transfer: Transfer, digest: Digest) -> list[int]:
    """Parts that had another MD5 when an earlier run fetched them: it is the disk that has changed, not the server."""
    now = digest.whole_parts()
    return [index for index, md5 in transfer.recorded_md5s.items() if now[index] != md5]


def examine_file(
    transfer: Transfer, path: Path | Place, trust: EtagTrust, ask: Ask, stopped: Callable[[], bool]
) -> Proof | None:
    """The proof of a file that is already there under its final name; None when it is not the server's, or when another
    one bears the name by the end of it."""
    place = Place.of(path)
    with disk_errors(path), place.read() as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            data = file.read(length)
            if len(data) < length:
                raise PartLost(f"{path} has become shorter while it was read")
            return data

        if transfer.unverifiable and _structure(transfer, place.name, read):
            return None
        fresh = Transfer(transfer.index, transfer.obj, [(0, transfer.obj.size)], prepared=True)
        fresh.done = RangeSet([(0, transfer.obj.size)])
        fresh.multipart, fresh.unverifiable = transfer.multipart, transfer.unverifiable
        fresh.part_size_guesses = transfer.part_size_guesses[:]
        if transfer.digest is not None and not transfer.unverifiable:
            fresh.digest = Digest(transfer.obj.size, transfer.digest.parts[0][1] or None)
        proof = _examine(fresh, place.name, read, trust, ask, stopped)
        if not is_same_file(os.fstat(file.fileno()), place.stat()):
            return None  # somebody has exchanged it while it was read
    if fresh.digest is not None and transfer.part_size_guesses and not fresh.part_size_guesses:
        transfer.set_part_size(fresh.digest.parts[0][1])  # the server was asked
    return proof


def _examine(
    transfer: Transfer, name: str, read: Read, trust: EtagTrust, ask: Ask, stopped: Callable[[], bool]
) -> Proof | None:
    """A proof from reading; None when the bytes do not match an ETag that has to be their MD5."""
    if transfer.unverifiable:
        unchanged = transfer.digest is None or _is_as_recorded(transfer, transfer.digest, read, stopped)
        return Proof(Outcome.CHECKED, transfer.unverifiable + _structure(transfer, name, read)) if unchanged else None
    assert transfer.digest is not None
    proof = _by_md5(transfer, transfer.digest, read, ask, stopped)
    if proof is None and not trust.binds(transfer.obj.etag) and not _rotten(transfer, transfer.digest):
        return Proof(Outcome.CHECKED, UNMATCHED + _structure(transfer, name, read))
    return proof


def _by_md5(transfer: Transfer, digest: Digest, read: Read, ask: Ask, stopped: Callable[[], bool]) -> Proof | None:
    """The proof by the ETag, the part size asked for and other usual ones tried where it was only guessed."""
    proof = _hash(transfer, digest, read, stopped)
    if proof or not transfer.part_size_guesses or _rotten(transfer, digest):
        return proof
    if told := ask():
        transfer.set_part_size(told)
        assert transfer.digest is not None
        return _by_md5(transfer, transfer.digest, read, ask, stopped)
    others = (Digest(transfer.obj.size, guess) for guess in transfer.part_size_guesses[1:])
    return next((found for other in others if (found := _hash(transfer, other, read, stopped))), None)


def _is_as_recorded(transfer: Transfer, digest: Digest, read: Read, stopped: Callable[[], bool]) -> bool:
    """Whether the disk holds what was written, where an earlier run or somebody else had the file in hands."""
    if not transfer.recorded_md5s:
        return True
    if not digest.catch_up(transfer.done, read, stopped):
        raise Stopped("while proving")
    return not _rotten(transfer, digest)


def _hash(transfer: Transfer, digest: Digest, read: Read, stopped: Callable[[], bool]) -> Proof | None:
    """The proof by these MD5s, those that are missing computed by reading; None when they are not the ETag's."""
    if not digest.catch_up(transfer.done, read, stopped):
        raise Stopped("while proving")
    return _match(transfer, digest)


def _match(transfer: Transfer, digest: Digest) -> Proof | None:
    """The proof by MD5s that are all there; None when they are not the ETag's."""
    if digest.etag(multipart=transfer.multipart) != opaque_tag(transfer.obj.etag):
        return None
    whole = digest.whole_parts()
    return Proof(Outcome.VERIFIED, digests=tuple(whole[i] for i in range(len(whole))))


def _structure(transfer: Transfer, name: str, read: Read) -> str:
    """What a file of this name says itself against being whole, to be added to a reason."""
    complaint = hdf5.structure_error(name, transfer.obj.size, read)
    return f"; {complaint}" if complaint else ""
