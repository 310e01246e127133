"""Texts of the log: describes each event of the engine in one line, with its level."""

from __future__ import annotations

from enum import IntEnum

from era5dl.engine.events import (
    PROBLEM_STATES,
    Event,
    FetchedWhole,
    FewerWorkers,
    FileChanged,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Outcome,
    RangesIgnored,
    RetryRoundScheduled,
    RunEnded,
    StateChanged,
    Throttled,
)
from era5dl.formatting import format_size
from era5dl.gui.text import error_text, key_text, status_text
from era5dl.gui.text.i18n import _, ngettext


class LogLevel(IntEnum):
    """Importance of a line."""

    DETAIL = 0  # concerns a single file
    INFO = 1
    WARNING = 2  # a problem that the program handles without the user
    ERROR = 3  # the user has to do something


def describe(event: Event) -> tuple[LogLevel, str]:
    """Return the level and the text of an event, in the language of the window."""
    match event:
        case FileStarted():
            return LogLevel.DETAIL, _file_started(event)
        case FileDone():
            return LogLevel.DETAIL, _file_done(event)
        case FetchedWhole():
            text = _(
                "{file}: the whole file is downloaded, because a subset of it cannot be read alone ({reason})",
                file=key_text.name(event.key),
                reason=event.reason,
            )
            return LogLevel.WARNING, text
        case FileRetrying():
            return LogLevel.WARNING, _file_retrying(event)
        case FileChanged():
            text = _(
                "{file}: changed on disk after it was complete; what is wrong is downloaded again",
                file=key_text.name(event.key),
            )
            return LogLevel.WARNING, text
        case FileRestarted():
            reason = error_text.explain_reason(event.kind, event.reason).sentence
            text = _("{file}: restarted from the beginning: {reason}", file=key_text.name(event.key), reason=reason)
            return LogLevel.WARNING, text
        case FileFailed():
            return LogLevel.ERROR, _file_failed(event)
        case RetryRoundScheduled():
            return LogLevel.WARNING, _retry_round(event)
        case Throttled():
            text = ngettext(
                "The server asks to slow down: at most {n} request at a time from now on",
                "The server asks to slow down: at most {n} requests at a time from now on",
                event.workers,
            )
            return LogLevel.WARNING, text
        case FewerWorkers():
            return LogLevel.WARNING, _fewer_workers(event)
        case RangesIgnored():
            text = _(
                "A proxy ignores range requests: each file uses a single connection, and starts over after an "
                "interruption"
            )
            return LogLevel.WARNING, text
        case StateChanged():
            return LogLevel.WARNING if event.state in PROBLEM_STATES else LogLevel.INFO, _state_changed(event)
        case RunEnded():
            return _run_ended(event)


def _file_started(event: FileStarted) -> str:
    if event.resumed_bytes:
        held = format_size(event.resumed_bytes)
        return _("{file}: resumed, {held} already on disk", file=key_text.name(event.key), held=held)
    return _("{file}: started, {size}", file=key_text.name(event.key), size=format_size(event.size))


def _file_done(event: FileDone) -> str:
    name = key_text.name(event.key)
    if event.adopted:
        return _("{file}: already complete on disk", file=name)
    if event.outcome is Outcome.VERIFIED:
        return _("{file}: complete and verified, {size}", file=name, size=format_size(event.size))
    if event.outcome is Outcome.CHECKED_PART:
        return _("{file}: subset written and checked, {size}", file=name, size=format_size(event.size))
    reason = status_text.not_verified_reason(event.reason)
    return _("{file}: complete, {size}; {reason}", file=name, size=format_size(event.size), reason=reason)


def _file_retrying(event: FileRetrying) -> str:
    return _(
        "{file}: retrying in {delay:.0f} s: {reason}",
        file=key_text.name(event.key),
        delay=event.delay,
        reason=error_text.explain_reason(event.kind, event.reason).sentence,
    )


def _file_failed(event: FileFailed) -> str:
    """Explain the failure in the window's language if the kind of error is known. The log file has the English text."""
    known = error_text.explain_reason(event.kind, event.reason, event.remedy)
    name = key_text.name(event.key)
    text = _("{file}: failed: {reason} {remedy}", file=name, reason=known.sentence, remedy=known.hint)
    return text.rstrip()


def _retry_round(event: RetryRoundScheduled) -> str:
    return ngettext(
        "{n:,} failed file is retried in {delay:.0f} s (round {round})",
        "{n:,} failed files are retried in {delay:.0f} s (round {round})",
        event.files,
        delay=event.delay,
        round=event.round,
    )


def _fewer_workers(event: FewerWorkers) -> str:
    known = error_text.explain_reason(event.kind, event.reason, event.remedy)
    return ngettext(
        "Using {n} worker instead of {wanted}: {reason} {remedy}",
        "Using {n} workers instead of {wanted}: {reason} {remedy}",
        event.workers,
        wanted=event.wanted,
        reason=known.sentence,
        remedy=known.hint,
    )


def _state_changed(event: StateChanged) -> str:
    name, reason = status_text.state(event.state).name, status_text.state_reason(event)
    return _("{name}: {reason}", name=name, reason=reason) if reason else name


def _run_ended(event: RunEnded) -> tuple[LogLevel, str]:
    if event.error:
        known = error_text.explain_reason(event.kind, event.error, event.remedy)
        text = _("The download stopped with an error: {error} {remedy}", error=known.sentence, remedy=known.hint)
        return LogLevel.ERROR, text.rstrip()
    complete = event.verified + event.checked + event.checked_part
    parts = [ngettext("{n:,} file complete", "{n:,} files complete", complete)]
    if event.failed:
        parts.append(_("{n:,} failed", n=event.failed))
    if event.unfinished:
        parts.append(_("{n:,} unfinished", n=event.unfinished))
    text = _("The download has ended: {summary}", summary=", ".join(parts))
    return (LogLevel.WARNING if event.failed else LogLevel.INFO), text
