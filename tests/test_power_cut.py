"""Tests of a power cut at every moment: no wrong file has a final name, and nothing recorded is missing."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

from era5dl.engine import maintenance
from era5dl.ranges import RangeSet
from era5dl.session import Session, list_sessions
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.recorded_disk import RecordedDisk, Sync
from tests.runs import fetch_all, running, wrong_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or sys.version_info < (3, 11), reason="follows files through /proc and os"
    ),
]

PART = 150_000
DATA = {f"{n % 2}/deep/{n}.nc": pseudo_random(f"power {n}", 200_000 + 90_000 * n) for n in range(7)}
MAX_CUTS = 90  # per kind of disk


@pytest.fixture
def disk(fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedDisk:
    """Record a download with very frequent checkpoints."""
    monkeypatch.setattr(maintenance, "MIN_CHECKPOINT_PAUSE", 0.03)
    monkeypatch.setattr(maintenance, "TICK", 0.01)
    for share in ("CHECKPOINT_SHARE", "LONG_CHECKPOINT_SHARE", "CHECKPOINT_CPU_SHARE"):
        monkeypatch.setattr(maintenance, share, 1.0)  # on a busy computer they would leave few checkpoints
    for n, (key, data) in enumerate(DATA.items()):
        fault_server.put(key, data, part_size=PART if n % 2 else None)
    fault_server.link = Link(speed=700_000)
    recorded = RecordedDisk(tmp_path / "out")
    with recorded.recording(monkeypatch), running(fault_server, tmp_path / "out", workers=3) as ran:
        ran.wait_for_end()
    assert wrong_files(tmp_path / "out", DATA) == []
    fault_server.link = Link()
    return recorded


@pytest.mark.parametrize("strict", [False, True], ids=["journal", "strict"])
def test_power_cut_loses_nothing_that_was_recorded(
    disk: RecordedDisk, tmp_path: Path, fault_server: FaultServer, strict: bool
) -> None:
    rng = random.Random(11)
    moments = sorted(rng.sample(range(len(disk.events)), min(MAX_CUTS, len(disk.events))))
    first_save = next(n for n, event in enumerate(disk.events) if isinstance(event, Sync) and _is_first_save(disk, n))
    recorded = 0
    for moment in moments:
        folder = tmp_path / "after cut"
        folder.mkdir()
        disk.restore_after_cut(moment, folder, rng, strict=strict)
        for key, data in DATA.items():
            assert not (folder / key).exists() or (folder / key).read_bytes() == data, f"{key} is wrong after {moment}"
        if list_sessions(folder) or moment > first_save:
            recorded += _check_checkpoint(folder)
        if moment in moments[:: MAX_CUTS // 2]:
            assert fetch_all(fault_server, folder).engine.result is not None
            assert wrong_files(folder, DATA) == []
        shutil.rmtree(folder)
    assert recorded > 10 * PART, "the checkpoints recorded too few bytes to test anything"


def _is_first_save(disk: RecordedDisk, place: int) -> bool:
    """Return whether the resume file has got its name for the first time, and its folder was synced."""
    event = disk.events[place]
    named = any(event.path.endswith(".json") for event in disk.events[:place] if not isinstance(event, Sync))
    return named and event.path.endswith(".era5dl")


def _check_checkpoint(folder: Path) -> int:
    """Check that all bytes that the resume file records are there, and right; return how many of unfinished files."""
    recorded = 0
    with Session.open(folder) as session:
        objects = [obj.key for obj in session.plan.objects]
        for start, stop in RangeSet([*session.checkpoint.verified, *session.checkpoint.checked]):
            for place in range(start, stop):
                assert (folder / objects[place]).exists(), f"{objects[place]} was verified, and is missing"
        for entry in session.checkpoint.unfinished:
            expected = DATA[objects[entry.index]]
            part, final = session.paths.part(entry.index), folder / objects[entry.index]
            if final.exists():  # it was completed after the last checkpoint
                continue
            actual = part.read_bytes()
            assert len(actual) == len(expected)
            for start, stop in entry.done:
                assert actual[start:stop] == expected[start:stop], f"{objects[entry.index]}: {start}-{stop} is wrong"
                recorded += stop - start
    return recorded
