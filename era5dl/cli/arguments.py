"""Converts parsed arguments to settings, selection, list of keys and plan."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.errors import UsageError
from era5dl.formatting import format_count
from era5dl.settings import Settings

if TYPE_CHECKING:
    from io import BufferedReader

    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Plan
    from era5dl.selection import Selection
    from era5dl.subset.selection import Subset

SETTING_FLAGS = {  # flag -> field of Settings
    "endpoint_url": "endpoint_url",
    "bucket": "bucket",
    "region": "region",
    "ca_bundle": "ca_bundle",
    "proxy": "proxy",
    "workers": "workers",
    "limit_rate": "rate_limit",
    "retries": "retries",
    "verify": "verify",
    "read_back": "read_back",
    "opaque_etags": "opaque_etags",
    "flat": "flat",
}
_SELECTION_FLAGS = ("variable", "product", "preset", "start", "end", "years", "months", "days", "only_days")
_RECORD_INTERVAL = 1.0  # seconds between two `planning` records
_MESSAGE_INTERVAL = 2.0  # seconds between two messages


def settings_from(arguments: argparse.Namespace, **defaults: object) -> Settings:
    """Return the settings: flags override `defaults`, which override the environment. Raises UsageError."""
    return Settings.from_environment(os.environ, **{**defaults, **given_settings(arguments)})


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that flags specify."""
    flags = {setting: getattr(arguments, flag, None) for flag, setting in SETTING_FLAGS.items()}
    return {setting: value for setting, value in flags.items() if value is not None}


def open_bucket(settings: Settings) -> Bucket:
    """Return the bucket. Sends no request yet."""
    from era5dl.bucket.s3 import S3Bucket

    return S3Bucket(settings)


def plan_from(
    arguments: argparse.Namespace, settings: Settings, bucket: Bucket, output: Output, interrupts: Interrupts
) -> Plan:
    """Look up the selection, or the keys of --keys-file, in the bucket. Raises Stopped on an interrupt."""
    keys = keys_from(arguments, settings)
    wanted = subset_from(arguments) if keys else selection_from(arguments)
    if not keys:
        report_derived(arguments, output)
    return look_up(wanted, bucket, output, interrupts, keys=keys)


def look_up(
    wanted: Selection | Subset, bucket: Bucket, output: Output, interrupts: Interrupts, *, keys: Sequence[str] = ()
) -> Plan:
    """Look up a selection, or a subset of these keys, in the bucket. Raises Stopped on an interrupt."""
    from era5dl import planner
    from era5dl.selection import Selection

    progress = PlanningProgress(output)
    with interrupts.gracefully():
        if not isinstance(wanted, Selection):
            output.info(f"Looking up {format_count(len(keys), 'key')} ...")
            plan = planner.plan_keys(
                keys,
                bucket,
                subset=wanted,
                on_progress=progress.report,
                cancelled=interrupts.requested.is_set,
            )
        else:
            plan = planner.make_plan(wanted, bucket, on_progress=progress.report, cancelled=interrupts.requested.is_set)
    if plan.passed_over:
        output.notice(f"ignored: {planner.describe_passed_over(plan.passed_over)}")
    return plan


def report_derived(arguments: argparse.Namespace, output: Output) -> None:
    """Say which of the names are computed from other variables, which are selected instead."""
    from era5dl.catalog import derived_among

    for derived in derived_among(arguments.variable):
        sources = [source.name for source in derived.sources]
        output.record("derived", name=derived.short, variables=sources, formula=derived.formula, units=derived.units)
        output.info(
            f"{derived.short} is not in the bucket: it is {derived.formula}, so {', '.join(sources)} are selected"
        )


class PlanningProgress:
    """Reports the progress of planning: a message every 2 s, and a JSON record every second."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._next_message = time.monotonic() + _MESSAGE_INTERVAL
        self._next_record = time.monotonic() + _RECORD_INTERVAL

    def report(self, done: int, total: int) -> None:
        """Report that `done` of `total` listings are finished."""
        now = time.monotonic()
        if now >= self._next_record:
            self._next_record = now + _RECORD_INTERVAL
            self._output.record("planning", done=done, total=total)
        if now >= self._next_message:
            self._next_message = now + _MESSAGE_INTERVAL
            self._output.info(f"Planning: {done:,} of {format_count(total, 'listing')} ...")


def selection_from(arguments: argparse.Namespace) -> Selection:
    """Return the selected variables and days. Raises UsageError."""
    from era5dl.api_select import select

    if not (arguments.variable or arguments.product or arguments.preset):
        raise UsageError(
            "Nothing is selected.",
            remedy="Specify variables (--variable 2t), a whole product (--product an.sfc), a preset (--preset wrf) "
            "or a list of keys (--keys-file FILE). `era5dl variables` lists all variables.",
        )
    return select(
        arguments.variable,
        product=arguments.product,
        preset=arguments.preset,
        start=arguments.start,
        end=arguments.end,
        years=arguments.years,
        months=arguments.months,
        days=arguments.days,
        **_subset_values(arguments),
        only_days=arguments.only_days,
    )


def subset_from(arguments: argparse.Namespace) -> Subset:
    """Return the subset of the flags, without days. Raises BadSelection."""
    from era5dl.subset.parsing import parse_subset

    return parse_subset(**_subset_values(arguments))


def _subset_values(arguments: argparse.Namespace) -> dict[str, Any]:
    from era5dl.subset.parsing import read_points

    points = list(arguments.point) if arguments.points is None else [*arguments.point, *read_points(arguments.points)]
    return {
        "hours": arguments.hours,
        "levels": arguments.levels,
        "area": arguments.area,
        "point": points,
        "prove": arguments.prove,
    }


def keys_from(arguments: argparse.Namespace, settings: Settings) -> list[str]:
    """Return the keys of --keys-file; an empty list without that flag. Raises UsageError."""
    from era5dl.planner import read_keys

    if arguments.keys_file is None:
        return []
    others = [f"--{name.replace('_', '-')}" for name in _SELECTION_FLAGS if getattr(arguments, name)]
    if others:
        raise UsageError(f"--keys-file cannot be combined with {', '.join(others)}.")
    try:
        if arguments.keys_file == "-":
            if sys.stdin is None:
                raise UsageError("There is no standard input to read the list of keys from.")
            keys = read_keys(cast("BufferedReader", sys.stdin.buffer), settings)
        else:
            with Path(arguments.keys_file).open("rb") as file:
                keys = read_keys(file, settings)
    except OSError as error:
        raise UsageError(f"The list of keys cannot be read: {error}", remedy="Specify a text file.") from error
    if not keys:
        raise UsageError("The list of keys is empty.", remedy="Write one object key per line.")
    return keys
