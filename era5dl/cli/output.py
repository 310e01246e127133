"""Who says what where: results on stdout, words about the work on stderr, and with --json only records on stdout.

Every line passes through `text.plain`: keys and server messages cannot draw on the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from era5dl.cli.json_output import JsonLines, writing
from era5dl.errors import Era5Error
from era5dl.formatting import printable
from era5dl.redaction import redact_secrets


class Voice:
    """The command's mouth. `quiet` leaves only errors, results and the summary."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.quiet = quiet
        self.records = JsonLines(sys.stdout) if json else None

    @property
    def live(self) -> bool:
        """A person is watching: stderr is a terminal that can redraw, and no records run across it."""
        mixed = self.records is not None and sys.stdout.isatty()
        dumb = os.environ.get("TERM", "") == "dumb"
        return sys.stderr.isatty() and not (self.quiet or mixed or dumb)

    def result(self, line: str = "") -> None:
        """A line of what was asked for. Says nothing with --json: the records say it."""
        if self.records is None:
            with writing():
                print(printable(line), file=sys.stdout)

    def results(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.result(line)

    def say(self, line: str) -> None:
        """A line about the work, for a person who looks on."""
        if not self.quiet:
            self.insist(line)

    def insist(self, line: str) -> None:
        """A line that --quiet does not silence: an error, a failure, the summary."""
        try:
            print(printable(line), file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:  # a full disk: what was asked for can be done without words about it
            return

    def record(self, event: str, **fields: Any) -> None:
        """A record, where records are wanted."""
        if self.records is not None:
            self.records.write(event, **fields)

    def agreed(self, question: str) -> bool:
        """What the person at the terminal answers; no where there is none, or nobody who can be asked."""
        if self.records is not None or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        sys.stderr.write(printable(f"era5dl: {question}") + " [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def complain(self, error: Era5Error) -> None:
        """What went wrong and what can be done about it."""
        for place, line in enumerate(redact_secrets(str(error)).splitlines()):
            self.insist(f"era5dl: {line}" if place == 0 else f"  {line}")
        if error.remedy:
            self.insist(f"  {error.remedy}")


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str], right: Sequence[int] = ()) -> list[str]:
    """Columns as wide as their widest cell; the columns numbered in `right` lean to the right."""
    clean = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in clean) for column in range(len(head))]
    lines = []
    for row in clean:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
