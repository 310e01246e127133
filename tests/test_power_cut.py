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
MOST_CUTS = 90  # of each kind of disk


@pytest.fixture
def disk(fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedDisk:
    """A download that was followed, with checkpoints as often as they come."""
    monkeypatch.setattr(maintenance, "MIN_CHECKPOINT_PAUSE", 0.03)
    monkeypatch.setattr(maintenance, "TICK", 0.01)
    for n, (key, data) in enumerate(DATA.items()):
        fault_server.put(key, data, part_size=PART if n % 2 else None)
    fault_server.link = Link(speed=700_000)
    found = RecordedDisk(tmp_path / "out")
    with found.recording(monkeypatch), running(fault_server, tmp_path / "out", workers=3) as ran:
        ran.wait_for_end()
    assert wrong_files(tmp_path / "out", DATA) == []
    fault_server.link = Link()
    return found


@pytest.mark.parametrize("strict", [False, True], ids=["journal", "strict"])
def test_at_every_moment(disk: RecordedDisk, tmp_path: Path, fault_server: FaultServer, strict: bool) -> None:
    rng = random.Random(11)
    moments = sorted(rng.sample(range(len(disk.events)), min(MOST_CUTS, len(disk.events))))
    saved = next(n for n, event in enumerate(disk.events) if isinstance(event, Sync) and _is_first_save(disk, n))
    claimed = 0
    for moment in moments:
        left = tmp_path / "left"
        left.mkdir()
        disk.restore_after_cut(moment, left, rng, strict=strict)
        for key, data in DATA.items():
            assert not (left / key).exists() or (left / key).read_bytes() == data, f"{key} is wrong after {moment}"
        if list_sessions(left) or moment > saved:
            claimed += _claims_hold(left)
        if moment in moments[:: MOST_CUTS // 2]:
            assert fetch_all(fault_server, left).engine.result is not None
            assert wrong_files(left, DATA) == []
        shutil.rmtree(left)
    assert claimed > 10 * PART, "there was something to lose"


def _is_first_save(disk: RecordedDisk, place: int) -> bool:
    """The resume file has its name for the first time, and its folder was synced."""
    event = disk.events[place]
    named = any(event.path.endswith(".json") for event in disk.events[:place] if not isinstance(event, Sync))
    return named and event.path.endswith(".era5dl")


def _claims_hold(left: Path) -> int:
    """Every byte that the resume file speaks of is there, and right. Gives how many bytes of unfinished files."""
    claimed = 0
    with Session.open(left) as session:
        objects = [obj.key for obj in session.plan.objects]
        for start, stop in RangeSet([*session.checkpoint.verified, *session.checkpoint.checked]):
            for place in range(start, stop):
                assert (left / objects[place]).exists(), f"{objects[place]} was proven, and is gone"
        for begun in session.checkpoint.unfinished:
            right = DATA[objects[begun.index]]
            part, final = session.paths.part(begun.index), left / objects[begun.index]
            if final.exists():  # it was completed after the last checkpoint
                continue
            there = part.read_bytes()
            assert len(there) == len(right)
            for start, stop in begun.done:
                assert there[start:stop] == right[start:stop], f"{objects[begun.index]}: {start}-{stop} is not there"
                claimed += stop - start
    return claimed
