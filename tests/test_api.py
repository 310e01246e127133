"""Tests of the Python API (select, plan, download) against a real S3 server."""

from __future__ import annotations

import ast
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import era5dl
from era5dl.catalog import find_variable, key_of, periods
from era5dl.engine.events import Event, FileDone, RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.errors import AmbiguousName, BadSelection, SessionBusy, UnknownName, UsageError
from tests.servers.seaweed import Seaweed

FIRST, LAST = date(1998, 4, 1), date(1998, 4, 4)


@pytest.fixture(scope="module")
def objects(seaweed: Seaweed) -> Mapping[str, bytes]:
    variable = find_variable("an.pl/u")
    chance = random.Random(5)
    keys = [key_of(variable, period) for period in periods(variable.product, FIRST, LAST)]
    made = {key: chance.randbytes(700_000) for key in keys}
    for key, data in made.items():
        seaweed.put(key, data)
    return made


@pytest.fixture(autouse=True)
def environment(seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ERA5DL_ENDPOINT_URL", seaweed.endpoint_url)


def wanted() -> era5dl.Selection:
    return era5dl.select("an.pl/u", start=FIRST, end="1998-04-04")


def test_select_plan_download_and_download_again(
    seaweed: Seaweed, objects: Mapping[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    listings: list[tuple[int, int]] = []
    seen: list[Snapshot] = []
    events: list[Event] = []
    made = era5dl.plan(wanted(), progress=lambda done, total: listings.append((done, total)))
    assert [obj.key for obj in made.objects] == list(objects)
    assert listings[-1] == (1, 1)
    result = era5dl.download(made, tmp_path / "out", progress=seen.append, on_event=events.append, workers=2)
    assert result.complete
    assert (result.verified, result.failed, result.unfinished, result.failures, result.missing) == (4, 0, 0, (), ())
    assert result.fetched_bytes == 4 * 700_000
    for key, data in objects.items():
        assert (tmp_path / "out" / key).read_bytes() == data
    assert seen[-1].done_bytes == seen[-1].total_bytes
    assert seen[-1].workers == 2
    assert len([event for event in events if isinstance(event, FileDone)]) == 4
    assert isinstance(events[-1], RunEnded)
    assert capfd.readouterr() == ("", "")  # it prints nothing
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

    again = era5dl.download(made, str(tmp_path / "out"), settings=era5dl.Settings(endpoint_url=seaweed.endpoint_url))
    assert again.complete
    assert again.fetched_bytes == 0


def test_a_plan_is_downloaded_from_its_server(
    seaweed: Seaweed, objects: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ERA5DL_ENDPOINT_URL")
    made = era5dl.plan(wanted(), endpoint_url=seaweed.endpoint_url)
    assert era5dl.download(made, tmp_path / "out").verified == len(objects)
    for given in ({"endpoint_url": "https://example.org"}, {"bucket": "other"}, {"settings": era5dl.Settings()}):
        options: dict[str, Any] = given
        with pytest.raises(UsageError, match="The plan was made for") as caught:
            era5dl.download(made, tmp_path / "out", **options)
        assert caught.value.remedy


def test_missing_files_are_reported(objects: Mapping[str, bytes], tmp_path: Path) -> None:
    made = era5dl.plan(era5dl.select("an.pl/u", start=LAST, end=date(1998, 4, 5)))
    result = era5dl.download(made, tmp_path)
    assert not result.complete
    assert (result.verified, [absent.key[-13:] for absent in result.missing]) == (1, ["1998040523.nc"])


def test_interrupt_stops_the_engine_and_the_next_call_resumes(objects: Mapping[str, bytes], tmp_path: Path) -> None:
    made = era5dl.plan(wanted())

    def interrupt(now: Snapshot) -> None:
        if now.fetched_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        era5dl.download(made, tmp_path, progress=interrupt, rate_limit=500_000, workers=1)
    first: list[Snapshot] = []
    result = era5dl.download(made, tmp_path, progress=first.append, rate_limit=0)
    assert result.complete
    assert result.fetched_bytes < 4 * 700_000  # the lock was released, and some bytes were kept
    for key, data in objects.items():
        assert (tmp_path / key).read_bytes() == data


def test_second_download_of_the_same_session_is_refused(objects: Mapping[str, bytes], tmp_path: Path) -> None:
    made = era5dl.plan(wanted())

    def once_more(now: Snapshot) -> None:
        if now.state is not now.state.ENDED:
            with pytest.raises(SessionBusy):
                era5dl.download(made, tmp_path)

    assert era5dl.download(made, tmp_path, progress=once_more, rate_limit=4_000_000).complete


@pytest.mark.parametrize("years", [2020, [2020], "2020", range(2020, 2021)])
def test_select_accepts_several_forms_of_arguments(years: object) -> None:
    selection = era5dl.select(["2t", "an.pl/t,an.pl/u"], years=years, months="1", days=[1, "2-3"])  # type: ignore[arg-type]
    assert [v.name for v in selection.variables] == ["an.pl/t", "an.pl/u", "an.sfc/2t"]
    assert selection.days == ((date(2020, 1, 1), date(2020, 1, 3)),)


def test_select_refuses_ambiguous_and_empty_selections() -> None:
    with pytest.raises(UnknownName):
        era5dl.select("nonsense", years=2020)
    with pytest.raises(AmbiguousName):
        era5dl.select("z", years=2020)
    with pytest.raises(BadSelection):
        era5dl.select(years=2020)
    with pytest.raises(BadSelection):
        era5dl.select("2t")
    assert len(era5dl.select(preset="wrf", years=2020).variables) == 26
    assert len(era5dl.select(product="an.pl", years=2020).variables) == 16
    assert era5dl.select("z", product="an.pl", years=2020) == era5dl.select("an.pl/z", years=2020)


def test_settings_and_options_cannot_be_combined() -> None:
    with pytest.raises(TypeError):
        era5dl.plan(wanted(), settings=era5dl.Settings(), workers=3)
    with pytest.raises(TypeError):
        era5dl.plan(wanted(), wrokers=3)


def test_public_names_are_those_in_all() -> None:
    for name in era5dl.__all__:
        assert getattr(era5dl, name) is not None
    assert dir(era5dl) == sorted(era5dl.__all__)
    with pytest.raises(AttributeError):
        era5dl.nothing  # noqa: B018
    tree = ast.parse(Path(str(era5dl.__file__)).read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("era5dl.")
        for alias in node.names
    }
    assert typed | {"__version__"} == set(era5dl.__all__)  # type checkers see the same names


def test_import_loads_no_other_module() -> None:
    code = "import era5dl, sys; print([name for name in sys.modules if name.startswith('era5dl.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
