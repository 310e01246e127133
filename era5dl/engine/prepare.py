"""What is on disk of an object, and how it can be proven: decided once, before its first byte is asked for.

    final file              part file and its claims     -> what happens
    the server's bytes      any                          -> adopted, nothing is fetched
    there, nothing to tell  any                          -> adopted if a session has fetched it, else fetched again
    there, but other bytes  any                          -> parts of a known, right MD5 are copied, the rest is fetched
    none                    of this version              -> goes on where it ended
    none                    none, or of another version  -> starts at the first byte

The old final file stays until the new one is whole.

What an earlier run has left in a part file is read again before it is proven, with MD5s of it in the resume file or
without: between two runs lie days, disks that rot and people who tidy up. The recorded MD5s say which parts to fetch
again where the disk now holds something else; they vouch for nothing. That costs a reading of what is there, while the
rest comes over a line that is slower than any disk. Where the ETag is no MD5, MD5s of blocks of OWN_BLOCK bytes are
recorded for the same purpose, and nothing else of the part file counts.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from era5dl.bucket.cancellation import Abort
from era5dl.engine.events import Outcome
from era5dl.engine.part_size import Cuts
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import EtagTrust, Proof, examine_file
from era5dl.errors import DiskError, UnsafeKey
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import disk_errors
from era5dl.folder.part_file import PartFile
from era5dl.proof.etag import etag_md5, opaque_tag
from era5dl.proof.object_digest import READ_BACK, Digest
from era5dl.ranges import Range, RangeSet
from era5dl.session.checkpoint import Unfinished

OWN_BLOCK = 4 << 20  # bytes; a kill costs what of them is not whole, of objects whose ETags are no MD5s
UNVERIFIED = "verification was switched off"
OPAQUE = "the server's ETag is not an MD5"
UNKNOWN_PARTS = "the server does not tell into which parts its MD5s were cut"


@dataclass(frozen=True, slots=True)
class Places:
    """Where an object's files are, and what is known of them from earlier. In a session each is a Place below the
    chosen folder; a Path is taken as it is."""

    final: Path | Place
    part: Path | Place
    claim: Unfinished | None  # what the resume file says of the part file
    digests: Callable[[], tuple[str, ...]]  # MD5s of all its parts from when it was proven; () if not recorded
    recorded: Callable[[], bool]  # whether another session has recorded the final file as fetched


@dataclass(frozen=True, slots=True)
class Policy:
    """How objects are verified. verify: compute MD5s at all."""

    verify: bool
    trust: EtagTrust
    cuts: Cuts


def open_transfer(
    transfer: Transfer, places: Places, policy: Policy, abort: Abort, stopped: Callable[[], bool]
) -> Proof | None:
    """Fill in what is there, what is wanted and how to prove it. A Proof when the final file is already right."""
    obj, cuts = transfer.obj, policy.cuts
    plan_proof(transfer, cuts, policy.verify, places.claim.part_size if places.claim else 0)
    transfer.wanted = [(0, obj.size)]
    again = transfer.part is not None
    transfer.part = PartFile(places.part, obj.size, before=transfer.part)
    existing = _size_of(places.final, obj.key)
    if existing is not None:
        if existing == obj.size:
            proof = examine_file(transfer, places.final, policy.trust, lambda: cuts.ask(obj, abort), stopped)
            if proof is not None and _may_adopt(proof, places, policy):
                transfer.part.discard()
                with suppress(DiskError):  # it only takes room
                    transfer.part.discard_aside()
                return proof
        elif transfer.part_size_guesses and (told := cuts.ask(obj, abort)):
            transfer.set_part_size(told)
        if transfer.digest is not None and transfer.multipart and (md5s := places.digests()):
            salvage(transfer, places.final, existing, md5s, stopped)
            return None
    recall(transfer, places, again=again)
    return None


def _may_adopt(proof: Proof, places: Places, policy: Policy) -> bool:
    """Whether a file that bears the name may stay. Where no MD5 can show whose bytes they are, having the right size is
    not enough: a file of another version has it, too."""
    return proof.outcome is Outcome.VERIFIED or not policy.verify or places.recorded()


def plan_proof(transfer: Transfer, cuts: Cuts, verify: bool, before: int = 0) -> None:
    """Make the digest that can be compared with the ETag; or say why none can, and make one of blocks of our own, by
    which later changes on the disk show (none where verification is off). Asks nobody.

    before: the size of its parts as it was taken to be in an earlier run.
    """
    obj = transfer.obj
    transfer.digest, transfer.part_size_guesses, transfer.unverifiable = None, [], ""
    found = etag_md5(obj.etag) if verify else None
    if found is None:
        transfer.unverifiable = OPAQUE if verify else UNVERIFIED
        transfer.digest = Digest(obj.size, OWN_BLOCK) if verify else None
        return
    transfer.multipart = found.parts is not None
    if found.parts is None:
        transfer.digest = Digest(obj.size)
        return
    sizes = cuts.likely(obj, before)
    if found.parts > 1:
        transfer.part_size_guesses = sizes
    if sizes:
        transfer.digest = Digest(obj.size, sizes[0])
    else:
        transfer.unverifiable = UNKNOWN_PARTS
        transfer.digest = Digest(obj.size, OWN_BLOCK)


def _size_of(final: Path | Place, key: str) -> int | None:
    """The size of the file that already bears the name; None where there is none."""
    with disk_errors(final):
        try:
            found = Place.of(final).stat()
        except FileNotFoundError:
            return None
    if stat.S_ISDIR(found.st_mode):
        raise UnsafeKey(f"{key}: a folder stands where the file should be")
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def recall(transfer: Transfer, places: Places, *, again: bool = False) -> None:
    """Go on with the part file, as far as it is claimed and there. What has been cut off counts no more; and where the
    ETag cannot show what else was done to the file, only blocks count whose MD5s were recorded.

    again: in the same run, after trouble, so that the page cache may hold what the disk does not.
    """
    claim, size = places.claim, transfer.obj.size
    transfer.done, transfer.recorded_md5s = RangeSet(), {}
    there = _size_of(places.part, transfer.obj.key)
    if claim is None or there is None or there > size or (there < size and transfer.digest is None):
        return
    for start, stop in claim.done:
        transfer.done.add(max(start, 0), min(stop, there))
    spans = transfer.digest.parts if transfer.digest is not None else []
    if spans and spans[0][1] == claim.part_size:
        transfer.recorded_md5s = {
            i: md5 for i, md5 in claim.digests.items() if i < len(spans) and transfer.done.covers(*spans[i])
        }
    if spans and transfer.unverifiable:
        transfer.done = RangeSet(spans[i] for i in transfer.recorded_md5s)
    if transfer.part is not None:
        transfer.part.recall(transfer.done)
        if again:
            transfer.part.read_from_disk()


def salvage(
    transfer: Transfer, final: Path | Place, existing: int, md5s: tuple[str, ...], stopped: Callable[[], bool]
) -> None:
    """Copy those parts of a damaged final file that are still right into the part file; the others will be fetched.

    The recorded MD5s need no trust: only if together they give the server's ETag do they count.
    """
    digest, part, size = transfer.digest, transfer.part, transfer.obj.size
    assert digest is not None and part is not None
    recorded = Digest(size, digest.parts[0][1] or None, dict(enumerate(md5s)))
    right = len(md5s) == len(digest.parts) and recorded.etag(multipart=transfer.multipart)
    if transfer.part_size_guesses or right != opaque_tag(transfer.obj.etag):
        return
    transfer.done = RangeSet()
    part.acquire()
    try:
        with disk_errors(final), Place.of(final).read() as file:
            for index, (start, stop) in enumerate(digest.parts):
                if stop > existing or stopped():
                    break
                if _copy(file, part, (start, stop)) == md5s[index]:
                    transfer.done.add(start, stop)
    finally:
        part.release()
    known = {i: md5s[i] for i, span in enumerate(digest.parts) if transfer.done.covers(*span)}
    transfer.digest = Digest(size, digest.parts[0][1] or None, known)


def _copy(file: BinaryIO, part: PartFile, span: Range) -> str:
    """Copy these bytes to the same place in the part file; returns their MD5."""
    at, stop = span
    md5 = hashlib.md5(usedforsecurity=False)
    file.seek(at)
    while at < stop and (data := file.read(min(READ_BACK, stop - at))):
        part.write(at, memoryview(data))
        md5.update(data)
        at += len(data)
    return md5.hexdigest()
