"""From flags to what the rest of the program understands: settings, selection, bucket, plan."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.errors import UsageError
from era5dl.formatting import format_count
from era5dl.settings import Settings

if TYPE_CHECKING:
    from io import BufferedReader

    from era5dl.bucket.interface import Bucket
    from era5dl.planner import Plan
    from era5dl.selection import Selection

_SETTINGS = {  # flag -> setting
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


def flags_given(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings that the command line says itself."""
    said = {setting: getattr(arguments, flag, None) for flag, setting in _SETTINGS.items()}
    return {setting: value for setting, value in said.items() if value is not None}


def settings_from(arguments: argparse.Namespace, **defaults: object) -> Settings:
    """A flag wins over `defaults`, which win over the environment. Raises UsageError."""
    return Settings.from_environment(os.environ, **{**defaults, **flags_given(arguments)})


def open_bucket(settings: Settings) -> Bucket:
    """The bucket, ready for requests; nothing is asked of it yet."""
    from era5dl.bucket.s3 import S3Bucket

    return S3Bucket(settings)


def make_plan(
    arguments: argparse.Namespace, settings: Settings, bucket: Bucket, voice: Voice, interrupts: Interrupts
) -> Plan:
    """Ask the bucket what there is of the selection, or of the keys. Raises Stopped when the user asks for it."""
    from era5dl import planner

    keys = _keys(arguments, settings)
    selection = None if keys else selection_from(arguments)
    watch = PlanningWatch(voice)
    with interrupts.gracefully():
        if selection is None:
            voice.say(f"Looking up {format_count(len(keys), 'key')} ...")
            made = planner.plan_keys(keys, bucket, on_progress=watch.progress, cancelled=interrupts.asked.is_set)
            if made.passed_over:
                voice.insist(f"passed over: {planner.describe_passed_over(made.passed_over)}")
            return made
        return planner.make_plan(selection, bucket, on_progress=watch.progress, cancelled=interrupts.asked.is_set)


class PlanningWatch:
    """Says now and then how far planning is: every 2 s to people, every second as a record."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._next_line = time.monotonic() + 2.0
        self._next_record = time.monotonic() + 1.0

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next_record:
            self._next_record = now + 1.0
            self._voice.record("planning", done=done, total=total)
        if now >= self._next_line:
            self._next_line = now + 2.0
            self._voice.say(f"Planning: {done:,} of {format_count(total, 'listing')} ...")


def selection_from(arguments: argparse.Namespace) -> Selection:
    from era5dl.api import select

    if not (arguments.variable or arguments.product or arguments.preset):
        raise UsageError(
            "Nothing is selected.",
            remedy="Name variables (--variable 2t), a whole product (--product an.sfc), a preset (--preset wrf) "
            "or a list of keys (--keys-file FILE). `era5dl variables` lists what there is.",
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
    )


def _keys(arguments: argparse.Namespace, settings: Settings) -> list[str]:
    """The keys of --keys-file; none when there is no such flag."""
    from era5dl.planner import read_keys

    if arguments.keys_file is None:
        return []
    others = ("variable", "product", "preset", "start", "end", "years", "months", "days")
    both = [f"--{name}" for name in others if getattr(arguments, name)]
    if both:
        raise UsageError(f"--keys-file names the objects itself; it does not go with {', '.join(both)}.")
    try:
        if arguments.keys_file == "-":
            if sys.stdin is None:
                raise UsageError("There is no standard input to read the list of keys from.")
            keys = read_keys(cast("BufferedReader", sys.stdin.buffer), settings)
        else:
            with Path(arguments.keys_file).open("rb") as file:
                keys = read_keys(file, settings)
    except OSError as error:
        raise UsageError(f"The list of keys cannot be read: {error}", remedy="Name a text file.") from error
    if not keys:
        raise UsageError("The list of keys is empty.", remedy="Write one object key a line.")
    return keys
