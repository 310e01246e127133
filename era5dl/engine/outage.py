"""Outages: the network, the trust in the certificate or the disk fails for all workers, which wait until it recovers.

What counts as an outage is decided by `era5dl.errors` (the reaction of each class) and `era5dl.engine.failures`.

During a network outage a prober sends requests on behalf of all workers; nothing else is retried, and no file fails. It
sends HEAD for a key of the plan, since a bucket may deny HeadBucket and still serve its objects. The outage ends with
any response that S3 could give, even an error response.

The S3 client is not created again, because only its sockets can become unusable. Dead ones are dropped when they are
found, idle ones by `drop_idle_connections`, and each new connection resolves the name again. A new client would also
drop working connections.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import NamedTuple

from era5dl import thread_registry
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket
from era5dl.engine.events import State
from era5dl.engine.retry import Draw
from era5dl.errors import (
    BadResponse,
    DiskFull,
    Era5Error,
    Interrupted,
    StaleConnection,
    Stopped,
    Unreachable,
    Untrusted,
)

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # seconds between probes; the last pause repeats


class _Cause(NamedTuple):
    """Cause of an outage. state: None without an outage. kind: `Era5Error.kind`."""

    state: State | None = None
    reason: str = ""
    kind: str = ""


_NONE = _Cause()


class Outage:
    """The current network outage and disk outage of a run. Every method is called under the engine's lock.

    If there are both, the disk outage is reported, since the user has to do something about it. The prober detects the
    end of a network outage, the maintenance thread the end of a disk outage.
    """

    def __init__(self, bucket: Bucket, on_probe: Callable[[Era5Error | None, int], None]) -> None:
        """on_probe(error, failures): called without the lock after each failed probe with its error, and with None when
        the bucket has answered; failures is then the number of failed probes before."""
        self._bucket = bucket
        self._on_probe = on_probe
        self._disk = self._network = _NONE
        self._prober: Prober | None = None

    @property
    def state(self) -> State | None:
        """The waiting state of the run; None without an outage."""
        return (self._disk if self.is_disk else self._network).state

    @property
    def reason(self) -> str:
        """In English; "" without an outage."""
        return (self._disk if self.is_disk else self._network).reason

    @property
    def kind(self) -> str:
        """`Era5Error.kind` of the reason."""
        return (self._disk if self.is_disk else self._network).kind

    @property
    def is_disk(self) -> bool:
        """Whether the disk has failed."""
        return self._disk is not _NONE

    @property
    def probing(self) -> bool:
        """Whether a prober is running."""
        return self._prober is not None

    def disk_failed(self, error: Era5Error) -> None:
        """Start a disk outage: the disk is full, or the folder or its disk is missing."""
        state = State.WAITING_FOR_ROOM if isinstance(error, DiskFull) else State.WAITING_FOR_DISK
        self._disk = _Cause(state, _describe(error), error.kind)

    def network_failed(self, error: Era5Error, key: str) -> None:
        """Start a network outage: the bucket cannot be reached or trusted. Probe for `key`. Raises OutOfThreads."""
        self.update_reason(error)
        self.probe(key)

    def probe(self, key: str) -> None:
        """Probe for `key` until the bucket answers. This alone does not start an outage. Raises OutOfThreads."""
        if self._prober is None:
            prober = Prober(
                self._bucket,
                key,
                random.uniform,
                on_failure=lambda error: self._on_probe(error, 0),
                on_answer=lambda failures: self._on_probe(None, failures),
            )
            prober.begin()
            self._prober = prober

    def update_reason(self, error: Era5Error) -> None:
        """Set the reason of the network outage to the error of the latest attempt or probe."""
        state = State.WAITING_FOR_TRUST if isinstance(error, Untrusted) else State.WAITING_FOR_NETWORK
        self._network = _Cause(state, _describe(error), error.kind)

    def network_recovered(self) -> None:
        """End the network outage: the bucket has answered."""
        self._network, self._prober = _NONE, None

    def disk_recovered(self) -> None:
        """End the disk outage: the disk has space, and the folder is writable."""
        self._disk = _NONE

    def stop_probing(self) -> None:
        """End the prober at the end of the run."""
        if self._prober is not None:
            self._prober.stop()


def _describe(error: Era5Error) -> str:
    return f"{error}. {error.remedy}".removesuffix(". ") if error.remedy else str(error)


class Prober(threading.Thread):
    """Sends HEAD requests until the bucket answers or it is stopped.

    on_failure(error): called after each failed probe. on_answer(failures): called once, with the number of failed
    probes.
    """

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        draw: Draw,
        on_failure: Callable[[Era5Error], None],
        on_answer: Callable[[int], None],
    ) -> None:
        super().__init__(name="era5dl-prober", daemon=True)
        self._bucket, self._key, self._draw = bucket, key, draw
        self._on_failure, self._on_answer = on_failure, on_answer
        self._stopped = threading.Event()
        self._abort = Abort()

    def begin(self) -> None:
        """Start the thread. Raises OutOfThreads."""
        thread_registry.start_thread(self, self.stop)

    def stop(self) -> None:
        """Make the thread end soon. Returns at once."""
        self._stopped.set()
        self._abort.trigger("stop")

    def run(self) -> None:
        failures = 0
        while not self._stopped.wait(self._draw(0.5, 1.0) * PAUSES[min(failures, len(PAUSES) - 1)]):
            self._bucket.drop_idle_connections()
            try:
                self._bucket.head(self._key, self._abort)
            except (Unreachable, Untrusted, BadResponse, Interrupted, StaleConnection, Stopped) as error:
                failures += 1
                if not self._stopped.is_set():
                    self._on_failure(error)
                continue
            except Era5Error:
                pass  # an error response is an answer
            self._on_answer(failures)
            return
