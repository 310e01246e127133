"""Output of a command: results on stdout, messages on stderr; with --json only JSON records on stdout.

Control characters are removed from every line, so that keys and server messages cannot control the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from era5dl.cli.json_output import JsonWriter, stdout_errors
from era5dl.errors import Era5Error
from era5dl.formatting import printable
from era5dl.redaction import redact_secrets


class Output:
    """Writes results, messages and records of one command.

    quiet: print only results, errors and the summary. json_writer: writes the records; None without --json.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.quiet = quiet
        self.json_writer = JsonWriter(sys.stdout) if json else None

    @property
    def supports_live_display(self) -> bool:
        """Whether stderr is a terminal that can be redrawn, and nothing else is written to it."""
        mixed = self.json_writer is not None and sys.stdout.isatty()
        dumb = os.environ.get("TERM", "") == "dumb"
        return sys.stderr.isatty() and not (self.quiet or mixed or dumb)

    def result(self, line: str = "") -> None:
        """Print a line of the result to stdout. With --json nothing is printed; records contain the result."""
        if self.json_writer is None:
            with stdout_errors():
                print(printable(line), file=sys.stdout)

    def results(self, lines: Iterable[str]) -> None:
        """Print several lines of the result."""
        for line in lines:
            self.result(line)

    def info(self, line: str) -> None:
        """Print a message to stderr, unless --quiet is set."""
        if not self.quiet:
            self.notice(line)

    def notice(self, line: str) -> None:
        """Print an important message to stderr, also with --quiet: a failure, a warning, the summary."""
        try:
            print(printable(line), file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:  # such as a full disk: the command can succeed without its messages
            return

    def error(self, error: Era5Error) -> None:
        """Print an error and its remedy to stderr."""
        for number, line in enumerate(redact_secrets(str(error)).splitlines()):
            self.notice(f"era5dl: {line}" if number == 0 else f"  {line}")
        if error.remedy:
            self.notice(f"  {error.remedy}")

    def record(self, event: str, **fields: Any) -> None:
        """Write a JSON record, if --json is set."""
        if self.json_writer is not None:
            self.json_writer.write(event, **fields)

    def confirm(self, question: str) -> bool:
        """Ask the user a yes/no question. Return False when there is no terminal, or with --json."""
        if self.json_writer is not None or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        sys.stderr.write(printable(f"era5dl: {question}") + " [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str], right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table. right: numbers of the columns that are aligned to the right."""
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
