"""CDS requests on the command line: reads them from a file, reports what they are, and returns their selections."""

from __future__ import annotations

import argparse
import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.output import Output
from era5dl.errors import UsageError

if TYPE_CHECKING:
    from era5dl.cds import Translation
    from era5dl.selection import Selection

_OTHER_FLAGS = (
    *("variable", "product", "preset", "keys_file", "start", "end", "years", "months", "days", "only_days"),
    *("hours", "levels", "area", "point", "points"),
)
_BYTES_PER_CHARACTER = 4  # at most, in UTF-8 and UTF-16


def read_translation(name: str, dataset: str | None) -> Translation:
    """Return the requests in a file, or in standard input ("-"). Raises UsageError."""
    from era5dl.cds import from_cds

    return from_cds(_read(name), dataset)


def selections_from_cds(arguments: argparse.Namespace, output: Output) -> tuple[tuple[Selection, ...], ExitCode]:
    """Return the selections of --cds, and INCOMPLETE if not everything that is asked for is in the bucket.

    Reports what is absent or derived, and the warnings. Raises UsageError.
    """
    others = [f"--{name.replace('_', '-')}" for name in _OTHER_FLAGS if getattr(arguments, name)]
    if others:
        raise UsageError(f"--cds cannot be combined with {', '.join(others)}.", remedy="The request has all of it.")
    translation = read_translation(arguments.cds, arguments.dataset)
    record_translation(translation, output)
    for request in translation.requests:
        if not request.supported:
            output.notice(f"not in the bucket: {request.reason}")
    for item in translation.items:
        line = f"{item.asked}: {item.status.value}. {item.reason}"
        if item.reason and all(request.supported for request in translation.requests if item in request.items):
            (output.info if item.variables else output.notice)(line)
    for warning in translation.warnings:
        output.info(f"note: {warning.text}")
    selections = translation.selections
    if not selections:
        output.notice("Nothing of this request is in the bucket.")
    return selections, ExitCode.OK if translation.is_complete else ExitCode.INCOMPLETE


def record_translation(translation: Translation, output: Output) -> None:
    """Write the records `request`, `item` and `warning` of --json."""
    for request in translation.requests:
        output.record("request", **request.to_json())
        for item in request.items:
            output.record(
                "item",
                asked=item.asked,
                status=item.status.value,
                variables=[variable.name for variable in item.variables],
                reason=item.reason,
            )
        for warning in request.warnings:
            output.record("warning", text=warning.text, kind=warning.kind)


def _read(name: str) -> str:
    from era5dl.cds import MAX_TEXT

    limit = MAX_TEXT * _BYTES_PER_CHARACTER
    try:
        if name == "-":
            if sys.stdin is None:
                raise UsageError("There is no standard input to read the request from.")
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"The request cannot be read: {error}", remedy="Specify a text file.") from error
    if len(data) > limit:
        raise UsageError(f"{name} is larger than {MAX_TEXT:,} characters.", remedy="Specify a file with a request.")
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell's `>` writes it
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not a text file in UTF-8.", remedy="Specify a text file with a request.") from None
