"""While the network is down one prober asks for all: the workers wait, nothing is retried, nothing is failed.

It asks for what we need (HeadObject of a wanted key), since a bucket may well refuse HeadBucket and give its objects.
Any answer that S3 could have given means that the network is back, an error answer included.

The client is never made anew, neither here nor anywhere: all it holds that can go bad are sockets.  Dead ones are
dropped one by one as they are found, idle ones all together by `drop_idle_connections`; names are looked up again for
each new connection.  A new client would only throw away good connections besides (measured: 3 ms from the same
session, 126 ms from a new one), and for a bucket that merely refuses, for ever.  What a client reads once and keeps,
proxy and CA file, comes from the settings, and other settings make another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from era5dl import thread_registry
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket
from era5dl.engine.retry import Draw
from era5dl.errors import BadResponse, Era5Error, Interrupted, StaleConnection, Stopped, Unreachable, Untrusted

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # seconds between probes; the last one stays


class Prober(threading.Thread):
    """Asks until the bucket answers or it is told to stop, then calls `on_back(probes that failed)`."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        draw: Draw,
        on_news: Callable[[Era5Error], None],
        on_back: Callable[[int], None],
    ) -> None:
        super().__init__(name="era5dl-prober", daemon=True)
        self._bucket, self._key, self._draw = bucket, key, draw
        self._on_news, self._on_back = on_news, on_back
        self._stop_asked = threading.Event()
        self._abort = Abort()

    def begin(self) -> None:
        """Start it. Raises OutOfThreads."""
        thread_registry.start(self, self.stop)

    def stop(self) -> None:
        """End soon; returns at once."""
        self._stop_asked.set()
        self._abort.trip("stop")

    def run(self) -> None:
        failures = 0
        while not self._stop_asked.wait(self._draw(0.5, 1.0) * PAUSES[min(failures, len(PAUSES) - 1)]):
            self._bucket.drop_idle_connections()
            try:
                self._bucket.head(self._key, self._abort)
            except (Unreachable, Untrusted, BadResponse, Interrupted, StaleConnection, Stopped) as error:
                failures += 1
                if not self._stop_asked.is_set():
                    self._on_news(error)
                continue
            except Era5Error:
                pass  # an answer
            self._on_back(failures)
            return
