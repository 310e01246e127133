"""Which fault strikes which request: one by one from a script, at random from a seed, or in bursts by the clock."""

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

WORD_GOOD = "none"  # in a script: this request is answered well


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, to strike one or more requests: `Fault("body-reset", at=1000)`. All kinds are in `kinds.KINDS`.

    Each kind's line in that table says which of the terms it looks at.
    """

    kind: str
    _: KW_ONLY
    at: int | None = None  # strikes after so many bytes of the body; None: after `share` of it
    share: float = 0.5
    seconds: float | None = None  # how long it holds, waits or asks to wait; None: the kind's own default
    rate: int = 20_000  # bytes per second of what is slow
    closes: bool = False  # the connection is closed after the answer, and nothing in it says so
    times: int | None = 1  # how many matching requests it strikes; None: all from now on
    on: tuple[str, ...] = ("get",)  # of "get", "head", "list": the operations it strikes

    def __post_init__(self) -> None:
        if self.kind not in KINDS and self.kind != WORD_GOOD:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(sorted(KINDS))}")


class Source(Protocol):
    """Decides about every request. Called by many threads."""

    def pick(self, request: Request) -> Fault | None:
        """The fault for this request, or None to leave it to the next source."""
        ...


class Script:
    """Faults in the order written, each for its own number of requests, for one key or (None) for any."""

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
        """What has not struck yet."""
        with self._lock:
            return tuple(self._left)

    def _use(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times > 1:
            self._left[index] = replace(fault, times=fault.times - 1)
        else:
            del self._left[index]


# The kinds that a client gets over by asking again, and that cost neither a checksum nor a new look at the object.
HEALING = tuple(name for name, kind in KINDS.items() if kind.cure == "again")


class Mix:
    """A random fault on a share of the requests.

    Whether the n-th request for a key meets a fault, and which, depends on the seed, the key and n alone: not on the
    clock, and not on what other threads do at the same time.

    share: of the requests that meet a fault, 0..1. at_most: faults in all. in_a_row: faults for one key before one of
    its requests is let through, so that no budget of retries is used up by bad luck. seconds: for all its faults;
    without it stalls take the half minute that is their default.
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
    """The same fault for all requests in the first `length` of every `period` seconds, the first request being at 0."""

    def __init__(self, fault: Fault, *, period: float, length: float) -> None:
        self._fault, self._period, self._length = fault, period, length
        self._began: float | None = None

    def pick(self, request: Request) -> Fault | None:
        if request.operation not in self._fault.on:
            return None
        now = time.monotonic()
        if self._began is None:
            self._began = now  # two threads at once: the same moment
        return self._fault if (now - self._began) % self._period < self._length else None


class Every:
    """One fault at the first request after each `period` seconds from now; the first after one period."""

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
