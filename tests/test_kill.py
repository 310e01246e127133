"""Tests of kill -9 at any moment: the next start resumes, no wrong byte is kept, and no lock blocks it.

`python -m tests.benchmarks.kills --kills 200` is the same, longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.engine.maintenance import MIN_CHECKPOINT_PAUSE
from tests.faultlab import FaultServer
from tests.killing import MB, SPEED, WORKERS, Moment, Scene

pytestmark = pytest.mark.slow

DOWNLOAD = (
    *(Moment.PLANNING, Moment.FETCHING, Moment.CHECKPOINT, Moment.FETCHING, Moment.FETCHING, Moment.CHECKPOINT),
    *(Moment.FETCHING, Moment.PLANNING, Moment.FETCHING, Moment.CHECKPOINT),
)


def test_killed_again_and_again_under_load(fault_server: FaultServer, tmp_path: Path) -> None:
    scene = Scene(fault_server, tmp_path, seed=4711, files=30, most=6 * MB, life=1.6)
    scene.furnish()
    for moment in DOWNLOAD:
        scene.kill(scene.download(), moment)
    assert scene.tally.killed >= 6, "it was too quick to be killed"
    scene.smooth()
    scene.finish(scene.download())
    scene.all_right()
    assert scene.tally.unwanted == []
    lost = fault_server.stats().payload - sum(map(len, scene.objects.values()))
    # Each kill may cost what came since the last checkpoint, and what was in flight or in the sockets' buffers.
    assert lost < len(DOWNLOAD) * (MIN_CHECKPOINT_PAUSE + 1.5) * WORKERS * SPEED, (
        f"{lost / MB:.1f} MB were fetched twice"
    )


def test_a_repair_that_is_killed(fault_server: FaultServer, tmp_path: Path) -> None:
    scene = Scene(fault_server, tmp_path, seed=4712, files=12, most=4 * MB, life=0.8)
    scene.furnish()
    scene.smooth()
    scene.finish(scene.download())
    scene.spoil()
    scene.rough()
    for moment in (Moment.LOOKING, Moment.REPAIRING, Moment.LOOKING):
        scene.kill(scene.repair(), moment)
    scene.smooth()
    scene.finish(scene.repair())
    scene.finish(scene.resume())
    scene.all_right()
    assert scene.tally.unwanted == []
