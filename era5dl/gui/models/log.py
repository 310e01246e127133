"""View model of the Log page: a bounded list of lines, filtered by level and search. No Tk."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from era5dl.engine.events import Event, FileDone, Outcome, RunEnded, State, StateChanged, Throttled
from era5dl.engine.reporting import CHECKED_EARLIER, EventFilter
from era5dl.formatting import printable
from era5dl.gui.text import event_text, summary_text
from era5dl.gui.text.event_text import LogLevel

MAX_LINES = 5000  # the log file keeps more
MAX_LENGTH = 2000  # characters of a line

_LOGGING_LEVELS = {
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
_log = logging.getLogger("era5dl")


@dataclass(frozen=True, slots=True)
class LogLine:
    """number: sequence number among all lines ever added; pages find new lines by it. when: seconds since 1970."""

    number: int
    when: float
    level: LogLevel
    text: str

    @property
    def clock(self) -> str:
        return time.strftime("%H:%M:%S", time.localtime(self.when))


class LogModel:
    """The newest lines. All methods must be called on the same thread."""

    def __init__(self, max_lines: int = MAX_LINES, clock: Callable[[], float] = time.time) -> None:
        self._lines: deque[LogLine] = deque(maxlen=max_lines)
        self._clock = clock
        self._count = 0
        self._filter, self._run_started = EventFilter(), False
        self._checked: dict[str, list[str]] = {}  # keys of the files of this run that are checked only, by reason

    def add(self, level: LogLevel, text: str) -> None:
        """Add a line with the current time. Control characters are replaced, so that it stays a single line."""
        self._lines.append(LogLine(self._count, self._clock(), level, printable(text)[:MAX_LENGTH]))
        self._count += 1

    def handle_event(self, event: Event) -> None:
        """Add a line for an event of the engine. Above DETAIL the log file gets it, too, in the engine's wording."""
        if isinstance(event, StateChanged) and not self._should_add(event):
            return
        if isinstance(event, Throttled) and not self._filter.should_report_throttle(event, self._clock()):
            return
        level, text = event_text.describe(event)
        self.add(level, text)
        if isinstance(event, FileDone) and event.outcome is Outcome.CHECKED:
            self._checked.setdefault(event.reason, []).append(event.key)
        if isinstance(event, RunEnded):
            self._run_started = False
            self._add_checked_files(event.checked)
        if level > LogLevel.DETAIL:
            _log.log(_LOGGING_LEVELS[level], "%s", event)

    def clear(self) -> None:
        """Remove all lines here. The log file keeps them."""
        self._lines.clear()

    @property
    def count(self) -> int:
        """Number of lines ever added. It changes with every new line."""
        return self._count

    @property
    def first(self) -> int:
        """Number of the oldest line that is kept."""
        return self._lines[0].number if self._lines else self._count

    def lines(self, level: LogLevel = LogLevel.DETAIL, search: str = "", since: int = 0) -> list[LogLine]:
        """Return the lines of at least this level that contain all words of `search`, from number `since` on."""
        wanted = search.casefold().split()
        found = []
        for line in reversed(self._lines):  # usually only a few new lines are requested
            if line.number < since:
                break
            if line.level >= level and (not wanted or all(word in line.text.casefold() for word in wanted)):
                found.append(line)
        found.reverse()
        return found

    def _should_add(self, event: StateChanged) -> bool:
        starts = event.state is State.RUNNING and not self._run_started
        self._run_started = True
        return self._filter.should_report(event, self._clock()) or starts

    def _add_checked_files(self, number: int) -> None:
        """Add a line for each reason why files of a run could not be verified. number: total of such files."""
        groups, self._checked = self._checked, {}
        for reason, keys in groups.items():
            self.add(LogLevel.WARNING, summary_text.not_verified_group(reason, keys, len(keys)))
        if (earlier := number - sum(map(len, groups.values()))) > 0:
            self.add(LogLevel.WARNING, summary_text.not_verified_group(CHECKED_EARLIER, (), earlier))
