"""A part file that is not what it was when the run ended: nothing of it gets a final name unproven."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import fetch_all, leftovers, running, wrong_files

MB = 1_000_000
PART = 1 << 20
DATA = pseudo_random("rot", 8 * PART)


def stopped_half_way(server: FaultServer, folder: Path, part_size: int | None) -> tuple[Path, dict[int, str]]:
    """A run that was stopped; its part file, and the MD5s that the resume file has of it."""
    server.put("a.bin", DATA, part_size=part_size)
    server.link = Link(speed=10 * MB)
    with running(server, folder, workers=1) as ran:
        ran.until(lambda: ran.engine.snapshot().done_bytes > 4 * PART)
        ran.engine.stop()
        ran.end()
    server.link = Link()
    with Session.open(folder) as session:
        (begun,) = session.checkpoint.unfinished
    server.reset_stats()
    (part,) = folder.glob("*.part")
    return part, dict(begun.digests)


@pytest.mark.parametrize("kept_mtime", [True, False])
def test_a_part_that_rotted_is_fetched_again_and_no_other(
    fault_server: FaultServer, tmp_path: Path, kept_mtime: bool
) -> None:
    part, recorded = stopped_half_way(fault_server, tmp_path, PART)
    assert recorded.keys() >= {0, 1, 2, 3}, "whole parts are recorded"
    before = part.stat()
    spoilt = bytearray(part.read_bytes())
    spoilt[2 * PART + 77] ^= 1
    part.write_bytes(spoilt)
    if kept_mtime:  # as rot keeps it, and whoever copies from a dying disk
        os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))

    ran = fetch_all(fault_server, tmp_path)

    assert wrong_files(tmp_path, {"a.bin": DATA}) == []
    assert ran.engine.result is not None
    assert ran.engine.result.verified == 1
    assert fault_server.stats().payload < len(DATA) - 4 * PART + PART + 1, "only the bad part came once more"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("part_size", [None, 3 * PART])
def test_another_file_of_the_same_size_in_its_place(
    fault_server: FaultServer, tmp_path: Path, part_size: int | None
) -> None:
    part, _ = stopped_half_way(fault_server, tmp_path, part_size)
    part.write_bytes(pseudo_random("foreign", len(DATA)))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {"a.bin": DATA}) == []
    assert ran.engine.result is not None
    assert ran.engine.result.verified == 1


def test_what_is_recorded_is_kept_while_it_has_not_been_read_again(fault_server: FaultServer, tmp_path: Path) -> None:
    """A second run that ends early must not forget what the first one knew."""
    _, recorded = stopped_half_way(fault_server, tmp_path, PART)
    fault_server.link = Link(latency=0.5)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.until(lambda: any(file.done and not file.proving for file in ran.engine.snapshot().active))
        ran.engine.stop()
        ran.end()
    with Session.open(tmp_path) as session:
        assert dict(session.checkpoint.unfinished[0].digests) == recorded
