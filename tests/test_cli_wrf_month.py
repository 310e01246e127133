"""End-to-end test: a month of the WRF preset is planned, downloaded, killed, verified, damaged and repaired."""

from __future__ import annotations

import calendar
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from era5dl.catalog import find_preset, key_of, periods
from tests.command_line import call_main
from tests.faultlab import pseudo_random
from tests.runs import wrong_files
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.slow

PART = 5 << 20
BIG = "e5.oper.an.sfc/202102/e5.oper.an.sfc.128_167_2t.ll025sc.2021020100_2021022823.nc"
MONTH = ("--preset", "wrf", "--start", "2021-02-01", "--end", "2021-02-28")


@pytest.fixture(scope="module")
def month(seaweed: Seaweed) -> dict[str, bytes]:
    """Small objects with the keys of the WRF preset for February 2021, and similar ones that it does not contain."""
    keys = [
        key_of(variable, period)
        for variable in find_preset("wrf").variables
        for period in periods(variable.product, date(2021, 2, 1), date(2021, 2, 28))
    ]
    objects = {key: pseudo_random(key, 3000) for key in keys}
    objects[BIG] = pseudo_random("big", 4 * PART + 12345)
    for key, data in objects.items():
        seaweed.put(key, data, part_size=PART if key == BIG else None)
    for stranger in ("202101", "202103"):
        last = calendar.monthrange(2021, int(stranger[4:]))[1]
        stamps = f"{stranger}0100_{stranger}{last}23"
        seaweed.put(BIG.replace("2021020100_2021022823", stamps).replace("/202102/", f"/{stranger}/"), b"x")
    return objects


def test_a_month_of_the_wrf_preset_is_downloaded_verified_and_repaired(
    seaweed: Seaweed, month: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    planned = _run(seaweed, "plan", *MONTH, "--json")
    assert {record["key"] for record in planned if record["event"] == "object"} == set(month)
    assert len(month) == 5 * 28 + 19 + 2

    started = _start(seaweed, "download", *MONTH, "--out", str(out), "--limit-rate", "8M")
    time.sleep(2.0)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    _run(seaweed, "download", *MONTH, "--out", str(out))
    assert wrong_files(out, month) == []

    assert _run(seaweed, "verify", str(out), "--json")[-1]["exit_code"] == 0

    path = out / BIG
    spoilt = bytearray(path.read_bytes())
    spoilt[2 * PART + 99] ^= 1
    path.write_bytes(spoilt)
    found = _run(seaweed, "verify", str(out), "--json", code=1)
    assert [record["key"] for record in found if record.get("condition") == "wrong"] == [BIG]

    mended = _run(seaweed, "verify", str(out), "--repair", "--json")
    (summary,) = [record for record in mended if record["event"] == "summary"]
    assert summary["fetched_bytes"] == PART, "only the part that holds the wrong byte"
    assert wrong_files(out, month) == []


def test_a_repair_does_not_fetch_files_never_downloaded(
    seaweed: Seaweed, month: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    started = _start(seaweed, "download", *MONTH, "--out", str(out), "--limit-rate", "50K")
    _wait_until(lambda: any(out.rglob("*.nc")))
    started.send_signal(signal.SIGINT)
    started.communicate()
    assert started.returncode == 130
    came = sorted(out.rglob("*.nc"))
    assert 0 < len(came) < len(month)
    came[0].write_bytes(b"spoilt")

    mended = _run(seaweed, "verify", str(out), "--repair", "--json", code=1)

    (summary,) = [record for record in mended if record["event"] == "summary"]
    assert summary["fetched_bytes"] == 3000
    assert sorted(out.rglob("*.nc")) == came
    _run(seaweed, "resume", str(out))
    assert wrong_files(out, month) == []


def _wait_until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _environment(server: Seaweed) -> dict[str, str]:
    place = {"ERA5DL_ENDPOINT_URL": server.endpoint_url, "ERA5DL_BUCKET": server.bucket}
    return {**os.environ, **place, "ERA5DL_DISK_RESERVE": "0"}


def _start(server: Seaweed, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "era5dl", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(server)
    )


def _run(server: Seaweed, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a command, check its exit code, and return its records."""
    done = call_main(words, _environment(server))
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if "--json" in words else []
