"""Tests of work stealing at the end of a run: idle workers take over from slow ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import FileRetrying
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.work_stealing import best_split
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import fetch_all, wrong_files

MIB = 1 << 20


def test_an_idle_worker_takes_over_the_last_piece_of_a_slow_connection(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    """One of two connections has 1 kB/s: its half would take hours, and even the last 128 KiB two minutes."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB, slow_every=2, slow_speed=1100)
    ran = fetch_all(fault_server, tmp_path, workers=2)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.events_of(FileRetrying) == [], "no attempt failed"


@pytest.mark.slow
def test_a_slow_connection_is_aborted_when_another_has_taken_over(fault_server: FaultServer, tmp_path: Path) -> None:
    """It received some bytes and then nothing. The run does not wait for its long timeout."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB)
    fault_server.script("none", Fault("body-stall", at=MIB, seconds=600), key="a.bin")
    ran = fetch_all(fault_server, tmp_path, workers=2, read_timeout=600)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.events_of(FileRetrying) == [], "no attempt failed"


def piece(remaining: int, *samples: tuple[float, int]) -> Piece:
    """A piece of which so many bytes remain, and that was at these positions at these times."""
    position = samples[-1][1]
    transfer = Transfer(0, ObjectInfo("a.bin", position + remaining, '"0"'))
    return Piece(transfer, position, position + remaining, started=samples[0][0], samples=list(samples))


def test_over_a_long_round_trip_a_piece_is_not_split_when_the_new_request_would_come_too_late() -> None:
    """Idle workers would otherwise split the last pieces again and again, and none would become fast."""
    last = piece(2 * MIB, (0.0, 0), (10.0, 10 * MIB))
    assert best_split([last], MIB, 10.0, round_trip=0.01) is not None
    assert best_split([last], MIB, 10.0, round_trip=0.4) is None


def test_over_a_long_round_trip_the_connection_keeps_more_of_its_piece() -> None:
    last = piece(20 * MIB, (0.0, 0), (10.0, 10 * MIB))
    near, far = best_split([last], MIB, 10.0, round_trip=0.01), best_split([last], MIB, 10.0, round_trip=0.4)
    assert near is not None
    assert far is not None
    assert far.position > near.position + MIB // 2


def test_a_request_that_waits_for_its_first_byte_over_a_long_round_trip_is_not_taken_for_stalled() -> None:
    new = piece(8 * MIB, (0.0, 0), (1.5, 0))
    split = best_split([new], MIB, 1.5, round_trip=0.4)
    assert split is not None
    assert split.failures == 0
    assert split.position > 0, "it keeps a part"


def test_only_the_last_seconds_of_a_connection_count() -> None:
    """After a loss a connection is far slower than before, and its piece takes longer than its average suggests."""
    steady = piece(4 * MIB, *((float(second), second * MIB) for second in range(11)))
    slowed = piece(3 * MIB, *((float(second), min(second, 6) * MIB + second * MIB // 10) for second in range(11)))
    split = best_split([steady, slowed], MIB, 10.0)
    assert split is not None
    assert split.piece is slowed


def test_before_any_speed_is_known_only_a_large_piece_over_a_long_round_trip_is_split() -> None:
    """On a long link the number of workers grows while the first requests still wait for their responses."""
    small, large = piece(15 * MIB, (0.0, 0)), piece(32 * MIB, (0.0, 0))
    assert best_split([small], 0.0, 0.5, round_trip=0.2) is None
    assert best_split([large], 0.0, 0.5, round_trip=0.01) is None
    split = best_split([small, large], 0.0, 0.5, round_trip=0.2)
    assert split is not None
    assert split.piece is large
    assert split.position == 16 * MIB
