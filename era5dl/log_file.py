"""Rotating log file in the user's state folder, without secrets.

Warnings of urllib3 and botocore are written there too, instead of to the terminal in the middle of a progress display.
A download does not fail when the log cannot be written.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from era5dl.folder.private_files import make_private_folder, open_private, restrict_files
from era5dl.formatting import printable
from era5dl.redaction import redact_secrets
from era5dl.session.index import state_folder

MAX_BYTES = 1_000_000  # per file
OLD_FILES = 3  # rotated files that are kept
OWN_LOGGER = "era5dl"
LIBRARY_LOGGERS = ("urllib3", "botocore", "py.warnings")


def log_path() -> Path:
    """Return the path of this user's log file."""
    return state_folder() / "logs" / "era5dl.log"


def start_logging(path: Path | None = None) -> Callable[[], None]:
    """Start logging to `path`, by default `log_path()`; return a function that stops it. Never raises.

    Logs messages of this program from INFO on, and warnings of the libraries. If the file cannot be written, they are
    dropped, not printed.
    """
    handler: logging.Handler
    try:
        path = path or log_path()
        handler = _PrivateRotatingFile(
            path, maxBytes=MAX_BYTES, backupCount=OLD_FILES, encoding="utf-8", errors="replace", delay=True
        )
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home folder
        handler = logging.NullHandler()
    handler.setFormatter(_RedactingFormatter())
    levels = {name: logging.getLogger(name).level for name in (OWN_LOGGER, *LIBRARY_LOGGERS)}
    for name in levels:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO if name == OWN_LOGGER else logging.WARNING)
        logger.addHandler(handler)

    def stop() -> None:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        with suppress(OSError, ValueError):
            handler.close()

    return stop


def last_lines(count: int = 400, path: Path | None = None) -> list[str]:
    """Return the last `count` lines of the log, oldest first; an empty list when there is no log."""
    try:
        with (path or log_path()).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400 * count))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except (OSError, RuntimeError):
        return []


class _RedactingFormatter(logging.Formatter):
    """Formats a record as one line with UTC time, followed by its traceback. Removes control characters, with which a
    key or a server could forge lines, and secrets."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return redact_secrets(super().format(record))


class _PrivateRotatingFile(RotatingFileHandler):
    """Rotating log file that only this user can read, created at the first record.

    On Windows a file that is open in another process of this program cannot be renamed; then it is not rotated.
    """

    def _open(self) -> TextIOWrapper:
        make_private_folder(Path(self.baseFilename).parent)
        restrict_files(f"{self.baseFilename}.{number}" for number in range(1, OLD_FILES + 1))
        return os.fdopen(open_private(self.baseFilename), "a", encoding=self.encoding, errors=self.errors)

    def doRollover(self) -> None:
        try:
            super().doRollover()
        except OSError:
            if self.stream is None:
                self.stream = self._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error: a full disk must not print a traceback for each line that could not be written."""
