"""The plan: which objects, how large, in which version, and what is not there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from era5dl.bucket.interface import ObjectInfo

NOT_YET_PUBLISHED = "not yet published"
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Missing:
    """A key that was expected and is not in the bucket, with the likely reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The answer to a request.

    request: what was asked for, JSON-able and canonical: {"selection": {...}} or {"keys": sha256, "count": n}.
    objects: in the order in which they are to be fetched, each key once. passed_over: keys that were given and name no
    file, such as a folder's; a plan that is read again has none.
    """

    request: Mapping[str, Any]
    objects: tuple[ObjectInfo, ...]
    missing: tuple[Missing, ...] = ()
    passed_over: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def total_bytes(self) -> int:
        """The size of all objects together."""
        return sum(obj.size for obj in self.objects)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over keys, sizes and ETags: equal plans of equal versions have equal digests."""
        digest = hashlib.sha256()
        for obj in self.objects:
            digest.update(f"{obj.key}\0{obj.size}\0{obj.etag}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
