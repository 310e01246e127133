"""The demo's bucket for the window: made and served beside it, so that the window is there at once.

The files are made in a process of their own: what they take of memory (twice what the window does) is gone with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from era5dl import thread_registry
from era5dl.errors import OutOfThreads
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, Message

_MAKE = """
import sys
from pathlib import Path
from era5dl.demo import make_bucket
make_bucket(Path(sys.argv[1]), lambda done, total: print(done, total, flush=True))
"""


class DemoServerThread:
    """`tell` hears DemoMaking, then DemoReady or DemoFailed. The server ends with `stop`, or with this program."""

    def __init__(self, cache: Path, tell: Callable[[Message], None]) -> None:
        self._cache, self._tell = cache, tell
        self._over = threading.Event()
        self._gone = threading.Event()

    def start(self) -> None:
        thread = threading.Thread(target=self._serve, name="era5dl-demo", daemon=True)
        try:
            thread_registry.start(thread, self.stop)
        except OutOfThreads as error:
            self._tell(messages.DemoFailed(ErrorInfo.of(error)))

    def stop(self) -> None:
        """Returns at once; the keeper of the server ends it, whatever happens to us."""
        self._over.set()

    def _serve(self) -> None:
        try:
            from era5dl.demo import DemoBucket, make_bucket

            self._make_apart()
            source = make_bucket(self._cache, self._made)  # there already; or it says why it is not
            os.environ["NO_PROXY"] = "127.0.0.1," + os.environ.get("NO_PROXY", "")  # the server is on this machine
            with DemoBucket(source) as server:
                self._tell(messages.DemoReady(server.endpoint_url, server.bucket))
                self._over.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no demo
            self._tell(messages.DemoFailed(ErrorInfo.of(error)))

    def _make_apart(self) -> None:
        import era5dl

        places = [str(Path(era5dl.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        with subprocess.Popen(
            [sys.executable, "-c", _MAKE, str(self._cache)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if self._over.is_set():
                    child.terminate()
                    return
                self._made(*map(int, line.split()))

    def _made(self, done: int, total: int) -> None:
        self._tell(messages.DemoProgressed(done, total))
