"""500 random selections over all products and month lengths: values equal those of the whole file, bit by bit.

The truth is what xarray selects from the whole file. Boxes cross Greenwich and 180 degrees, and contain the poles.
"""

from __future__ import annotations

import random
from calendar import monthrange
from datetime import date, datetime
from pathlib import Path

import pytest

from era5dl.catalog import Cadence, find_variable, parse_key
from era5dl.errors import BadSelection
from era5dl.subset.selection import Area, Point, Subset
from tests.faultlab import FaultServer
from tests.netcdf_files import LEVELS, ONE_OF_EACH_PRODUCT, Sample, write_sample
from tests.test_engine_subset import fetch
from tests.test_subset_write import check_equal, plan, write

pytestmark = pytest.mark.usefixtures("no_user_settings")

FILES = (
    *((name, datetime(2021, 2, 10, 6)) for name in ONE_OF_EACH_PRODUCT),
    ("an.sfc/2t", datetime(2020, 2, 29, 23)),
    ("an.sfc/2t", datetime(2021, 4, 1)),
    ("an.vinteg/viwve", datetime(2021, 5, 31)),
    ("fc.sfc.minmax/mx2t", datetime(2020, 2, 29)),
)
PER_FILE = 42  # selections that are not empty; 504 in all


def sample_of(folder: Path, name: str, hour: datetime) -> Sample:
    """Write a coarse file. Four tiles of 27 hours for a month: more would only take time."""
    is_monthly = find_variable(name).product.cadence is Cadence.MONTH
    return write_sample(folder, name, hour, step=15, chunks=(27, 7, 13) if is_monthly else None)


def random_area(dice: random.Random) -> Area:
    south = dice.choice([-90.0, dice.uniform(-90, 75)])
    north = dice.choice([90.0, min(south + dice.uniform(12, 60), 90.0)])
    west = dice.choice([dice.uniform(-180, 180), dice.uniform(0, 340), dice.uniform(150, 179), dice.uniform(-40, -1)])
    width = dice.choice([dice.uniform(12, 60), dice.uniform(60, 350), 360.0])
    east = west + width
    if width == 360.0 and east > 360.0:
        west, east = -180.0, 180.0
    return Area(north, west, south, east - 360.0 if east > 360.0 else east)


def random_subset(dice: random.Random, month: datetime) -> Subset:
    """Return a subset that restricts one to all of place, hours, levels and days."""
    last = monthrange(month.year, month.month)[1]
    first = dice.randint(1, last)
    days = (date(month.year, month.month, first), date(month.year, month.month, dice.randint(first, last)))
    points = tuple(Point(dice.uniform(-90, 90), dice.uniform(-180, 360)) for _ in range(dice.randint(1, 5)))
    place = dice.choice(["area", "area", "points", "everywhere"])
    return Subset(
        hours=tuple(dice.sample(range(24), dice.randint(1, 6))) if dice.random() < 0.5 else (),
        levels=tuple(int(level) for level in dice.sample(list(LEVELS), dice.randint(1, 5)))
        if dice.random() < 0.5
        else (),
        area=random_area(dice) if place == "area" else None,
        points=points if place == "points" else (),
        days=(days,) if dice.random() < 0.5 else (),
    )


def check(sample: Sample, hour: datetime, folder: Path, count: int) -> None:
    dice = random.Random(f"{sample.key} {count}")
    done = 0
    while done < count:
        subset = random_subset(dice, hour)
        path = folder / f"{done}.nc"
        try:
            write(sample, subset, path)
        except BadSelection:
            continue  # no hour of the file, or no grid point of its coarse grid
        check_equal(sample, subset, path)
        path.unlink()
        done += 1


@pytest.mark.parametrize(("name", "hour"), FILES)
def test_a_few_random_selections(tmp_path: Path, name: str, hour: datetime) -> None:
    check(sample_of(tmp_path, name, hour), hour, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "hour"), FILES)
def test_random_selections_through_the_engine(
    fault_server: FaultServer, tmp_path: Path, name: str, hour: datetime
) -> None:
    sample = sample_of(tmp_path, name, hour)
    fault_server.put(sample.key, sample.path.read_bytes())
    key = parse_key(sample.key)
    assert key is not None
    dice, done = random.Random(sample.key), 0
    while done < 3:
        subset = random_subset(dice, hour)
        try:
            is_whole = subset.for_file(key).is_everything
            plan(sample, subset)
        except BadSelection:
            continue
        if not is_whole:
            fetch(fault_server, tmp_path / f"{done}", sample, subset)
            done += 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "hour"), FILES)
def test_random_selections(tmp_path: Path, name: str, hour: datetime) -> None:
    check(sample_of(tmp_path, name, hour), hour, tmp_path, PER_FILE)
