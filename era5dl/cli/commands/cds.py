"""Command `cds`: says what a request of the Copernicus Climate Data Store is in this bucket. Sends no request."""

from __future__ import annotations

import argparse
import shlex
import textwrap

from era5dl.cds import CdsRequest
from era5dl.cds.values import consecutive, each_day
from era5dl.cli.cds_requests import read_translation, record_translation
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output, table
from era5dl.formatting import format_count

_WIDTH = 100


def cds(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print what each variable of the requests is here. Exit code 1 if any is absent."""
    translation = read_translation(arguments.file, arguments.dataset)
    record_translation(translation, output)
    for number, request in enumerate(translation.requests):
        if number:
            output.result()
        output.results(_lines(request))
    if translation.selections and arguments.file != "-":
        dataset = f" --dataset {shlex.quote(arguments.dataset)}" if arguments.dataset else ""
        output.info(f"To download it: era5dl download --cds {shlex.quote(arguments.file)}{dataset} --out DIR")
    return ExitCode.OK if translation.is_complete else ExitCode.INCOMPLETE


def _lines(request: CdsRequest) -> list[str]:
    """Return what a request asks for, a line per variable, and what to know."""
    lines = [f"{request.dataset}: {_extent(request)}"]
    if not request.supported:
        return lines + _wrapped(f"not in the bucket: {request.reason}")
    rows = [
        (item.asked, item.status.value, ", ".join(variable.name for variable in item.variables))
        for item in request.items
    ]
    lines += [f"  {line}" for line in table(rows, head=("ASKED FOR", "STATUS", "IN THE BUCKET"))]
    for item in request.items:
        if item.reason:
            lines += _wrapped(f"{item.asked}: {item.reason}")
    for warning in request.warnings:
        lines += _wrapped(f"note: {warning.text}")
    return lines


def _extent(request: CdsRequest) -> str:
    """Return days, hours, levels and place in one line."""
    days = each_day(request.days)
    parts = []
    if days:
        span = f"{days[0]}" if len(days) == 1 else f"{days[0]} to {days[-1]}"
        parts.append(f"{format_count(len(days), 'day')} ({span})")
    parts.append("all hours" if request.hours is None else f"hours {consecutive(request.hours)}")
    if request.levels is not None:
        parts.append(f"levels {', '.join(map(str, request.levels))} hPa")
    if request.area is not None:
        parts.append(f"area {request.area}")
    if request.point is not None:
        parts.append(f"point {request.point}")
    return ", ".join(parts)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
