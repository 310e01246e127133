"""What holds up everybody: no network, no trust, no room. Nobody asks for anything until it is over.

All of it under the engine's lock. The network and the certificate are watched by the prober's thread, the disk by the
keeper's.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from era5dl.bucket.store import Bucket
from era5dl.engine.events import State
from era5dl.engine.outage import Prober
from era5dl.errors import Era5Error, Untrusted


class Trouble:
    """At most one trouble at a time; the latest one is told, and the disk's is the one that stays."""

    def __init__(self, bucket: Bucket, on_probe: Callable[[Era5Error | None, int], None]) -> None:
        """on_probe(error, failures): a probe has failed with this error; or, with None, the bucket has answered."""
        self.state: State | None = None
        self.reason = self.kind = ""
        self._bucket = bucket
        self._on_probe = on_probe
        self._prober: Prober | None = None

    @property
    def is_disk(self) -> bool:
        """Whether it is the disk's."""
        return self.state is State.WAITING_FOR_DISK

    def disk(self, error: Era5Error) -> None:
        """There is no room, or no folder any more."""
        self._is(State.WAITING_FOR_DISK, error)

    def network(self, error: Era5Error, key: str) -> None:
        """The bucket cannot be reached or trusted: one prober asks for `key` from now on."""
        if not self.is_disk:
            self._is(_waiting_for(error), error)
        if self._prober is None:
            self._prober = Prober(
                self._bucket,
                key,
                random.uniform,
                on_news=lambda news: self._on_probe(news, 0),
                on_back=lambda failures: self._on_probe(None, failures),
            )
            self._prober.start()

    def still(self, error: Era5Error) -> None:
        """A probe has failed; what it says is the latest news."""
        if self.state is not None and not self.is_disk:
            self._is(_waiting_for(error), error)

    def network_is_back(self) -> None:
        """The bucket has answered."""
        self._prober = None
        if not self.is_disk:
            self._is(None)

    def disk_is_back(self) -> None:
        """There is room again, and the folder takes files."""
        if self.is_disk:
            self._is(None if self._prober is None else State.WAITING_FOR_NETWORK)

    def end(self) -> None:
        """Nobody waits for it any more."""
        if self._prober is not None:
            self._prober.stop()

    def _is(self, state: State | None, error: Era5Error | None = None) -> None:
        self.state = state
        self.reason, self.kind = ("", "") if error is None else (_said(error), error.kind)


def _waiting_for(error: Era5Error) -> State:
    return State.WAITING_FOR_TRUST if isinstance(error, Untrusted) else State.WAITING_FOR_NETWORK


def _said(error: Era5Error) -> str:
    return f"{error}. {error.remedy}".removesuffix(". ") if error.remedy else str(error)
