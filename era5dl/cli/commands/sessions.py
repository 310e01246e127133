"""sessions: what was begun on this computer, and how far it is."""

from __future__ import annotations

import argparse
import time

from era5dl.cli import FINE
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice, table
from era5dl.formatting import format_size
from era5dl.session import SessionSummary, known_sessions


def sessions(_arguments: argparse.Namespace, voice: Voice, _interrupts: Interrupts) -> int:
    """A line a session, the one used last first. Asks no server and changes nothing."""
    known = known_sessions()
    for one in known:
        voice.record(
            "known-session",
            session=one.id,
            folder=str(one.folder),
            title=one.title,
            state=one.status.value,
            files=one.files,
            done_files=one.done_files,
            failed=one.failed,
            bytes=one.total_bytes,
            done_bytes=one.done_bytes,
            created=one.created,
            updated=one.updated,
        )
    if known:
        head = ("SESSION", "STATE", "FILES", "SIZE", "LAST USED", "WHAT", "FOLDER")
        voice.results(table([_row(one) for one in known], head=head, right=(2, 3)))
    else:
        voice.say("No session is known here; `era5dl resume DIR` finds those of a folder.")
    return FINE


def _row(one: SessionSummary) -> tuple[str, ...]:
    return (
        one.id,
        one.status.value,
        f"{one.done_files:,}/{one.files:,}",
        f"{format_size(one.done_bytes)} of {format_size(one.total_bytes)}",
        time.strftime("%Y-%m-%d %H:%M", time.localtime(one.updated)),
        one.title,
        str(one.folder),
    )
