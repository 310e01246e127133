"""Selection of faults for requests: from a script, at random from a seed, or periodically."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Protocol

from tests.faultlab.http import Request
from tests.faultlab.kinds import KINDS

WORD_GOOD = "none"  # in a script: this request gets a correct response


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one or more requests, such as `Fault("body-reset", at=1000)`. All kinds are in `kinds.KINDS`.

    The description of each kind mentions the parameters that it uses.
    """

    kind: str
    _: KW_ONLY
    at: int | None = None  # number of bytes of the body before the fault; None: `share` of the body
    share: float = 0.5
    seconds: float | None = None  # duration of the fault, or value of Retry-After; None: the default of the kind
    rate: int = 20_000  # bytes per second of slow responses
    closes: bool = False  # whether the connection is closed after the response without `Connection: close`
    times: int | None = 1  # number of matching requests with the fault; None: all
    on: tuple[str, ...] = ("get",)  # operations with the fault: "get", "head", "list"

    def __post_init__(self) -> None:
        if self.kind not in KINDS and self.kind != WORD_GOOD:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(sorted(KINDS))}")


class Source(Protocol):
    """Chooses the faults of requests. Called by many threads."""

    def pick(self, request: Request) -> Fault | None:
        """Return the fault of this request; None to ask the next source."""
        ...


class Script:
    """A sequence of faults, each for a number of requests, for one key or for any (None)."""

    def __init__(self, faults: Iterable[Fault], key: str | None = None) -> None:
        self._key = key
        self._left: list[Fault] = list(faults)
        self._lock = threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        if self._key not in (None, request.key):
            return None
        with self._lock:
            for index, fault in enumerate(self._left):
                if request.operation in fault.on:
                    self._use(index, fault)
                    return fault
        return None

    @property
    def left(self) -> tuple[Fault, ...]:
        """Return the faults that have not been used yet."""
        with self._lock:
            return tuple(self._left)

    def _use(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times > 1:
            self._left[index] = replace(fault, times=fault.times - 1)
        else:
            del self._left[index]


# Kinds that a client survives by repeating the request, without a checksum or another look at the object.
HEALING = tuple(name for name, kind in KINDS.items() if kind.cure == "again")


class Mix:
    """Random faults for a share of the requests.

    Whether the n-th request for a key has a fault, and which, depends only on the seed, the key and n: not on the
    clock or on other threads.

    share: fraction of requests with a fault, 0..1. at_most: maximum number of faults. in_a_row: maximum number of
    consecutive faults for a key, so that retry budgets are not exhausted by chance. seconds: for all faults; None for
    the default of each kind, which is half a minute for stalls.
    """

    def __init__(
        self,
        seed: int,
        kinds: Sequence[str] = HEALING,
        *,
        share: float = 0.3,
        at_most: int = 1000,
        in_a_row: int = 3,
        seconds: float | None = None,
        on: tuple[str, ...] = ("get",),
    ) -> None:
        self._seed, self._kinds, self._share = seed, tuple(kinds), share
        self._left, self._in_a_row, self._seconds, self._on = at_most, in_a_row, seconds, on
        self._asked: Counter[str] = Counter()
        self._row: Counter[str] = Counter()
        self._lock = threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        if request.operation not in self._on:
            return None
        with self._lock:
            key = request.key
            self._asked[key] += 1
            dice = random.Random(f"{self._seed}/{key}/{self._asked[key]}")
            if dice.random() >= self._share or self._left <= 0 or self._row[key] >= self._in_a_row:
                self._row[key] = 0
                return None
            self._left -= 1
            self._row[key] += 1
        return Fault(dice.choice(self._kinds), share=dice.random(), seconds=self._seconds, on=self._on)


class Burst:
    """The same fault for all requests in the first `length` of every `period` seconds, from the first request on."""

    def __init__(self, fault: Fault, *, period: float, length: float) -> None:
        self._fault, self._period, self._length = fault, period, length
        self._began: float | None = None

    def pick(self, request: Request) -> Fault | None:
        if request.operation not in self._fault.on:
            return None
        now = time.monotonic()
        if self._began is None:
            self._began = now  # by several threads at the same time, which does not matter
        return self._fault if (now - self._began) % self._period < self._length else None


class Every:
    """One fault per `period` seconds, for the first request after its end."""

    def __init__(self, fault: Fault, *, period: float) -> None:
        self._fault, self._period = fault, period
        self._next = time.monotonic() + period
        self._lock = threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        if request.operation not in self._fault.on:
            return None
        with self._lock:
            if time.monotonic() < self._next:
                return None
            self._next = time.monotonic() + self._period
        return self._fault
