"""A short form of the endurance test `tests.benchmarks.soak`: hundreds of files under faults and outages."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.soak_disturbances import LINK, Disturbances
from tests.benchmarks.soak_objects import fill, make_items
from tests.benchmarks.soak_picture import PANELS, picture
from tests.benchmarks.soak_run import Run, soak
from tests.benchmarks.soak_slopes import trend
from tests.benchmarks.soak_tables import before_and_after, flatness, summary
from tests.faultlab import FaultServer

MB = 1_000_000
WORKERS = 8


def _soak(who: str, folder: Path, objects: int) -> Run:
    """Run a short soak test: bursts, outages and broken connections every few seconds, over a fast line."""
    items = make_items(objects, seed=3)
    with FaultServer() as server:
        fill(server, items)
        with Disturbances(server, seed=3, cycle=6.0):
            server.link = replace(LINK, speed=4 * MB)
            return soak(who, server, items, folder, WORKERS, seconds=120.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("soak")
    return [_soak("era5dl", folder / "ours", 500), _soak("predecessor", folder / "theirs", 60)]


@pytest.mark.slow
def test_every_file_is_correct_despite_disturbances(runs: list[Run]) -> None:
    ours = runs[0]
    assert ours.ended
    assert ours.struck > 50, "faults were injected"
    assert ours.fates == {"right": ours.objects}
    assert ours.line[-1][2] == 0, "no file was given up at any time"
    assert ours.left_over == 0


@pytest.mark.slow
def test_resources_do_not_grow_and_no_thread_is_blocked(runs: list[Run]) -> None:
    ours = runs[0]
    working = [record for record in ours.records if record.threads > 1]
    first, last = working[len(working) // 5], working[-1]
    assert last.rss - first.rss < 15 * MB
    assert max(record.threads for record in working) <= WORKERS + 6
    assert max(record.open_files for record in working) <= 4 * WORKERS + 20
    assert max(record.connections for record in working) <= 2 * WORKERS
    assert sum(record.blocked for record in ours.records) == 0, "a piece that waits holds up no worker"
    assert ours.overhead <= 0.03, "what the faults did not destroy was not fetched twice"


@pytest.mark.slow
def test_the_predecessor_is_measured_in_the_same_way(runs: list[Run]) -> None:
    ours, theirs = runs
    assert sum(theirs.fates.values()) == 60
    assert theirs.fates["right"] > 40, "it is a downloader, after all"
    assert before_and_after(ours, theirs).count("\n") > 8
    assert "memory" in flatness(runs)
    assert "predecessor" in summary(theirs)
    drawn = ET.fromstring(picture(runs))
    assert len(drawn.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2 * len(PANELS)


@pytest.mark.parametrize(
    ("rise", "flat"), [(0.0, True), (0.02, True), (0.5, False), (-0.5, False)], ids=["none", "no matter", "up", "down"]
)
def test_a_trend_is_distinguished_from_noise(rise: float, flat: bool) -> None:
    """50 records with noise of 5 %. rise: total increase of the curve."""
    dice = random.Random(1)
    values = [100 * (1 + rise * n / 49) + dice.gauss(0, 5) for n in range(50)]
    found = trend(values)
    assert found.flat is flat
    assert found.low <= found.change <= found.high
    assert found.share == pytest.approx(0.8 * rise / (1 + 0.6 * rise), abs=0.08)


def test_one_outlier_is_not_a_trend_and_zeros_are_flat() -> None:
    assert trend([5.0] * 49 + [500.0]).flat
    assert trend([0.0] * 50).flat


def test_initial_growth_is_not_counted() -> None:
    assert trend([float(min(n, 10)) for n in range(50)]).flat
