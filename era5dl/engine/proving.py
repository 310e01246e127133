"""Are these the server's bytes? Computed from what is on disk, compared with the ETag, said with its reason.

An ETag that looks like an MD5 may still be none (encryption with a customer's key makes such ones).  So a mismatch is
answered by fetching again, and only where two fetches agree with each other and not with the ETag is the file taken as
what the server sends: `checked`, not `verified`.  A single wrong bit never survives that.

Nor does a mismatch say anything of the bytes while it is only guessed into which parts they were cut (`engine.cuts`).
So before anything is fetched again the server is asked, and what is on disk is hashed as it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from era5dl.engine.events import Outcome
from era5dl.engine.transfer import Transfer
from era5dl.errors import ProofError, Stopped
from era5dl.folder.faults import disk_errors
from era5dl.folder.partfile import PartFile
from era5dl.proof import hdf5
from era5dl.proof.digest import Digest, Read
from era5dl.ranges import Range, RangeSet

MOST_ROUNDS = 4  # fetches of a part before we say that its bytes never come twice the same

AGREEMENT = "two fetches agree with each other, but the server's ETag is not their MD5"
GUESSED = "the server does not tell into which parts its MD5s were cut, and no usual size fits"


Ask = Callable[[], int | None]
"""-> the size of the object's parts, as the server tells it now; None when it does not"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What could be proven, and why no more (reason is "" for VERIFIED). digests: MD5s of the parts, if computed."""

    outcome: Outcome
    reason: str = ""
    digests: tuple[str, ...] = ()


def examine(transfer: Transfer, ask: Ask, stopped: Callable[[], bool]) -> Proof | list[Range]:
    """The proof of a complete part file; or the ranges that have to be fetched again.

    Raises Stopped when told to, ProofError when the bytes come differently each time, a BucketError where it asks.
    """
    digest, part = transfer.digest, transfer.part
    assert part is not None
    if digest is not None and digest.complete and (proof := _match(transfer, digest)):
        return proof  # hashed as it came: nothing to read
    part.acquire()
    try:
        return _examine(transfer, part.path.name, part.read, ask, stopped) or _doubt(transfer, part)
    finally:
        part.release()


def _doubt(transfer: Transfer, part: PartFile) -> Proof | list[Range]:
    """The bytes do not match the ETag: what to fetch again, or why they are taken all the same."""
    digest = transfer.digest
    assert digest is not None
    rotten, transfer.recorded = _rotten(transfer, digest), {}
    if rotten:
        for index in rotten:
            digest.forget(index)
        return [digest.parts[index] for index in rotten]
    transfer.rounds.append(digest.whole_parts())
    seen = [Counter(found[i] for found in transfer.rounds if i in found) for i in range(len(digest.parts))]
    doubtful = [i for i, votes in enumerate(seen) if max(votes.values()) < 2]
    if not doubtful:
        return Proof(Outcome.CHECKED, AGREEMENT + _structure(transfer, part.path.name, part.read))
    if len(transfer.rounds) >= MOST_ROUNDS:
        raise ProofError(f"{transfer.obj.key}: fetched {MOST_ROUNDS} times, and never the same bytes twice")
    for index in doubtful:
        digest.forget(index)
    return [digest.parts[index] for index in doubtful]


def _rotten(transfer: Transfer, digest: Digest) -> list[int]:
    """Parts that had another MD5 when an earlier run fetched them: it is the disk that has changed, not the server."""
    now = digest.whole_parts()
    return [index for index, md5 in transfer.recorded.items() if now[index] != md5]


def examine_file(transfer: Transfer, path: Path, ask: Ask, stopped: Callable[[], bool]) -> Proof | None:
    """The proof of a file that is already there under its final name; None when it is not the server's."""
    with disk_errors(path), path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        if transfer.digest is None and _structure(transfer, path.name, read):
            return None
        fresh = Transfer(transfer.index, transfer.obj, [(0, transfer.obj.size)], opened=True)
        fresh.done = RangeSet([(0, transfer.obj.size)])
        fresh.multipart, fresh.guesses, fresh.unproven = transfer.multipart, transfer.guesses[:], transfer.unproven
        if transfer.digest is not None:
            fresh.digest = Digest(transfer.obj.size, transfer.digest.parts[0][1] or None)
        proof = _examine(fresh, path.name, read, ask, stopped)
    if fresh.digest is not None and transfer.guesses and not fresh.guesses:
        transfer.was_cut(fresh.digest.parts[0][1])  # the server was asked
    return None if proof is not None and proof.reason.startswith(GUESSED) else proof


def _examine(transfer: Transfer, name: str, read: Read, ask: Ask, stopped: Callable[[], bool]) -> Proof | None:
    """A proof from reading; None when the bytes do not match an ETag that should be their MD5."""
    digest, size = transfer.digest, transfer.obj.size
    if digest is None:
        return Proof(Outcome.CHECKED, transfer.unproven + _structure(transfer, name, read))
    proof = _hash(transfer, digest, read, stopped)
    if proof or not transfer.guesses or _rotten(transfer, digest):
        return proof
    if told := ask():
        transfer.was_cut(told)
        return _examine(transfer, name, read, ask, stopped)
    for guess in transfer.guesses[1:]:
        if proof := _hash(transfer, Digest(size, guess), read, stopped):
            return proof
    return Proof(Outcome.CHECKED, GUESSED + _structure(transfer, name, read))


def _hash(transfer: Transfer, digest: Digest, read: Read, stopped: Callable[[], bool]) -> Proof | None:
    """The proof by these MD5s, those that are missing computed by reading; None when they are not the ETag's."""
    if not digest.catch_up(transfer.done, read, stopped):
        raise Stopped("while proving")
    return _match(transfer, digest)


def _match(transfer: Transfer, digest: Digest) -> Proof | None:
    """The proof by MD5s that are all there; None when they are not the ETag's."""
    if digest.etag(multipart=transfer.multipart) != transfer.obj.etag.strip('"'):
        return None
    whole = digest.whole_parts()
    return Proof(Outcome.VERIFIED, digests=tuple(whole[i] for i in range(len(whole))))


def _structure(transfer: Transfer, name: str, read: Read) -> str:
    """What a file of this name says itself against being whole, to be added to a reason."""
    complaint = hdf5.complaint(name, transfer.obj.size, read)
    return f"; {complaint}" if complaint else ""
