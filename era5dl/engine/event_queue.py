"""Events on their way to the listener: put in under the engine's lock, told after it is released, in order."""

from __future__ import annotations

import logging
import threading
from collections import deque

from era5dl.engine.events import Event, Listener

log = logging.getLogger("era5dl")


class Outbox:
    """Keeps the order even when many threads tell at once; a listener may call back into the engine."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._waiting: deque[Event] = deque()
        self._telling = threading.RLock()

    def put(self, event: Event) -> None:
        """To be told soon. Calls nobody."""
        self._waiting.append(event)

    def tell(self) -> None:
        """Tell all that waits. Never with the engine's lock held."""
        if not self._waiting:
            return  # mostly so; and who has put something in comes here after it
        with self._telling:
            while self._waiting:
                event = self._waiting.popleft()
                try:
                    self._listener(event)
                except Exception:  # a listener's bug must not end a download of days
                    log.exception("a listener failed on %s", type(event).__name__)


class Locked:
    """A run, to be changed; what happened is told afterwards, unless an error leaves. Entered many times, by many."""

    def __init__(self, lock: threading.RLock, outbox: Outbox) -> None:
        self._lock, self._outbox = lock, outbox

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._lock.release()
        if error is None:
            self._outbox.tell()
