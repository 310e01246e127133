"""Plan: the objects to download, with size and version, and the requested files that the bucket does not have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from era5dl.bucket.interface import ObjectInfo
from era5dl.subset.selection import EVERYTHING, Subset

NOT_YET_PUBLISHED = "not yet published"
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Missing:
    """A requested key that is not in the bucket.

    reason: the likely reason: ABSENT, NOT_YET_PUBLISHED, or the server's error.
    """

    key: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The result of planning a request.

    request: the request in a form for canonical JSON: {"selection": {...}}, or {"keys": sha256, "count": n}, to which
    "subset": {...} is added if only a subset of each file is wanted. objects: in the order in which they are fetched,
    each key once. missing: requested files that the bucket does not have. passed_over: keys of folders and other keys
    that are not data files. server: for which the plan was made, as `endpoint_url` and `bucket` of Settings; None if
    that is not known. Both are not stored, so a plan read from disk has neither.
    """

    request: Mapping[str, Any]
    objects: tuple[ObjectInfo, ...]
    missing: tuple[Missing, ...] = ()
    passed_over: tuple[str, ...] = field(default=(), compare=False)
    server: tuple[str | None, str] | None = field(default=None, compare=False)

    @cached_property
    def total_bytes(self) -> int:
        """The size of all objects together."""
        return sum(obj.size for obj in self.objects)

    @cached_property
    def subset(self) -> Subset:
        """What is wanted of each file. Raises BadSelection when the request is malformed."""
        selection = self.request.get("selection", self.request)
        return Subset.from_json(selection.get("subset", {})) if isinstance(selection, Mapping) else EVERYTHING

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of keys, sizes and ETags: equal for plans of the same objects in the same versions."""
        digest = hashlib.sha256()
        for obj in self.objects:
            digest.update(f"{obj.key}\0{obj.size}\0{obj.etag}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
