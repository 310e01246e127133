"""Checkpoint: the saved progress of a session. `era5dl.session.resume_format` converts it to JSON and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from era5dl.bucket.interface import ObjectInfo
from era5dl.ranges import Range, RangeSet
from era5dl.session.info import SessionInfo
from era5dl.validation import Malformed


@dataclass(frozen=True, slots=True)
class UnfinishedObject:
    """An object of which some bytes are on disk.

    index: in the plan. done: ranges of the part file that are on disk. digests: MD5s (hex) of complete parts by part
    number, from 0. part_size: bytes of each of these parts; 0 if there are no digests, and in records of earlier
    versions. layout: `PartFile.layout`; in a part file with another layout these ranges are other bytes.
    """

    index: int
    done: tuple[Range, ...]
    digests: Mapping[int, str] = field(default_factory=dict)
    part_size: int = 0
    layout: str = ""


@dataclass(frozen=True, slots=True)
class FailedObject:
    """An object that could not be fetched. index: in the plan. when: seconds since 1970."""

    index: int
    key: str
    reason: str
    remedy: str
    when: float
    kind: str = ""  # `Era5Error.kind`; "" in records of earlier versions


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The progress of a session. Objects are identified by their index in the plan.

    verified, checked: objects that were fetched whole. checked_part: those of which only a subset was fetched and is on
    disk. cropped: those of `verified` and `checked` of which a subset was written, instead of the whole file.
    total_bytes: bytes to fetch, of all objects; 0 if that is not known better than `SessionInfo.total_bytes`.
    """

    verified: RangeSet
    checked: RangeSet
    unfinished: tuple[UnfinishedObject, ...]
    failures: tuple[FailedObject, ...]
    replaced: Mapping[int, ObjectInfo]  # new versions of objects that were replaced since the plan was made
    done_bytes: int
    ended: bool  # no object remained when it was saved
    checked_part: RangeSet = field(default_factory=RangeSet)
    total_bytes: int = 0
    cropped: RangeSet = field(default_factory=RangeSet)

    @property
    def whole_files(self) -> RangeSet:
        """The objects that have whole files, verified or only checked."""
        found = RangeSet([*self.verified, *self.checked])
        for start, stop in self.cropped:
            found.remove(start, stop)
        return found

    @property
    def finished(self) -> RangeSet:
        """The objects that have their final files."""
        return RangeSet([*self.verified, *self.checked, *self.checked_part])

    @classmethod
    def empty(cls) -> Checkpoint:
        """Return the checkpoint of a session that has fetched nothing yet."""
        return cls(RangeSet(), RangeSet(), (), (), {}, 0, False)


@dataclass(frozen=True, slots=True)
class SavedSession:
    """The content of a resume file, before it is compared with its plan."""

    info: SessionInfo
    updated: float  # when it was saved, in seconds since 1970
    checkpoint: Checkpoint
    versions: Mapping[int, ObjectInfo]  # the version of each unfinished object that its ranges belong to
    failed: int  # number of failed objects; `checkpoint.failures` may list fewer
    had_login: bool = False  # the endpoint URL in the file had a user name or a password; that in `info` has none

    def checkpoint_for(self, objects: Sequence[ObjectInfo]) -> Checkpoint:
        """Return the checkpoint for the objects of the session's plan.

        Raises Malformed if an object in it has another key in the plan.
        """
        if len(objects) != self.info.files:
            raise Malformed("its plan has another number of objects")
        named = {**self.checkpoint.replaced, **self.versions}
        for index, obj in named.items():
            if objects[index].key != obj.key:
                raise Malformed(f"object {index} has another key in the plan")
        replaced = {index: obj for index, obj in sorted(named.items()) if obj != objects[index]}
        return dataclasses.replace(self.checkpoint, replaced=replaced)
