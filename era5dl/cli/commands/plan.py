"""plan: what a download would fetch, and what of it is not in the bucket. Writes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from era5dl.cli import FINE, INCOMPLETE
from era5dl.cli.arguments import make_plan, open_bucket, settings_from
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice, table
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from pathlib import Path

    from era5dl.planner import Missing, Plan

GROUPS = 40  # groups of missing files shown before the rest is only counted


def plan(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Ask the bucket, show the figures. Exit code 1 when the bucket does not have all that was asked for."""
    settings = settings_from(arguments)
    made = make_plan(arguments, settings, open_bucket(settings), voice, interrupts)
    record_plan(made, voice, arguments.out)
    if voice.records is not None:
        for obj in made.objects:
            voice.record("object", key=obj.key, size=obj.size, etag=obj.etag, last_modified=obj.last_modified)
        for absent in made.missing:
            voice.record("missing", key=absent.key, reason=absent.reason)
    voice.results(_products_table(made))
    if made.missing:
        voice.result()
        voice.results(missing_lines(made.missing))
    free = _free(arguments.out)
    if free is not None:
        voice.result()
        voice.result(room_line(made.total_bytes, free, settings.disk_reserve, arguments.out))
    return INCOMPLETE if made.missing else FINE


def record_plan(made: Plan, voice: Voice, out: Path | None) -> None:
    """The `plan` record, for plan and download alike."""
    if voice.records is not None:
        voice.record(
            "plan",
            files=len(made.objects),
            bytes=made.total_bytes,
            missing=len(made.missing),
            passed_over=len(made.passed_over),
            products=_per_product(made),
            free_bytes=_free(out),
        )


def _per_product(made: Plan) -> list[dict[str, Any]]:
    """Files, bytes and missing files per product, in the order of the plan."""
    rows: dict[str, dict[str, Any]] = {}
    for obj in made.objects:
        row = rows.setdefault(_folder(obj.key), {"files": 0, "bytes": 0, "missing": 0})
        row["files"] += 1
        row["bytes"] += obj.size
    for absent in made.missing:
        rows.setdefault(_folder(absent.key), {"files": 0, "bytes": 0, "missing": 0})["missing"] += 1
    return [{"product": name, **row} for name, row in rows.items()]


def _products_table(made: Plan) -> list[str]:
    rows = [
        (row["product"] or "(no folder)", f"{row['files']:,}", format_size(row["bytes"]), f"{row['missing']:,}")
        for row in _per_product(made)
    ]
    total = ("total", f"{len(made.objects):,}", format_size(made.total_bytes), f"{len(made.missing):,}")
    return table([*rows, total], head=("PRODUCT", "FILES", "SIZE", "MISSING"), right=(1, 2, 3))


def missing_lines(missing: Sequence[Missing]) -> list[str]:
    """What is missing, in a line or two for each variable (or folder) and reason: never 10,000 lines."""
    by_what: dict[tuple[str, str], list[Missing]] = {}
    for absent in missing:
        by_what.setdefault((_what(absent.key), absent.reason), []).append(absent)
    groups = list(by_what.values())
    lines = [f"missing upstream: {format_count(len(missing), 'file')}"]
    for group in groups[:GROUPS]:
        first, last = group[0], group[-1]
        if len(group) == 1:
            lines.append(f"  {first.key}: {first.reason}")
        else:
            lines.append(f"  {_what(first.key)}: {format_count(len(group), 'file')}, {first.reason}:")
            lines.append(f"    {_name(first.key)} ... {_name(last.key)}")
    if len(groups) > GROUPS:
        rest = sum(len(group) for group in groups[GROUPS:])
        lines.append(f"  and {format_count(rest, 'file')} more; --json names every one")
    return lines


def room_line(needed: int, free: int, reserve: int, folder: Path) -> str:
    """Whether it fits. What lies in the folder already is not counted: only a download looks at that."""
    short = needed + reserve - free
    judged = f"{format_size(short)} too little" if short > 0 else "enough"
    return f"free in {folder}: {format_size(free)}, {judged} ({format_size(reserve)} are left to others)"


def _free(folder: Path | None) -> int | None:
    from era5dl.folder.free_space import free_bytes

    return None if folder is None else free_bytes(folder)


def _folder(key: str) -> str:
    return key.partition("/")[0] if "/" in key else ""


def _what(key: str) -> str:
    """The variable this is a file of; the folder, where it is none of ERA5's."""
    from era5dl.catalog import parse_key

    known = parse_key(key)
    return f"{known.product.name}/{known.short}" if known else key.rpartition("/")[0] or "(no folder)"


def _name(key: str) -> str:
    return key.rpartition("/")[2]
