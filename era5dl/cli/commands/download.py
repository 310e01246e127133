"""download, resume: plan (or the plan of a session), room on the disk, and the run itself."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.arguments import make_plan, open_bucket, settings_from
from era5dl.cli.commands.plan import record_plan
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.cli.run_session import conclude, drive
from era5dl.errors import OtherEndpoint, SessionNotFound, UsageError
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Plan
    from era5dl.session import Session
    from era5dl.settings import Settings


def download(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Plan, then fetch. Run again with the same words, it goes on."""
    settings = settings_from(arguments)
    bucket = open_bucket(settings)
    made = make_plan(arguments, settings, bucket, voice, interrupts)
    record_plan(made, voice, arguments.out)
    absent = f", {len(made.missing):,} missing upstream" if made.missing else ""
    voice.say(f"Planned: {format_count(len(made.objects), 'file')}, {format_size(made.total_bytes)}{absent}")
    return fetch(bucket, made, arguments.out, settings, voice, interrupts)


def fetch(bucket: Bucket, made: Plan, out: Path, settings: Settings, voice: Voice, interrupts: Interrupts) -> int:
    """Fetch a plan into a folder: what download does, and the demo too."""
    from era5dl.session import Session

    with Session.begin(out, made, settings) as session:
        finished = drive(bucket, session, settings, voice, interrupts)
        return conclude(finished, made.missing, session, voice)


def resume(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Go on with a session as it was planned; the bucket is not listed again."""
    from era5dl.session import Session

    with Session.open(*find_session(arguments.session)) as session:
        settings = settings_of(session, arguments, voice)
        if settings.endpoint_url:
            voice.say(f"The files of this session come from {settings.endpoint_url}, not from Amazon.")
        finished = drive(open_bucket(settings), session, settings, voice, interrupts)
        return conclude(finished, session.plan.missing, session, voice)


def settings_of(session: Session, arguments: argparse.Namespace, voice: Voice) -> Settings:
    """The settings a session was begun with; flags change how it is reached and how fast, never where files land.

    Raises OtherEndpoint when it names a server that neither the settings nor the person at the terminal agree to.
    """
    from era5dl.session.origin import check_origin

    info = session.info
    settings = settings_from(arguments, endpoint_url=info.endpoint_url, region=info.region, verify=info.verify)
    settings = replace(settings, bucket=info.bucket, flat=info.flat)
    try:
        check_origin(settings, settings_from(arguments), arguments.allow_endpoint)
    except OtherEndpoint as other:
        if not voice.agreed(f"{other}. Fetch from there?"):
            raise
    return settings


def find_session(name: str) -> tuple[Path, str | None]:
    """The folder and session that are meant by a folder, a session id, or the first letters of one.

    A folder wins; with None for the session, its newest unfinished one is meant.
    """
    from era5dl.session import known_sessions

    if Path(name).is_dir():
        return Path(name), None
    found = [known for known in known_sessions() if known.id.startswith(name)] if name else []
    if len({known.id for known in found}) > 1:
        raise UsageError(f"More than one session begins with {name}.", remedy="Give more letters of its id.")
    if not found:
        raise SessionNotFound(
            f"There is no folder and no session {name}.", remedy="`era5dl sessions` lists the sessions that are known."
        )
    return found[0].folder, found[0].id
