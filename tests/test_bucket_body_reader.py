"""Bytes over TLS: while they are there the turn is ours, and never while we wait for them or for the rate limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from era5dl.bucket import body_reader, get_object
from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import byte_sink
from era5dl.engine.rate_limit import RateLimit
from era5dl.turns import Turn
from tests.faultlab import Certificates, Fault, FaultServer, etag_of, pseudo_random
from tests.runs import settings_for, taken

KEY = "e5.oper.an.pl/202401/a.nc"
DATA = pseudo_random("tap", 8_000_000)
OBJ = ObjectInfo(KEY, len(DATA), etag_of(DATA))
SOON = 20.0  # seconds

pytestmark = pytest.mark.skipif(
    body_reader.SLICED, reason="where a blocked reader cannot be woken, each read is waited for"
)


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[FaultServer]:
    with FaultServer(certificates=certificates) as found:
        found.put(KEY, DATA)
        yield found


@pytest.fixture
def spell(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """One place only, and one that lasts."""
    found = Turn(1, long=SOON)
    for module in (body_reader, get_object, byte_sink):
        monkeypatch.setattr(module, "spell", found)
    return found


@pytest.fixture
def bucket(server: FaultServer) -> Iterator[S3Bucket]:
    found = S3Bucket(settings_for(server, read_timeout=1.0))
    yield found
    found.drop_idle_connections()


def others_get_it(spell: Turn) -> bool:
    """Whether another thread gets the turn."""
    got = []

    def take() -> None:
        spell.take()
        got.append(spell.held)
        spell.give()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(SOON)
    return got == [True]


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < give_up, "waited in vain"


def test_it_is_held_while_bytes_are_there_and_given_back_at_the_end(bucket: S3Bucket, spell: Turn) -> None:
    came, held = bytearray(), []
    with bucket.open(OBJ, 0, OBJ.size, Abort()) as body:
        while data := taken(body, 1000):  # less than a record: of each, most has come already
            came += data
            held.append(spell.held)
    assert came == DATA
    assert any(held)
    assert not spell.held
    assert others_get_it(spell)


def test_it_is_given_back_when_the_rest_is_not_wanted(bucket: S3Bucket, spell: Turn) -> None:
    with bucket.open(OBJ, 0, OBJ.size, Abort()) as body:
        until(lambda: bool(taken(body, 1000)) and spell.held)
    assert not spell.held


def test_who_waits_for_bytes_does_not_hold_it(server: FaultServer, spell: Turn) -> None:
    server.script(Fault("body-stall", at=100_000, seconds=10))
    bucket = S3Bucket(settings_for(server, read_timeout=5.0))
    abort, count = Abort(), 0

    def read() -> None:
        nonlocal count
        with bucket.open(OBJ, 0, OBJ.size, abort) as body:
            while data := taken(body, 1000):  # what is shut by an abort ends
                count += len(data)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: count == 100_000)
    until(lambda: others_get_it(spell) or abort.why != "" or not reader.is_alive())
    waiting = reader.is_alive()
    abort.trip("enough")
    reader.join(SOON)
    assert not reader.is_alive()
    bucket.drop_idle_connections()
    assert waiting


def test_nor_does_who_waits_for_the_rate_limit(spell: Turn) -> None:
    run: Any = SimpleNamespace(rate=RateLimit(1000))
    abort, held = Abort(), threading.Event()

    def linger() -> None:
        spell.take()
        held.set()
        byte_sink.Intake(run).linger(SOON, abort)

    worker = threading.Thread(target=linger)
    worker.start()
    held.wait(SOON)
    until(lambda: others_get_it(spell))
    waiting = worker.is_alive()
    abort.trip("enough")
    worker.join(SOON)
    assert waiting


def test_it_does_not_last_for_ever(bucket: S3Bucket, spell: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era5dl.turns.SPELL", 0.0)
    with bucket.open(OBJ, 0, OBJ.size, Abort()) as body:
        while taken(body, 1000):
            assert not spell.held
