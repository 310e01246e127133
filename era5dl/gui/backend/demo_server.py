"""Demo server of the window: creates the demo files in a child process, then serves them.

The window opens without waiting for the files. They are created in a child process because that needs twice as much
memory as the window itself. The system gets this memory back when the process ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from era5dl import thread_registry
from era5dl.child_process import command_of
from era5dl.errors import OutOfThreads
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, Message


def make_files(cache: str) -> None:
    """Create the demo files, and write "done total" to stdout after each of them. Runs in the child process."""
    from era5dl.demo import create_dataset

    def report(done: int, total: int) -> None:
        sys.stdout.write(f"{done} {total}\n")
        sys.stdout.flush()

    create_dataset(Path(cache), report)


class DemoServerThread:
    """Posts DemoProgressed, then DemoReady or DemoFailed. The server runs until `stop`, or the end of this program."""

    def __init__(self, cache: Path, post: Callable[[Message], None]) -> None:
        self._cache, self._post = cache, post
        self._stopped = threading.Event()

    def start(self) -> None:
        thread = threading.Thread(target=self._serve, name="era5dl-demo", daemon=True)
        try:
            thread_registry.start_thread(thread, self.stop)
        except OutOfThreads as error:
            self._post(messages.DemoFailed(ErrorInfo.of(error)))

    def stop(self) -> None:
        """Stop the server. Returns at once: the process that watches the server terminates it."""
        self._stopped.set()

    def _serve(self) -> None:
        try:
            from era5dl.demo import DemoServer, create_dataset

            self._run_child()
            source = create_dataset(self._cache, self._report)  # the files exist, or this raises why they do not
            os.environ["NO_PROXY"] = "127.0.0.1," + os.environ.get("NO_PROXY", "")  # the server is on this machine
            with DemoServer(source) as server:
                self._post(messages.DemoReady(server.endpoint_url, server.bucket))
                self._stopped.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no demo
            self._post(messages.DemoFailed(ErrorInfo.of(error)))

    def _run_child(self) -> None:
        """Create the demo files in a child process that imports the same era5dl as this one."""
        import era5dl

        search_path = [str(Path(era5dl.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        with subprocess.Popen(
            [*command_of("era5dl.gui.backend.demo_server"), str(self._cache)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if self._stopped.is_set():
                    child.terminate()
                    return
                self._report(*map(int, line.split()))

    def _report(self, done: int, total: int) -> None:
        self._post(messages.DemoProgressed(done, total))


if __name__ == "__main__":
    make_files(sys.argv[1])
