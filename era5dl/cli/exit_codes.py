"""Exit codes of the command line. They are stable: scripts depend on them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from era5dl.errors import Era5Error, Stopped, UsageError

if TYPE_CHECKING:
    from era5dl.engine.events import RunEnded


class ExitCode(IntEnum):
    """What an exit code means."""

    OK = 0  # all files are complete and verified
    INCOMPLETE = 1  # some files failed or are missing in the bucket
    USAGE = 2  # invalid command line or selection
    FAILED = 3  # the command cannot continue: disk, folder, endpoint, certificate, session
    REMAINING = 75  # blocks of a divided download remain, which other computers may be working on
    INTERRUPTED = 130  # by the user; the download can be resumed


def for_error(error: Era5Error) -> ExitCode:
    """Return the exit code of a command that an error ended."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    return ExitCode.INTERRUPTED if isinstance(error, Stopped) else ExitCode.FAILED


def for_run(ended: RunEnded, missing: int) -> ExitCode:
    """Return the exit code of a finished run. missing: number of files that are not in the bucket.

    ended by        remaining                     code
    an error        any                           FAILED
    the user        unfinished files              INTERRUPTED
    itself          failed, missing, unfinished   INCOMPLETE
    itself          none                          OK
    """
    if ended.error:
        return ExitCode.FAILED
    if ended.stopped and ended.unfinished:
        return ExitCode.INTERRUPTED
    return ExitCode.INCOMPLETE if ended.failed or missing or ended.unfinished else ExitCode.OK
