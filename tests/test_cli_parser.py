"""Tests of the command-line parser: from arguments to settings and selections, without a server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from importlib import import_module

import pytest

from era5dl.cli.arguments import selection_from, settings_from
from era5dl.cli.parser import build_parser
from era5dl.errors import BadSelection, UnknownName
from era5dl.selection import Selection


def parse(*words: str) -> argparse.Namespace:
    return build_parser().parse_args(words)


def selected(*words: str) -> Selection:
    return selection_from(parse("plan", *words))


def names(selection: Selection) -> list[str]:
    return [variable.name for variable in selection.variables]


def commands(parser: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """The commands of the program, or those of a command that has some of its own."""
    found = (a for a in (parser or build_parser())._actions if isinstance(a, argparse._SubParsersAction))
    return {name: parser for action in found for name, parser in action.choices.items()}


def test_all_documented_commands_exist() -> None:
    assert list(commands()) == [
        "products", "variables", "cds", "plan", "download", "resume", "update", "sessions", "queue", "verify",
        "audit", "manifest", "cite", "merge", "export", "preview", "prepare", "work", "gather", "sbatch",
        "diagnose", "demo",
    ]  # fmt: skip


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_a_function(name: str) -> None:
    parser = commands()[name]
    for one in commands(parser).values() or [parser]:
        module, _, function = one.get_default("run").partition(":")
        assert callable(getattr(import_module(f"era5dl.cli.commands.{module}"), function))


@pytest.mark.parametrize("name", ["plan", "download", "resume", "verify", "diagnose"])
def test_common_flags_become_settings(name: str) -> None:
    flags = {flag for action in commands()[name]._actions for flag in action.option_strings}
    assert flags >= {
        "--endpoint-url", "--bucket", "--region", "--ca-bundle", "--workers", "--limit-rate", "--retries",
        "--no-verify", "--flat", "--json", "--quiet",
    }  # fmt: skip


def test_flags_override_environment_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERA5DL_WORKERS", "3")
    monkeypatch.setenv("ERA5DL_LIMIT_RATE", "1M")
    settings = settings_from(parse("diagnose"))
    assert (settings.workers, settings.rate_limit, settings.verify, settings.flat) == (3, 1_000_000, True, False)
    words = ["diagnose", "--workers", "5", "--limit-rate", "2.5M", "--retries", "0", "--no-verify", "--flat"]
    settings = settings_from(parse(*words, "--bucket", "b", "--region", "eu-west-1"))
    assert (settings.workers, settings.rate_limit, settings.verify, settings.flat) == (5, 2_500_000, False, True)
    assert (settings.retries, settings.bucket, settings.region) == (0, "b", "eu-west-1")
    assert settings_from(parse("diagnose", "--workers", "Auto")).workers == "auto"
    assert settings_from(parse("diagnose", "--limit-rate", "0")).rate_limit is None
    timetable = "08:00,1M 20:00,off"
    assert settings_from(parse("diagnose", "--limit-rate", timetable)).rate_limit == timetable


DAYS = ("--start", "2021-02-01", "--end", "2021-02-28")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--variable", "an.pl/t", "--variable", "2t"), ["an.pl/t", "an.sfc/2t"]),
        (("--variable", "an.pl/t, an.pl/u",), ["an.pl/t", "an.pl/u"]),
        (("--product", "an.pl", "--variable", "t,u"), ["an.pl/t", "an.pl/u"]),
        (("--variable", "128_167_2t"), ["an.sfc/2t"]),
        (("--variable", "t2m"), ["an.sfc/2t"]),
        (("--product", "an.pl,an.sfc", "--variable", "z,2t"), ["an.pl/z", "an.sfc/2t"]),
    ],
)  # fmt: skip
def test_variables_are_selected_by_any_name(words: Sequence[str], expected: list[str]) -> None:
    assert names(selected(*words, *DAYS)) == expected


def test_a_product_without_variables_selects_all_of_them() -> None:
    assert len(selected("--product", "an.pl", *DAYS).variables) == 16
    assert len(selected("--product", "an.pl", "--product", "an.sfc", *DAYS).variables) == 16 + 62
    assert len(selected("--product", "invariant").variables) == 14  # no dates needed


def test_presets_can_be_combined_with_variables() -> None:
    wrf = selected("--preset", "wrf", *DAYS)
    assert len(wrf.variables) == 26
    more = selected("--preset", "wrf", "--variable", "an.vinteg/viwve", *DAYS)
    assert set(names(more)) == {*names(wrf), "an.vinteg/viwve"}
    with pytest.raises(BadSelection):
        selected("--preset", "wrf", "--product", "an.pl", *DAYS)


def test_a_variable_of_no_given_product_is_refused() -> None:
    with pytest.raises(UnknownName):
        selected("--product", "an.pl,an.vinteg", "--variable", "2t", *DAYS)


def test_days_are_selected_by_range_or_lists() -> None:
    assert selected("--variable", "2t", *DAYS).days == ((date(2021, 2, 1), date(2021, 2, 28)),)
    lists = selected("--variable", "2t", "--years", "2020-2021", "--months", "2,6", "--days", "30-31")
    assert lists.days == ((date(2020, 6, 30), date(2020, 6, 30)), (date(2021, 6, 30), date(2021, 6, 30)))
