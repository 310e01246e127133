"""Tests of the connection limit: how many a server admits, as opposed to connections that close for other reasons."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import retry
from era5dl.engine.events import FileFailed
from era5dl.engine.rate_limit import Throttle
from era5dl.planner import plan_keys
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.faultlab.http import Request
from tests.runs import running, settings_for, wrong_files

WORKERS = 16


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.1)


class Closing:
    """Faults that close the connection of a share of the requests. The first requests are answered."""

    def __init__(self, kinds: list[str], share: float, first: int = 30) -> None:
        self._kinds, self._share, self._first = kinds, share, first
        self._dice, self._lock = random.Random(5), threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        with self._lock:
            self._first -= 1
            if request.operation != "get" or self._first >= 0 or self._dice.random() >= self._share:
                return None
            return Fault(self._dice.choice(self._kinds), closes=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "share"),
    [
        (["internal-error", "access-denied"], 0.4),
        (["internal-error", "access-denied", "empty-reply", "reset-at-once", "body-reset"], 0.3),
        (["none"], 0.5),
        (["connection-close"], 0.5),
    ],
    ids=["errors", "all sorts", "closed in silence", "closed as said"],
)
def test_closed_connections_do_not_reduce_the_number_of_requests(
    fault_server: FaultServer, tmp_path: Path, kinds: list[str], share: float
) -> None:
    objects = {f"{n:03}.bin": pseudo_random(n, 2000) for n in range(300)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.link = Link(latency=0.02)
    fault_server.add(Closing(kinds, share))
    seen = []
    with running(fault_server, tmp_path, workers=WORKERS) as ran:
        while not ran.engine.wait(0.02):
            seen.append(ran.engine.snapshot().allowed)
    assert wrong_files(tmp_path, objects) == []
    assert min(seen) >= WORKERS // 2
    assert sum(seen) / len(seen) >= 0.9 * WORKERS


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3])
def test_a_connection_limit_reduces_the_number_of_requests(
    fault_server: FaultServer, tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle, "GROW_EVERY", 0.5)
    objects = {f"{n:02}.bin": pseudo_random(n, 60_000) for n in range(24)}
    for key, data in objects.items():
        fault_server.put(key, data)
    fault_server.link = Link(most_connections=most, speed=100_000)
    with running(fault_server, tmp_path, workers=WORKERS) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().allowed == most)
        ran.wait_until(lambda: ran.engine.snapshot().verified_files >= 12)
        assert ran.engine.snapshot().allowed <= most + 1
        assert ran.events_of(FileFailed) == []
        assert fault_server.stats().connections < 4 * WORKERS, "open connections are reused, and new ones rarely opened"
        fault_server.link = Link(speed=100_000, latency=0.02)  # now all connections are accepted
        ran.wait_until(lambda: ran.engine.snapshot().allowed > most + 1)
        assert ran.wait_for_end().verified == 24
    assert wrong_files(tmp_path, objects) == []


@pytest.mark.parametrize("most", [1, 2])
def test_planning_uses_as_many_connections_as_the_server_accepts(fault_server: FaultServer, most: int) -> None:
    keys = [f"{n:02}/a.bin" for n in range(40)]
    for key in keys:
        fault_server.put(key, b"data")
    fault_server.link = Link(most_connections=most, latency=0.02)
    plan = plan_keys(keys, S3Bucket(settings_for(fault_server)))
    assert [obj.key for obj in plan.objects] == keys
