"""verify: are the files on disk the server's bytes? --repair then fetches what differs or is absent, and only that.

A folder that era5dl fetched into has sessions, which say what belongs there. In any other folder every .nc file whose
path below it is a key of the bucket is looked up there, and becomes a session that the repair can work with.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from era5dl.cli import FINE, INCOMPLETE
from era5dl.cli.arguments import open_bucket, settings_from
from era5dl.cli.commands.download import settings_of
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.cli.plain_display import checked_lines
from era5dl.cli.run_session import conclude, drive
from era5dl.engine.reporting import group_by_reason
from era5dl.engine.verify_files import WRONG_BYTES, FileCondition, FileReport
from era5dl.engine.verify_files import verify as look_at
from era5dl.errors import FolderUnusable, UnsafeKey, UsageError
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import format_count, format_duration, format_size
from era5dl.session import Session, list_sessions

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.session import Checkpoint

GOOD = (FileCondition.VERIFIED, FileCondition.CHECKED)
NONE_MATCHES = (
    "No file matches the server's ETag. If this server's ETags are not MD5s, say so with --opaque-etags: "
    "files are then checked, not verified."
)
EVERY = 10.0  # seconds between two lines about how far it is


def verify(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Every session of the folder, the newest first; what a newer one has looked at already is not looked at again."""
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise FolderUnusable(f"There is no folder {folder}.")
    code = FINE
    seen: set[Path] = set()
    for session in _sessions(folder, arguments, voice, interrupts):
        paths = _paths(session)
        if paths <= seen:
            continue
        seen |= paths
        settings = settings_of(session, arguments, voice)
        bucket = open_bucket(settings)
        before = session.checkpoint
        examined = _look(bucket, session, settings.opaque_etags, voice, interrupts)
        found = FINE if all(one.condition in GOOD for one in examined) else INCOMPLETE
        bad = [one.index for one in examined if _was_spoilt(one, before)]
        if bad and arguments.repair:
            found = conclude(drive(bucket, session, settings, voice, interrupts, only=bad), (), session, voice)
        code = max(code, found)
    return code


def _was_spoilt(one: FileReport, before: Checkpoint) -> bool:
    """Whether a repair has to mend it: what is wrong, or was finished and is gone. What never came is `resume`'s."""
    if one.condition is FileCondition.ABSENT:
        return one.index in before.verified or one.index in before.checked
    return one.condition is FileCondition.WRONG


def _look(
    bucket: Bucket, session: Session, opaque_etags: bool, voice: Voice, interrupts: Interrupts
) -> list[FileReport]:
    """Look at the files of one session and say what is not as it should be."""
    examined: SimpleQueue[FileReport] = SimpleQueue()
    watch = _Watch(session, voice, examined)
    voice.say(
        f"Proving {format_count(len(session.plan.objects), 'file')} in {session.folder} ({session.info.title}) ..."
    )
    everything = interrupts.background(
        lambda: look_at(bucket, session, examined.put, interrupts.asked.is_set, opaque_etags=opaque_etags), watch.tell
    )
    watch.tell()
    counts = Counter(one.condition for one in everything)
    total = sum(obj.size for obj in session.plan.objects)
    named = ", ".join(f"{counts[condition]:,} {condition.value}" for condition in FileCondition if counts[condition])
    voice.result(
        f"{format_count(len(everything), 'file')}, {format_size(total)}: {named or 'nothing'}; took {watch.took()}"
    )
    because = {one.index: one.reason for one in everything if one.condition is FileCondition.CHECKED}
    if not opaque_etags and not counts[FileCondition.VERIFIED] and any(one.reason == WRONG_BYTES for one in everything):
        voice.insist(NONE_MATCHES)
    for line in checked_lines(group_by_reason(because, [obj.key for obj in session.plan.objects])):
        voice.insist(line)
    voice.record(
        "verify-summary",
        session=session.id,
        files=len(everything),
        bytes=total,
        **{condition.value: counts[condition] for condition in FileCondition},
        elapsed=watch.elapsed,
    )
    return everything


class _Watch:
    """Passes on what is examined, on the thread that waits for it."""

    def __init__(self, session: Session, voice: Voice, examined: SimpleQueue[FileReport]) -> None:
        self._session, self._voice, self._examined = session, voice, examined
        self._began = time.monotonic()
        self._next = self._began + EVERY
        self._done = 0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def took(self) -> str:
        return format_duration(self.elapsed)

    def tell(self) -> None:
        """What has come since the last call."""
        with contextlib.suppress(Empty):
            while True:
                self._one(self._examined.get_nowait())
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._voice.say(f"{self._done:,} of {format_count(len(self._session.plan.objects), 'file')}")

    def _one(self, one: FileReport) -> None:
        self._done += 1
        path = ""
        with contextlib.suppress(UnsafeKey):
            path = str(self._session.paths.final(one.index))
        self._voice.record("proven", key=one.key, path=path, condition=one.condition.value, reason=one.reason)
        if one.condition not in GOOD:
            self._voice.result(f"{one.condition.value}: {one.key}: {one.reason}")


def _sessions(folder: Path, arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> Iterator[Session]:
    """The sessions of the folder, each open while it is looked at; or one made from the .nc files in it."""
    known = list_sessions(folder)
    for one in known:
        with Session.open(folder, one.id) as session:
            yield session
    if not known:
        with _adopted(folder, arguments, voice, interrupts) as session:
            yield session


def _adopted(folder: Path, arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> Session:
    """A session of the files that lie here and are objects of the bucket."""
    from era5dl.planner import plan_keys

    settings = settings_from(arguments, flat=False)
    keys = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.nc")
        if OWN_FOLDER not in path.relative_to(folder).parts
    )
    if not keys:
        raise UsageError(f"There is no session and no .nc file in {folder}.", remedy="Name the folder of a download.")
    with interrupts.gracefully():
        made = plan_keys(keys, open_bucket(settings), cancelled=interrupts.asked.is_set)
    if made.missing:
        voice.insist(
            f"{format_count(len(made.missing), '.nc file')} here have no counterpart in the bucket; passed over"
        )
    if not made.objects:
        raise UsageError(
            f"No .nc file in {folder} is an object of the bucket.",
            remedy="Their paths below the folder must be their keys: e5.oper.an.pl/202102/....",
        )
    return Session.begin(folder, made, settings)


def _paths(session: Session) -> set[Path]:
    paths: set[Path] = set()
    for index in range(len(session.plan.objects)):
        with contextlib.suppress(UnsafeKey):
            paths.add(session.paths.final(index))
    return paths
