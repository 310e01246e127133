"""demo: a small ERA5 bucket on this machine, the ordinary download from it, and a proof that does not trust it.

Everything lies in one folder that may be deleted: OUT/server is what the S3 server serves, OUT/era5 what was fetched.
The server has another port each time, so a demo that is run again goes on with the session that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from era5dl.cli import FINE, INCOMPLETE
from era5dl.cli.arguments import open_bucket, settings_from
from era5dl.cli.commands.download import fetch
from era5dl.cli.commands.plan import record_plan
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.cli.run_session import conclude, drive
from era5dl.formatting import format_count, format_size
from era5dl.planner import make_plan
from era5dl.session import Session, list_sessions
from era5dl.settings import Settings


def demo(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Make the files, serve them, fetch them, prove them, open them. Exit code 0 only when all is proven."""
    from era5dl.demo import DemoServer, create_dataset

    out = Path(arguments.out)
    voice.say(f"Everything is in {out}, which may be deleted afterwards.")
    if arguments.gui:
        return int(import_module("era5dl.gui").main(["--demo", "--out", str(out / "era5")]))
    source = create_dataset(out / "server", _Making(voice).tell)
    os.environ["NO_PROXY"] = "127.0.0.1," + os.environ.get("NO_PROXY", "")  # the server is on this machine
    with DemoServer(source) as server:
        voice.say(f"An S3 server with these files listens on {server.endpoint_url}; its speed is limited.")
        settings = replace(
            settings_from(arguments), endpoint_url=server.endpoint_url, bucket=server.bucket, proxy=None, ca_bundle=None
        )
        code = _fetch(settings, out / "era5", voice, interrupts)
        if code != FINE:
            return code
    return _prove(source / settings.bucket, out / "era5", voice)


def _fetch(settings: Settings, folder: Path, voice: Voice, interrupts: Interrupts) -> int:
    """The ordinary download; or what an earlier demo left to do."""
    from era5dl.demo import selection

    bucket = open_bucket(settings)
    with interrupts.gracefully():
        made = make_plan(selection(), bucket, cancelled=interrupts.asked.is_set)
    record_plan(made, voice, folder)
    earlier = next((one for one in list_sessions(folder) if one.files == len(made.objects)), None)
    if earlier is None:
        return fetch(bucket, made, folder, settings, voice, interrupts)
    with Session.open(folder, earlier.id) as session:
        finished = drive(bucket, session, replace(settings, flat=session.info.flat), voice, interrupts)
        return conclude(finished, session.plan.missing, session, voice)


def _prove(source: Path, folder: Path, voice: Voice) -> int:
    """Compare what arrived with what was served, byte by byte, and open it: no word of the download is believed."""
    from era5dl.demo import describe_file

    with Session.open(folder) as session:
        pairs = [(obj.key, session.paths.final(index)) for index, obj in enumerate(session.plan.objects)]
    different = 0
    for key, path in pairs:
        digest = _sha256(path)
        identical = digest == _sha256(source / key)
        different += not identical
        content = describe_file(path) if identical else "not opened"
        length = path.stat().st_size
        voice.record(
            "demo-file", key=key, path=str(path), size=length, sha256=digest, identical=identical, content=content
        )
        voice.result(
            f"{'identical' if identical else 'DIFFERENT'}  {key}  {format_size(length)}  sha256 {digest[:16]}..."
        )
        voice.result(f"           {content}")
    if different:
        voice.insist(f"{format_count(different, 'file')} of {len(pairs)} differ from what the server holds.")
        return INCOMPLETE
    voice.insist(f"All {format_count(len(pairs), 'file')} are the server's, byte by byte; they are in {folder}.")
    return FINE


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


class _Making:
    """Says how far the making of the files is, every second at most."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._next = 0.0

    def tell(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + 1.0
            self._voice.say(f"Making netCDF files for the demo: {done} of {total}")
