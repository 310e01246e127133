"""Automatic concurrency in real runs: the number of workers follows what the server gives."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from era5dl.engine import concurrency
from era5dl.engine.concurrency import START, Reason
from era5dl.errors import UsageError
from era5dl.settings import MAX_AUTO_WORKERS, Settings
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import running, wrong_files

MB = 1_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements as short as a server on this computer allows."""
    monkeypatch.setattr(concurrency, "SETTLE", 0.1)
    monkeypatch.setattr(concurrency, "MEASURE", 0.6)


def furnish(server: FaultServer, count: int, size: int) -> dict[str, bytes]:
    """Put so many objects of this size into the bucket."""
    data = {f"an.pl/{number}.nc": pseudo_random(number, size) for number in range(count)}
    for key, content in data.items():
        server.put(key, content)
    return data


@pytest.mark.slow
def test_where_each_connection_is_slow_more_are_used(fault_server: FaultServer, tmp_path: Path) -> None:
    data = furnish(fault_server, 8, 4 * MB)
    fault_server.link = Link(speed=100_000)
    most = 0
    with running(fault_server, tmp_path, workers="auto") as run:
        give_up = time.monotonic() + 60
        while not run.engine.wait(0.1) and time.monotonic() < give_up:
            most = max(most, run.engine.snapshot().workers)
            if most > START:
                fault_server.link = Link()
        run.wait_for_end()
    assert most > START
    assert wrong_files(tmp_path, data) == []


@pytest.mark.slow
def test_a_rate_limit_is_not_taken_for_slow_connections(fault_server: FaultServer, tmp_path: Path) -> None:
    data = furnish(fault_server, 4, MB)
    with running(fault_server, tmp_path, workers="auto", rate_limit=MB) as run:
        reasons = set()
        while not run.engine.wait(0.1):
            assert run.engine.snapshot().workers <= START
            reasons.add(run.engine.snapshot().workers_reason)
        assert Reason.RATE_LIMIT.value in reasons
    assert wrong_files(tmp_path, data) == []


def test_a_fixed_number_can_replace_the_automatic_one_and_back(fault_server: FaultServer, tmp_path: Path) -> None:
    data = furnish(fault_server, 4, MB)
    fault_server.link = Link(speed=200_000)
    with running(fault_server, tmp_path, workers="auto") as run:
        run.engine.set_workers(3)
        assert run.engine.snapshot().workers == 3
        assert not run.engine.snapshot().auto
        assert run.engine.snapshot().workers_reason == ""
        time.sleep(1.0)
        assert run.engine.snapshot().workers == 3
        run.engine.set_workers("auto")
        assert run.engine.snapshot().auto
        assert run.engine.snapshot().workers == 3
        fault_server.link = Link()
        run.wait_for_end()
    assert wrong_files(tmp_path, data) == []


@pytest.mark.slow
def test_a_fixed_number_wins_over_an_automatic_one_that_is_just_applied(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user chooses 3 between the moment when another number is found and the one when it is applied."""
    data = furnish(fault_server, 8, 4 * MB)
    fault_server.link = Link(speed=100_000)
    chosen: list[threading.Thread] = []
    with running(fault_server, tmp_path, workers="auto") as run:
        monitor = run.engine._maintenance._concurrency
        apply = monitor._set_workers

        def choose_then_apply(number: int) -> None:
            if not chosen:
                chosen.append(threading.Thread(target=run.engine.set_workers, args=(3,)))
                chosen[0].start()
                chosen[0].join(0.5)
            apply(number)

        monkeypatch.setattr(monitor, "_set_workers", choose_then_apply)
        run.wait_until(lambda: chosen and not chosen[0].is_alive())
        time.sleep(0.5)
        assert (run.engine.snapshot().workers, run.engine.snapshot().auto) == (3, False)
        fault_server.link = Link()
        assert run.wait_for_end().error == ""
    assert wrong_files(tmp_path, data) == []


def test_settings_accept_auto_and_nothing_like_it() -> None:
    assert Settings(workers="auto").pool_size == 4 * MAX_AUTO_WORKERS
    assert Settings.from_environment({"ERA5DL_WORKERS": "auto"}).workers == "auto"
    for wrong in ("automatic", "", "8"):
        with pytest.raises(UsageError, match="workers is"):
            Settings(workers=wrong)  # type: ignore[arg-type]
