"""Tests of the end of a run: idle workers take over from slow ones."""

from __future__ import annotations

from pathlib import Path

from era5dl.engine.events import FileRetrying
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.runs import fetch_all, wrong_files

MIB = 1 << 20


def test_the_last_piece_does_not_wait_for_a_connection_that_crawls(fault_server: FaultServer, tmp_path: Path) -> None:
    """Of two connections one has 1 kB/s: its half would take hours, and even its last 128 KiB two minutes."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB, slow_every=2, slow_speed=1100)
    ran = fetch_all(fault_server, tmp_path, workers=2)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.said(FileRetrying) == [], "nobody failed"


def test_a_connection_that_was_overtaken_is_let_go_at_once(fault_server: FaultServer, tmp_path: Path) -> None:
    """It brought a little and then nothing; its timeout, far away here, is not waited for."""
    data = pseudo_random(1, 20 * MIB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=16 * MIB)
    fault_server.script("none", Fault("body-stall", at=MIB, seconds=600), key="a.bin")
    ran = fetch_all(fault_server, tmp_path, workers=2, read_timeout=600)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert ran.said(FileRetrying) == [], "nobody failed"
