"""Tests of the end of a run: idle workers take over from slow ones."""

from __future__ import annotations

from pathlib import Path

from era5dl.engine.events import FileRetrying
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import fetch_all, wrong_files

MIB = 1 << 20


def test_an_idle_worker_takes_over_the_last_piece_of_a_slow_connection(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    """Of two connections one has 1 kB/s: its half would take hours, and even its last 128 KiB two minutes."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB, slow_every=2, slow_speed=1100)
    ran = fetch_all(fault_server, tmp_path, workers=2)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.said(FileRetrying) == [], "nobody failed"


def test_a_slow_connection_is_aborted_when_another_has_taken_over(fault_server: FaultServer, tmp_path: Path) -> None:
    """It brought a little and then nothing; its timeout, far away here, is not waited for."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB)
    fault_server.script("none", Fault("body-stall", at=MIB, seconds=600), key="a.bin")
    ran = fetch_all(fault_server, tmp_path, workers=2, read_timeout=600)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.said(FileRetrying) == [], "nobody failed"
