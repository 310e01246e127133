"""The demo's bucket for the window: made and served on a thread, so that the window is there at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from era5dl.gui import facts
from era5dl.gui.facts import Fact, Trouble


class DemoThread:
    """`tell` hears DemoMaking, then DemoReady or DemoFailed. The server ends with `stop`, or with this program."""

    def __init__(self, cache: Path, tell: Callable[[Fact], None]) -> None:
        self._cache, self._tell = cache, tell
        self._over = threading.Event()
        self._gone = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._serve, name="era5dl-demo", daemon=True).start()

    def stop(self) -> None:
        """Returns at once; the keeper of the server ends it, whatever happens to us."""
        self._over.set()

    def _serve(self) -> None:
        try:
            from era5dl.demo import DemoBucket, make_bucket

            source = make_bucket(self._cache, lambda done, total: self._tell(facts.DemoMaking(done, total)))
            os.environ["NO_PROXY"] = "127.0.0.1," + os.environ.get("NO_PROXY", "")  # the server is on this machine
            with DemoBucket(source) as server:
                self._tell(facts.DemoReady(server.endpoint_url, server.bucket))
                self._over.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no demo
            self._tell(facts.DemoFailed(Trouble.of(error)))
