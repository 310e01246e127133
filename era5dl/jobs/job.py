"""Job: a download that waits in the queue, with everything that is needed to start it later, and its state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from era5dl.days import MERGE_PERIODS
from era5dl.engine.events import RunEnded
from era5dl.errors import Era5Error, UsageError
from era5dl.formatting import format_count
from era5dl.redaction import has_credentials, redact_secrets
from era5dl.selection import Selection
from era5dl.session.info import title_of
from era5dl.settings import Settings
from era5dl.subset.selection import EVERYTHING, Subset
from era5dl.validation import JsonObject, Malformed

IDENTITY = ("endpoint_url", "bucket", "region", "verify", "opaque_etags", "read_back", "flat")
"""Settings that say which files are downloaded and how they are verified. A job always has them."""

_OPTIONAL = ("ca_bundle", "proxy", "workers", "rate_limit", "retries")
_MAX_TEXT = 500  # characters of a reason or a remedy
_MAX_NUMBER = 10**9


class JobState(str, Enum):
    """The state of a job. WAITING, RUNNING and PAUSED jobs are still to be downloaded."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"  # it could not be started, or ended early
    INCOMPLETE = "incomplete"  # some files failed, or are missing in the bucket

    @property
    def is_open(self) -> bool:
        """Whether the job is still to be downloaded."""
        return self in (JobState.WAITING, JobState.RUNNING, JobState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a job downloads.

    selection: None if the job has a list of keys; then `subset` is what is wanted of each file, and `key_count` the
    length of the list, which is in a file of its own. folder: absolute. settings: those of IDENTITY, and others that
    the user has given for this job. merge, csv: as in `era5dl.api.download`.
    """

    folder: Path
    selection: Selection | None = None
    subset: Subset = EVERYTHING
    key_count: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    merge: str = ""
    csv: bool = False

    @property
    def title(self) -> str:
        """Description for users, as that of a session."""
        if self.selection is not None:
            return title_of({"selection": self.selection.to_json()})
        whole = self.subset.is_everything
        return title_of({"count": self.key_count, **({} if whole else {"subset": self.subset.to_json()})})

    @property
    def is_subset(self) -> bool:
        """Whether a part of each file is wanted."""
        return not (self.selection.subset if self.selection is not None else self.subset).is_everything

    def apply_settings(self, current: Settings) -> Settings:
        """Return the current settings with those of the job. Raises UsageError."""
        return dataclasses.replace(current, **self.settings)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the file."""
        chosen: dict[str, Any] = {"keys": self.key_count}
        if self.selection is not None:
            chosen = {"selection": self.selection.to_json()}
        elif not self.subset.is_everything:
            chosen["subset"] = self.subset.to_json()
        return {
            **chosen,
            "folder": str(self.folder),
            "settings": dict(self.settings),
            "merge": self.merge,
            "csv": self.csv,
        }

    @classmethod
    def from_json(cls, raw: JsonObject) -> Request:
        """Return the request that `to_json` wrote. Raises Malformed."""
        settings = raw.object("settings")
        if unknown := settings.keys() - {*IDENTITY, *_OPTIONAL}:
            raise Malformed(f"unknown settings: {sorted(unknown)}")
        merge = raw.text("merge")
        if merge and merge not in MERGE_PERIODS:
            raise Malformed("merge is not a period")
        folder = Path(raw.text("folder"))
        if not folder.is_absolute() or "\0" in str(folder):
            raise Malformed("folder is not an absolute path")
        try:
            dataclasses.replace(Settings(), **{**settings, "ca_bundle": None})  # that file may be back when it is used
            selection = Selection.from_json(raw.object("selection")) if "selection" in raw else None
            subset = Subset.from_json(raw.object("subset")) if "subset" in raw else EVERYTHING
        except Era5Error as error:
            raise Malformed(str(error)) from error
        return cls(
            folder=folder,
            selection=selection,
            subset=subset,
            key_count=0 if selection is not None else raw.integer("keys", 1),
            settings=settings,
            merge=merge,
            csv=raw.boolean("csv"),
        )


def settings_of_job(settings: Settings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a job has to keep. given: settings that the user has specified for this job.

    Raises UsageError if a password would be stored.
    """
    proxy = given.get("proxy")
    if proxy and has_credentials(proxy):
        raise UsageError(
            "The proxy has a password, which is not stored in the list of jobs.",
            remedy="Set ERA5DL_PROXY when the jobs are run, instead of --proxy.",
        )
    kept = {name: getattr(settings, name) for name in IDENTITY}
    kept |= {name: given[name] for name in _OPTIONAL if given.get(name) is not None}
    if kept.get("ca_bundle"):
        kept["ca_bundle"] = str(Path(kept["ca_bundle"]).absolute())
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One entry of the queue. Times are seconds since 1970; 0 if that has not happened.

    number: stays the same, wherever the job is in the queue. reason, remedy, kind, failed, missing, unfinished: why it
    is not done, see `JobEnd`. session: the id of its session once it was started; "" before. title: for users.
    """

    number: int
    request: Request
    state: JobState = JobState.WAITING
    reason: str = ""
    remedy: str = ""
    kind: str = ""
    failed: int = 0
    missing: int = 0
    unfinished: int = 0
    session: str = ""
    added: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    title: str = ""

    def __post_init__(self) -> None:
        if not self.title:  # made once: it takes a while for many days
            object.__setattr__(self, "title", self.request.title)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the file."""
        return {
            "number": self.number,
            "title": self.title,
            **self.request.to_json(),
            "state": self.state.value,
            "reason": _short(self.reason),
            "remedy": _short(self.remedy),
            "kind": self.kind,
            "failed": self.failed,
            "missing": self.missing,
            "unfinished": self.unfinished,
            "session": self.session,
            "added": self.added,
            "started": self.started,
            "ended": self.ended,
        }

    @classmethod
    def from_json(cls, value: object) -> Job:
        """Return the job that `to_json` wrote. Raises Malformed."""
        raw = JsonObject(value)
        try:
            state = JobState(raw.text("state"))
        except ValueError:
            raise Malformed("state is not known") from None
        session = raw.text("session")
        return cls(
            number=raw.integer("number", 1, _MAX_NUMBER),
            request=Request.from_json(raw),
            state=state,
            reason=raw.text("reason"),
            remedy=raw.text("remedy"),
            kind=raw.text("kind", 100),
            failed=raw.integer("failed"),
            missing=raw.integer("missing"),
            unfinished=raw.integer("unfinished"),
            session=raw.hex("session", 12) if session else "",
            added=raw.timestamp("added"),
            started=raw.timestamp("started"),
            ended=raw.timestamp("ended"),
        )


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a run of a job has ended: its state, why it is not done, what the user can do, and the id of its session.

    kind: of the error that ended it, see `Era5Error.kind`; "" for none. failed, missing, unfinished: numbers of files.
    """

    state: JobState
    reason: str = ""
    remedy: str = ""
    session: str = ""
    kind: str = ""
    failed: int = 0
    missing: int = 0
    unfinished: int = 0

    @classmethod
    def of_error(cls, error: Era5Error) -> JobEnd:
        """Return the end of a job that could not be started."""
        return cls(JobState.FAILED, str(error), error.remedy, kind=error.kind)

    @classmethod
    def of_run(cls, ended: RunEnded, missing: int, session: str) -> JobEnd:
        """Return the end of a job whose run has ended by itself. missing: files that are not in the bucket."""
        if ended.error:
            return cls(JobState.FAILED, ended.error, ended.remedy, session, ended.kind)
        counts = {"failed": ended.failed, "missing in the bucket": missing, "unfinished": ended.unfinished}
        reason = ", ".join(f"{format_count(count, 'file')} {what}" for what, count in counts.items() if count)
        state = JobState.INCOMPLETE if reason else JobState.DONE
        return cls(state, reason, ended.remedy, session, "", ended.failed, missing, ended.unfinished)


def _short(text: str) -> str:
    return redact_secrets(text[: 2 * _MAX_TEXT])[:_MAX_TEXT]
