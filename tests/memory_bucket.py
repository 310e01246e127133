"""A bucket in memory that implements the `Bucket` protocol for listings and HEAD: for tests of the planner."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import md5

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Body, ObjectInfo, Parts
from era5dl.errors import NotFound

PAGE = 1000
Hook = Callable[[str, str, int], None]
"""Called before each page with the verb, its argument and the number of the page; may raise, or wait."""


class MemoryBucket:
    """Bucket with sorted keys, and generated sizes and ETags.

    requests: ("list", prefix) for each page and ("head", key). shown: number of objects returned in listings.
    """

    def __init__(self, keys: Iterable[str], hook: Hook | None = None) -> None:
        self.keys = sorted(set(keys))
        self.requests: list[tuple[str, str]] = []
        self.shown = 0
        self._hook = hook
        self._lock = threading.Lock()

    @staticmethod
    def info(key: str) -> ObjectInfo:
        digest = md5(key.encode(), usedforsecurity=False).hexdigest()
        return ObjectInfo(key, size=int(digest[:6], 16), etag=f'"{digest}"', last_modified=1_700_000_000)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        index = bisect_left(self.keys, prefix)
        page = 0
        while True:
            self._ask("list", prefix, page)
            for key in self.keys[index : index + PAGE]:
                if not key.startswith(prefix):
                    return
                with self._lock:
                    self.shown += 1
                yield self.info(key)
            index, page = index + PAGE, page + 1
            if index >= len(self.keys):
                return

    def head(self, key: str, abort: Abort | None = None) -> ObjectInfo:
        self._ask("head", key, 0)
        if key not in self.keys:
            raise NotFound(key)
        return self.info(key)

    def parts(self, obj: ObjectInfo, abort: Abort | None = None) -> Parts | None:
        raise AssertionError("planning does not ask how objects were uploaded")

    def open(self, obj: ObjectInfo, start: int, stop: int, abort: Abort) -> AbstractContextManager[Body]:
        raise AssertionError("planning reads no bytes")

    def drop_idle_connections(self) -> None:
        raise AssertionError("planning keeps the connections")

    def verbs(self, verb: str) -> list[str]:
        """Return the arguments of all requests of one kind."""
        return [argument for name, argument in self.requests if name == verb]

    def _ask(self, verb: str, argument: str, page: int) -> None:
        with self._lock:
            self.requests.append((verb, argument))
        if self._hook:
            self._hook(verb, argument, page)
