"""The log file: what happened, for the day somebody asks. It turns over in the user's state folder and holds no secret.

What urllib3 and botocore have to say goes there too, instead of onto the terminal in the middle of a progress display.
A log that cannot be written is no reason not to download.
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

MOST_BYTES = 1_000_000  # of one file
OLD_FILES = 3  # kept beside it
OURS = "era5dl"
THEIRS = ("urllib3", "botocore", "boto3", "py.warnings")


def log_path() -> Path:
    """Where the log of this user is."""
    return state_folder() / "logs" / "era5dl.log"


def start_logging(path: Path | None = None) -> Callable[[], None]:
    """Write the log from now on, to `path` or the usual place; call what is returned to end it. Raises nothing.

    Ours from INFO on, of the libraries only warnings. Where no file can be had, warnings are dropped, not printed.
    """
    handler: logging.Handler
    try:
        path = path or log_path()
        handler = _TurningFile(
            path, maxBytes=MOST_BYTES, backupCount=OLD_FILES, encoding="utf-8", errors="replace", delay=True
        )
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home folder
        handler = logging.NullHandler()
    handler.setFormatter(_Discreet())
    before = {name: logging.getLogger(name).level for name in (OURS, *THEIRS)}
    for name in before:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO if name == OURS else logging.WARNING)
        logger.addHandler(handler)

    def end() -> None:
        for name, level in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        with suppress(OSError, ValueError):
            handler.close()

    return end


def last_lines(count: int = 400, path: Path | None = None) -> list[str]:
    """The newest lines of the log, the oldest of them first; empty when there is none."""
    try:
        with (path or log_path()).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400 * count))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except (OSError, RuntimeError):
        return []


class _Discreet(logging.Formatter):
    """One line a record in UTC, a traceback below it; a hostile key or server can neither forge a line nor leak."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return redact_secrets(super().format(record))


class _TurningFile(RotatingFileHandler):
    """Made when there is something to write. On Windows a file that another program of ours has open cannot be
    renamed; then this one simply grows on."""

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
        """A full disk must not print a traceback for each line that could not be written."""
