"""Tests of work stealing at the end of a run: idle workers take over from slow ones."""

from __future__ import annotations

from pathlib import Path

from era5dl.engine.events import FileRetrying
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


def test_a_slow_connection_is_aborted_when_another_has_taken_over(fault_server: FaultServer, tmp_path: Path) -> None:
    """It received some bytes and then nothing. The run does not wait for its long timeout."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB)
    fault_server.script("none", Fault("body-stall", at=MIB, seconds=600), key="a.bin")
    ran = fetch_all(fault_server, tmp_path, workers=2, read_timeout=600)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.events_of(FileRetrying) == [], "no attempt failed"
