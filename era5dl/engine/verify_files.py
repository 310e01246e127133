"""Prove files that are already on disk by the ETags of the bucket: read, hash, compare.

Fetches nothing; asks into which parts an object was cut where its file does not match under the likeliest size.

What is found is written into the resume file, so that whatever is wrong counts as unfinished from then on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.engine.events import Outcome
from era5dl.engine.part_size import Cuts
from era5dl.engine.prepare import plan_proof
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import UNMATCHED, EtagTrust, examine_file
from era5dl.errors import DiskError, Stopped, UnsafeKey
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import disk_errors
from era5dl.planner.concurrent_requests import ask_all
from era5dl.ranges import RangeSet
from era5dl.session import Session

NOT_THE_BUCKETS = "its bytes are not those of the bucket"


class Condition(Enum):
    """In what condition one file was found on disk."""

    VERIFIED = "verified"
    CHECKED = "checked"
    WRONG = "wrong"  # there, but not the server's bytes
    ABSENT = "absent"
    UNKNOWN = "unknown"  # could not be looked at; the reason says why


@dataclass(frozen=True, slots=True)
class Examined:
    """About one object of the plan. reason: why it is not VERIFIED, else ""."""

    index: int
    key: str
    condition: Condition
    reason: str = ""


def verify(
    bucket: Bucket,
    session: Session,
    on_examined: Callable[[Examined], None],
    cancelled: Callable[[], bool] = bool,
    *,
    opaque_etags: bool = False,
) -> list[Examined]:
    """Look at every file of the session, tell of each as it is known, and return them in the plan's order.

    on_examined: called on several threads, one at a time for one file. opaque_etags: see `Settings`. Raises Stopped
    when cancelled, and a BucketError when the bucket cannot be asked how its objects were cut.
    """
    checkpoint = session.checkpoint
    look_up = _Lookup(session, Cuts(bucket), EtagTrust(opaque=opaque_etags), cancelled)
    objects = [checkpoint.replaced.get(i, obj) for i, obj in enumerate(session.plan.objects)]

    def look(index: int) -> Examined:
        if cancelled():
            raise Stopped("while verifying")
        one = look_up(index, objects[index])
        if not one.reason.startswith(UNMATCHED):
            on_examined(one)
        return one

    looks = [partial(look, index) for index in range(len(objects))]
    examined = ask_all(looks, parallel=min(4, os.cpu_count() or 1), cancelled=cancelled)
    for place, one in enumerate(examined):
        if one.reason.startswith(UNMATCHED):  # whether that is right shows only when all others have been looked at
            examined[place] = look_up.settled(one, objects[one.index])
            on_examined(examined[place])
    _remember(session, examined, objects)
    return examined


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Looks at one file after the other, on several threads."""

    session: Session
    cuts: Cuts
    trust: EtagTrust
    stopped: Callable[[], bool]

    def __call__(self, index: int, obj: ObjectInfo) -> Examined:
        try:
            path = self.session.paths.place(self.session.paths.final(index))
            with disk_errors(path):
                size = _size_of(path)
            if size is None:
                return Examined(index, obj.key, Condition.ABSENT, "there is no such file")
            if size != obj.size:
                return Examined(index, obj.key, Condition.WRONG, f"it has {size} bytes, the object {obj.size}")
            transfer = Transfer(index, obj)
            plan_proof(transfer, self.cuts, verify=True)
            proof = examine_file(transfer, path, self.trust, lambda: self.cuts.ask(obj, Abort()), self.stopped)
        except (UnsafeKey, DiskError) as error:  # this file cannot be read; the others may
            reason = f"{error}. {error.remedy}" if error.remedy else str(error)
            return Examined(index, obj.key, Condition.UNKNOWN, reason)
        if proof is None:
            return Examined(index, obj.key, Condition.WRONG, NOT_THE_BUCKETS)
        if proof.outcome is Outcome.VERIFIED:
            self.trust.matched(obj.etag)
            return Examined(index, obj.key, Condition.VERIFIED)
        return Examined(index, obj.key, Condition.CHECKED, proof.reason)

    def settled(self, one: Examined, obj: ObjectInfo) -> Examined:
        """What holds for a file that does not match its ETag, now that the others are known."""
        wrong = self.trust.binds(obj.etag)
        return Examined(one.index, one.key, Condition.WRONG, NOT_THE_BUCKETS) if wrong else one


def _size_of(path: Place) -> int | None:
    """The size of a plain file; None when there is none."""
    try:
        now = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return now.st_size if stat.S_ISREG(now.st_mode) else None


def _remember(session: Session, examined: list[Examined], objects: list[ObjectInfo]) -> None:
    """Write into the resume file what is right now, and what is wrong no more.

    A file that was finished and is gone stays listed: the next run sees for itself that it is gone, and a repair can
    tell it from one that never came.
    """
    before = session.checkpoint
    verified, checked = RangeSet(), RangeSet()
    for one in examined:
        gone = one.condition is Condition.ABSENT
        if one.condition is Condition.VERIFIED or (gone and one.index in before.verified):
            verified.add(one.index, one.index + 1)
        elif one.condition is Condition.CHECKED or (gone and one.index in before.checked):
            checked.add(one.index, one.index + 1)
    right = {v.index for v in examined if v.condition in (Condition.VERIFIED, Condition.CHECKED)}
    unfinished = tuple(u for u in before.unfinished if u.index not in right)
    done = sum(objects[i].size for i in right) + sum(b - a for u in unfinished for a, b in u.done)
    ended = len(right) == len(objects)
    session.save(
        replace(before, verified=verified, checked=checked, unfinished=unfinished, done_bytes=done, ended=ended)
    )
