"""What holds up everybody: no network, no trust, no room. Nobody asks for anything until it is over.

All of it under the engine's lock. The network and the certificate are watched by the prober's thread, the disk by the
keeper's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from era5dl.bucket.interface import Bucket
from era5dl.engine.events import State
from era5dl.engine.prober import Prober
from era5dl.errors import DiskFull, Era5Error, Untrusted


class _Told(NamedTuple):
    """state: None while there is no trouble. kind: of the error."""

    state: State | None = None
    reason: str = ""
    kind: str = ""


_NONE = _Told()


class Trouble:
    """The disk's and the network's are known apart. While there are both, the disk's is told: it is the one that a
    person has to do something about."""

    def __init__(self, bucket: Bucket, on_probe: Callable[[Era5Error | None, int], None]) -> None:
        """on_probe(error, failures): a probe has failed with this error; or, with None, the bucket has answered."""
        self._bucket = bucket
        self._on_probe = on_probe
        self._disk = self._network = _NONE
        self._prober: Prober | None = None

    @property
    def state(self) -> State | None:
        """None while there is no trouble."""
        return (self._disk if self.is_disk else self._network).state

    @property
    def reason(self) -> str:
        """In English; "" while there is no trouble."""
        return (self._disk if self.is_disk else self._network).reason

    @property
    def kind(self) -> str:
        """`Era5Error.kind`."""
        return (self._disk if self.is_disk else self._network).kind

    @property
    def is_disk(self) -> bool:
        """Whether it is the disk's."""
        return self._disk is not _NONE

    @property
    def probing(self) -> bool:
        """Whether the bucket is being asked whether it is there."""
        return self._prober is not None

    def disk(self, error: Era5Error) -> None:
        """There is no room, or no folder any more."""
        state = State.WAITING_FOR_ROOM if isinstance(error, DiskFull) else State.WAITING_FOR_DISK
        self._disk = _Told(state, _said(error), error.kind)

    def network(self, error: Era5Error, key: str) -> None:
        """The bucket cannot be reached or trusted: one prober asks for `key` from now on."""
        self.still(error)
        self.check(key)

    def check(self, key: str) -> None:
        """Ask the bucket for `key`, until it answers. While nothing is known against it that is no trouble.

        Raises OutOfThreads where there is none that could ask.
        """
        if self._prober is None:
            prober = Prober(
                self._bucket,
                key,
                random.uniform,
                on_news=lambda news: self._on_probe(news, 0),
                on_back=lambda failures: self._on_probe(None, failures),
            )
            prober.begin()
            self._prober = prober

    def still(self, error: Era5Error) -> None:
        """The network is in trouble; what the last attempt or probe says is the latest news."""
        state = State.WAITING_FOR_TRUST if isinstance(error, Untrusted) else State.WAITING_FOR_NETWORK
        self._network = _Told(state, _said(error), error.kind)

    def network_is_back(self) -> None:
        """The bucket has answered."""
        self._network, self._prober = _NONE, None

    def disk_is_back(self) -> None:
        """There is room again, and the folder takes files."""
        self._disk = _NONE

    def end(self) -> None:
        """Nobody waits for it any more."""
        if self._prober is not None:
            self._prober.stop()


def _said(error: Era5Error) -> str:
    return f"{error}. {error.remedy}".removesuffix(". ") if error.remedy else str(error)
