"""The lines of the Log page: bounded, filtered by level and words; and what the engine's facts sound like. Tk-free."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from era5dl.engine.events import (
    PROBLEM_STATES,
    Event,
    FewerWorkers,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Outcome,
    RangesIgnored,
    RetryRoundScheduled,
    RunEnded,
    State,
    StateChanged,
    Throttled,
)
from era5dl.engine.reporting import CHECKED_EARLIER, EventFilter
from era5dl.formatting import format_size, printable
from era5dl.gui.text import error_text, status_text, summary_text
from era5dl.gui.text.i18n import _, ngettext

MOST = 5000  # lines kept; the file log keeps more

_log = logging.getLogger("era5dl")


class Level(IntEnum):
    """How much a line matters."""

    DETAIL = 0  # one file among thousands
    INFO = 1
    WARNING = 2  # it goes on by itself
    ERROR = 3  # somebody has to do something


_SEVERITY = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


@dataclass(frozen=True, slots=True)
class Line:
    """when: seconds since 1970. number: counted over all lines ever, so that a view knows what it has shown."""

    number: int
    when: float
    level: Level
    text: str

    @property
    def clock(self) -> str:
        return time.strftime("%H:%M:%S", time.localtime(self.when))


class LogModel:
    """The newest MOST lines. Belongs to Tk's thread, as all models of the window do."""

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.time) -> None:
        self._lines: deque[Line] = deque(maxlen=most)
        self._clock = clock
        self._count = 0
        self._news, self._begun = EventFilter(), False
        self._checked: dict[str, list[str]] = {}  # reason -> keys, of this run

    def add(self, level: Level, text: str) -> None:
        """Write a line now. Control characters in it can do no harm, and it stays one line."""
        self._lines.append(Line(self._count, self._clock(), level, printable(text)[:2000]))
        self._count += 1

    def handle_event(self, event: Event) -> None:
        """Write down what the engine said; what matters goes into the file log, too, in the engine's own words."""
        if isinstance(event, StateChanged) and not self._worth_a_line(event):
            return
        if isinstance(event, Throttled) and not self._news.should_report_throttle(event, self._clock()):
            return
        level, text = sentence(event)
        self.add(level, text)
        if isinstance(event, FileDone) and event.outcome is Outcome.CHECKED:
            self._checked.setdefault(event.reason, []).append(event.key)
        if isinstance(event, RunEnded):
            self._begun = False
            self._name_checked(event.checked)
        if level > Level.DETAIL:
            _log.log(_SEVERITY[level], "%s", event)

    def _worth_a_line(self, event: StateChanged) -> bool:
        begins = event.state is State.RUNNING and not self._begun
        self._begun = True
        return self._news.should_report(event, self._clock()) or begins

    def _name_checked(self, number: int) -> None:
        """What is less than verified at the end of a run, a line for each reason."""
        groups, self._checked = self._checked, {}
        for reason, keys in groups.items():
            self.add(Level.WARNING, summary_text.not_verified_group(reason, keys, len(keys)))
        if (earlier := number - sum(map(len, groups.values()))) > 0:
            self.add(Level.WARNING, summary_text.not_verified_group(CHECKED_EARLIER, (), earlier))

    def clear(self) -> None:
        """Begin anew; the file log keeps what was there."""
        self._lines.clear()

    @property
    def count(self) -> int:
        """Lines ever written: another number means there is something new."""
        return self._count

    @property
    def first(self) -> int:
        """The number of the oldest line that is still there."""
        return self._lines[0].number if self._lines else self._count

    def lines(self, level: Level = Level.DETAIL, search: str = "", since: int = 0) -> list[Line]:
        """Those at least as important as `level` that hold all words of `search`; only from number `since` on."""
        wanted = search.casefold().split()
        found = []
        for line in reversed(self._lines):  # mostly a few new ones are asked for
            if line.number < since:
                break
            if line.level >= level and (not wanted or all(word in line.text.casefold() for word in wanted)):
                found.append(line)
        found.reverse()
        return found


def sentence(event: Event) -> tuple[Level, str]:
    """A fact of the engine as a line: how much it matters, and its words."""
    if isinstance(event, FileStarted):
        if event.resumed_bytes:
            held = format_size(event.resumed_bytes)
            return Level.DETAIL, _("{file}: goes on, {held} are here already", file=_short(event.key), held=held)
        return Level.DETAIL, _("{file}: begun, {size}", file=_short(event.key), size=format_size(event.size))
    if isinstance(event, FileDone):
        return _done(event)
    if isinstance(event, FileRetrying):
        text = _(
            "{file}: once more in {delay:.0f} s: {reason}",
            file=_short(event.key),
            delay=event.delay,
            reason=error_text.explain_reason(event.kind, event.reason).sentence,
        )
        return Level.WARNING, text
    if isinstance(event, FileRestarted):
        reason = error_text.explain_reason(event.kind, event.reason).sentence
        return Level.WARNING, _("{file}: begun anew: {reason}", file=_short(event.key), reason=reason)
    if isinstance(event, FileFailed):
        return Level.ERROR, _failed(event)
    if isinstance(event, RetryRoundScheduled):
        text = ngettext(
            "{n:,} failed file is tried again in {delay:.0f} s (round {round})",
            "{n:,} failed files are tried again in {delay:.0f} s (round {round})",
            event.files,
            delay=event.delay,
            round=event.round,
        )
        return Level.WARNING, text
    if isinstance(event, Throttled):
        text = ngettext(
            "The server asks to slow down: {n} request at once from now on",
            "The server asks to slow down: {n} requests at once from now on",
            event.workers,
        )
        return Level.WARNING, text
    if isinstance(event, FewerWorkers):
        said = error_text.explain_reason(event.kind, event.reason, event.remedy)
        text = ngettext(
            "Only {n} worker instead of {wanted}: {reason} {remedy}",
            "Only {n} workers instead of {wanted}: {reason} {remedy}",
            event.workers,
            wanted=event.wanted,
            reason=said.sentence,
            remedy=said.hint,
        )
        return Level.WARNING, text
    if isinstance(event, RangesIgnored):
        return Level.WARNING, _(
            "A proxy ignores range requests: each file comes over one connection, an interruption starts it again"
        )
    if isinstance(event, StateChanged):
        return _state(event)
    return _end(event)


def _failed(event: FileFailed) -> str:
    """In the window's language where the class of the error is known; the engine's sentence is in the file log."""
    said = error_text.explain_reason(event.kind, event.reason, event.remedy)
    text = _("{file}: failed: {reason} {remedy}", file=_short(event.key), reason=said.sentence, remedy=said.hint)
    return text.rstrip()


def _done(event: FileDone) -> tuple[Level, str]:
    name = _short(event.key)
    if event.adopted:
        return Level.DETAIL, _("{file}: was here already, whole", file=name)
    if event.outcome is Outcome.VERIFIED:
        return Level.DETAIL, _("{file}: here and verified, {size}", file=name, size=format_size(event.size))
    reason = status_text.not_verified_reason(event.reason)
    return Level.DETAIL, _("{file}: here, {size}; {reason}", file=name, size=format_size(event.size), reason=reason)


def _state(event: StateChanged) -> tuple[Level, str]:
    said = status_text.state(event.state)
    reason = status_text.state_reason(event)
    text = _("{name}: {reason}", name=said.name, reason=reason) if reason else said.name
    waits = event.state in PROBLEM_STATES
    return Level.WARNING if waits else Level.INFO, text


def _end(event: RunEnded) -> tuple[Level, str]:
    if event.error:
        said = error_text.explain_reason(event.kind, event.error, event.remedy)
        text = _("The download has ended early: {error} {remedy}", error=said.sentence, remedy=said.hint)
        return Level.ERROR, text.rstrip()
    proven = event.verified + event.checked
    parts = [ngettext("{n:,} file complete", "{n:,} files complete", proven)]
    if event.failed:
        parts.append(_("{n:,} failed", n=event.failed))
    if event.unfinished:
        parts.append(_("{n:,} left for the next time", n=event.unfinished))
    text = _("The download has ended: {facts}", facts=", ".join(parts))
    return (Level.WARNING if event.failed else Level.INFO), text


def _short(key: str) -> str:
    """A file's own name says it all; the folders in front of it do not help to read."""
    return key.rpartition("/")[2] or key
