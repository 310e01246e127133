"""Tests of the connection monitor: idle connections, another network, changed addresses, suspend and clock changes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import connection_monitor
from era5dl.engine.connection_monitor import SuspendDetector, is_local, local_addresses
from era5dl.engine.engine import Engine
from era5dl.engine.events import FileRetrying, State, StateChanged
from era5dl.errors import SessionBusy
from era5dl.session import Session
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import EngineRun, fetch_all, plan_of, running, settings_for, wrong_files

MB = 1_000_000
KEY = "a.bin"
NAME = "bucket.era5dl.test"


def heads(server: FaultServer) -> int:
    return server.stats().requests.get("HEAD", 0)


def under_way(server: FaultServer, folder: Path, **options: Any) -> Any:
    """Return a run that downloads one file of 2 MB in about a second."""
    server.put(KEY, pseudo_random(1, 2 * MB))
    server.link = Link(speed=2 * MB)
    return running(server, folder, **options)


# No bytes arrive


@pytest.mark.slow
def test_the_bucket_is_probed_while_no_bytes_arrive(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_monitor, "HEALTH_CHECK_EVERY", 0.3)
    with under_way(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ran.engine.pause()
        asked = heads(fault_server)
        ran.wait_until(lambda: heads(fault_server) >= asked + 2)
        assert ran.engine.snapshot().state is State.PAUSED
        fault_server.outage(2.0)
        ran.wait_until(lambda: ran.engine._run.outage.state is State.WAITING_FOR_NETWORK)
        assert ran.engine.snapshot().state is State.PAUSED, "the pause of the user is reported first"
        ran.engine.resume()
        assert ran.engine.snapshot().state is State.WAITING_FOR_NETWORK, "known from the probe"
        assert ran.wait_for_end().verified == 1
    assert [event.state for event in ran.events_of(StateChanged)] == [
        State.RUNNING,
        State.PAUSED,
        State.WAITING_FOR_NETWORK,
        State.RUNNING,
    ]


def test_the_bucket_is_not_probed_while_bytes_arrive(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random(1, 1000))
    settings = settings_for(fault_server)
    bucket = S3Bucket(settings)
    done: list[str] = []
    with Session.begin(tmp_path, plan_of(bucket), settings) as session:
        engine = Engine(bucket, session, settings)
        run, connections, began = engine._run, engine._maintenance._connections, time.monotonic()
        bucket.drop_idle_connections = lambda: done.append("drop")  # type: ignore[method-assign]
        run.outage.probe = lambda key: done.append(f"probe {key}")  # type: ignore[method-assign]
        for after, came, expected in (
            (50, 0, []),
            (59, 1, []),
            (100, 0, []),
            (121, 0, ["drop"]),
            (170, 1, []),
            (231, 0, ["drop"]),
            (760, 0, ["drop"]),
            (790, 0, [f"probe {KEY}"]),
            (821, 0, ["drop"]),
            (1380, 0, ["drop"]),
            (1391, 0, [f"probe {KEY}"]),
        ):
            run.counters.fetched_bytes += came
            connections._check_idle(began + after)
            assert done == expected, after
            done.clear()


def test_idle_connections_are_dropped_after_a_minute_without_bytes(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that has forgotten a connection drops its packets, which only a timeout shows."""
    monkeypatch.setattr(connection_monitor, "IDLE_AFTER", 0.2)
    for number in range(2):
        fault_server.put(f"{number}.bin", pseudo_random(number, 50_000))
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.engine.hold([1])
        ran.wait_until(lambda: ran.engine.snapshot().done_files == 1)
        ran.wait_until(lambda: fault_server.stats().connections_now == 0)
        ran.engine.release([1])
        assert ran.wait_for_end().verified == 2
    assert ran.events_of(FileRetrying) == []


# Another network


class Elsewhere(FaultServer):
    """The bucket at another address, on the same port."""

    def _bind(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.2", port))
        except OSError:
            pytest.skip("this system has no 127.0.0.2")
        return sock


@pytest.fixture
def moving(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server and its successor at another address; `leads_to` is the address its name resolves to."""

    class Moving:
        endpoint_url, bucket = f"http://{NAME}:{fault_server.port}", fault_server.bucket
        before, leads_to = fault_server, "127.0.0.1"

    real = socket.getaddrinfo
    with Elsewhere(port=fault_server.port) as after:
        Moving.after = after  # type: ignore[attr-defined]

        def resolve(host: Any, *args: Any, **more: Any) -> Any:
            return real(Moving.leads_to if host in (NAME, NAME.encode()) else host, *args, **more)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield Moving


def keep_idle(bucket: S3Bucket, key: str, count: int) -> None:
    """Leave `count` idle connections in the pool."""
    together = threading.Barrier(count)

    def ask() -> None:
        together.wait(10)
        bucket.head(key)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_connections_to_a_dead_server_address_are_dropped(moving: Any, tmp_path: Path) -> None:
    data = {f"{number}.bin": pseudo_random(number, 200_000) for number in range(8)}
    for server in (moving.before, moving.after):
        for key, body in data.items():
            server.put(key, body)
    moving.before.link = Link(latency=0.2)  # so that each of the requests below needs its own connection
    moving.after.link = Link(speed=400_000)
    settings = settings_for(moving, workers=1, read_timeout=1.0)
    bucket = S3Bucket(settings)
    with Session.begin(tmp_path, plan_of(bucket), settings) as session:
        keep_idle(bucket, "0.bin", 4)
        assert moving.before.stats().connections_now == 4
        moving.before.reset_stats()
        moving.before.script(Fault("stall-before-headers", times=None, seconds=30))
        moving.leads_to = "127.0.0.2"
        ran = EngineRun(Engine(bucket, session, settings), session, bucket, [])
        ran.engine.start()
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ran.engine.set_workers(4)  # which would use the other connections
        assert ran.wait_for_end().verified == 8
    assert len(moving.before.log) == 1, "one failure was enough to drop all of them"
    assert wrong_files(tmp_path, data) == []


def test_all_connections_are_renewed_when_the_local_address_is_gone(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ["192.0.2.7"]
    monkeypatch.setattr(connection_monitor, "local_addresses", lambda: tuple(ours))
    data = pseudo_random(1, 2 * MB)
    fault_server.put(KEY, data)
    fault_server.script(Fault("body-stall", at=100_000, seconds=30), key=KEY)
    with running(fault_server, tmp_path, read_timeout=30) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ours[:] = ["127.0.0.1"]  # another Wi-Fi network; 192.0.2.7 never was a local address
        ran.wait_for_end(10)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert ran.events_of(FileRetrying) == [], "a change of network is not a failure"


def test_another_preferred_local_address_is_no_reason_to_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VPN was opened: connections from the old address still work."""
    addresses = iter([("127.0.0.1",), ("127.0.0.9",), ("127.0.0.1",), ()])
    monkeypatch.setattr(connection_monitor, "local_addresses", lambda: next(addresses))
    seen = SuspendDetector()
    assert [seen.check() for _ in range(3)] == ["", "", ""]


def test_local_addresses() -> None:
    assert all(is_local(address) for address in local_addresses())
    assert is_local("127.0.0.1")
    assert not is_local("192.0.2.1")
    assert not is_local("2001:db8::1")


# Clocks


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the one clock that goes on during sleep can be set")
def test_setting_the_clock_does_not_look_like_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, real = SuspendDetector(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86400)
    assert seen.check() == ""


@pytest.mark.parametrize("boottime", [True, False], ids=["boottime", "no boottime"])
def test_setting_the_clock_does_not_affect_a_run(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boottime: bool
) -> None:
    if boottime and not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("this system has one clock that goes on during sleep, and it can be set")
    if not boottime:
        monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    ahead, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])
    year = 365 * 86400.0
    with under_way(fault_server, tmp_path, workers=2) as ran:
        for years in (10, -20, 5):
            came = ran.engine.snapshot().fetched_bytes
            ahead[0] = years * year
            ran.wait_until(lambda came=came: ran.engine.snapshot().fetched_bytes > came + MB // 5)  # type: ignore[misc]
            assert 0 <= ran.engine.snapshot().elapsed < 60
            assert (ran.engine.snapshot().time_left or 0) < 60
        with pytest.raises(SessionBusy):
            Session.open(tmp_path, ran.session.id)
        ran.engine.stop()
        assert ran.wait_for_end().unfinished == 1
    assert ran.events_of(FileRetrying) == []
    assert ran.engine.snapshot().fetched_bytes == ran.engine.snapshot().done_bytes, "nothing was fetched twice"
    ahead[0] = -30 * year
    fault_server.link = Link()
    again = fetch_all(fault_server, tmp_path)
    assert again.engine.result.verified == 1
    assert again.engine.snapshot().fetched_bytes + ran.engine.snapshot().fetched_bytes == 2 * MB
    assert wrong_files(tmp_path, {KEY: pseudo_random(1, 2 * MB)}) == []
