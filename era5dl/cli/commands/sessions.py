"""Command `sessions`: lists the sessions started on this computer and their progress."""

from __future__ import annotations

import argparse
import time

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output, table
from era5dl.formatting import format_size
from era5dl.session import SessionSummary, known_sessions


def sessions(_arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print a line per session, the last used first. Sends no requests and changes nothing."""
    known = known_sessions()
    for session in known:
        output.record(
            "known-session",
            session=session.id,
            folder=str(session.folder),
            title=session.title,
            state=session.status.value,
            files=session.files,
            done_files=session.done_files,
            failed=session.failed,
            bytes=session.total_bytes,
            done_bytes=session.done_bytes,
            created=session.created,
            updated=session.updated,
        )
    if known:
        head = ("SESSION", "STATE", "FILES", "SIZE", "LAST USED", "SELECTION", "FOLDER")
        output.results(table([_row(session) for session in known], head=head, right=(2, 3)))
    else:
        output.info("No sessions are known on this computer. `era5dl resume DIR` finds those in a folder.")
    return ExitCode.OK


def _row(session: SessionSummary) -> tuple[str, ...]:
    return (
        session.id,
        session.status.value,
        f"{session.done_files:,}/{session.files:,}",
        f"{format_size(session.done_bytes)} of {format_size(session.total_bytes)}",
        time.strftime("%Y-%m-%d %H:%M", time.localtime(session.updated)),
        session.title,
        str(session.folder),
    )
