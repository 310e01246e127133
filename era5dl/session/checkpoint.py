"""How far a session is: values only. `era5dl.session.resume_file` writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from era5dl.bucket.interface import ObjectInfo
from era5dl.ranges import Range, RangeSet
from era5dl.validation import Malformed


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An object some bytes of which are on disk. `digests`: part number from 0 -> MD5 hex of that whole part.

    part_size: bytes of each of these parts; 0 where there are no digests, and in the records of earlier versions.
    """

    index: int
    done: tuple[Range, ...]
    digests: Mapping[int, str] = field(default_factory=dict)
    part_size: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    index: int
    key: str
    reason: str
    remedy: str
    when: float
    kind: str = ""  # `Era5Error.kind`; "" in the records of earlier versions


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a session is. Indices are places in the plan; `ended`: nothing was left to do when it was saved."""

    verified: RangeSet
    checked: RangeSet
    unfinished: tuple[Unfinished, ...]
    failures: tuple[Failure, ...]
    replaced: Mapping[int, ObjectInfo]  # objects that changed upstream since the plan was made
    done_bytes: int
    ended: bool

    @classmethod
    def empty(cls) -> Checkpoint:
        return cls(RangeSet(), RangeSet(), (), (), {}, 0, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while a session runs."""

    id: str
    title: str  # for people
    created: float
    bucket: str
    endpoint_url: str | None
    region: str
    flat: bool
    verify: bool
    request: Mapping[str, Any]
    plan_digest: str
    files: int
    missing: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A resume file as read, before it has met its plan.

    `versions`: the version of each unfinished object that its ranges belong to.
    """

    facts: Facts
    updated: float
    checkpoint: Checkpoint
    versions: Mapping[int, ObjectInfo]
    failed: int
    had_login: bool = False  # there was a user name or a password in its endpoint, which is left out here

    def bound_to(self, objects: Sequence[ObjectInfo]) -> Checkpoint:
        """The checkpoint, once every object it names is the one the plan has in that place. Raises Malformed."""
        if len(objects) != self.facts.files:
            raise Malformed("its plan has another number of objects")
        named = {**self.checkpoint.replaced, **self.versions}
        for index, obj in named.items():
            if objects[index].key != obj.key:
                raise Malformed(f"object {index} has another key in the plan")
        found = self.checkpoint
        replaced = {index: obj for index, obj in sorted(named.items()) if obj != objects[index]}
        return Checkpoint(
            found.verified, found.checked, found.unfinished, found.failures, replaced, found.done_bytes, found.ended
        )
