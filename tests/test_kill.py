"""Tests of kill -9 at any moment: the next start resumes, no wrong byte is kept, and no lock blocks it.

`python -m tests.benchmarks.kills --kills 200` is the same, longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.engine.maintenance import MIN_CHECKPOINT_PAUSE
from tests.faultlab import FaultServer
from tests.kill_harness import MB, SPEED, WORKERS, KillHarness, Phase

pytestmark = pytest.mark.slow

DOWNLOAD = (
    *(Phase.PLANNING, Phase.FETCHING, Phase.CHECKPOINT, Phase.FETCHING, Phase.FETCHING, Phase.CHECKPOINT),
    *(Phase.FETCHING, Phase.PLANNING, Phase.FETCHING, Phase.CHECKPOINT),
)


def test_killed_again_and_again_under_load(fault_server: FaultServer, tmp_path: Path) -> None:
    harness = KillHarness(fault_server, tmp_path, seed=4711, files=30, most=6 * MB, life=1.6)
    harness.new_round()
    for moment in DOWNLOAD:
        harness.kill(harness.download(), moment)
    assert harness.stats.killed >= 6, "it was too quick to be killed"
    harness.disable_faults()
    harness.finish(harness.download())
    harness.check_result()
    assert harness.stats.problems == []
    lost = fault_server.stats().payload - sum(map(len, harness.objects.values()))
    # Each kill may cost what came since the last checkpoint, and what was in flight or in the sockets' buffers.
    assert lost < len(DOWNLOAD) * (MIN_CHECKPOINT_PAUSE + 1.5) * WORKERS * SPEED, (
        f"{lost / MB:.1f} MB were fetched twice"
    )


def test_a_repair_that_is_killed(fault_server: FaultServer, tmp_path: Path) -> None:
    harness = KillHarness(fault_server, tmp_path, seed=4712, files=12, most=4 * MB, life=0.8)
    harness.new_round()
    harness.disable_faults()
    harness.finish(harness.download())
    harness.damage_files()
    harness.enable_faults()
    for moment in (Phase.VERIFYING, Phase.REPAIRING, Phase.VERIFYING):
        harness.kill(harness.repair(), moment)
    harness.disable_faults()
    harness.finish(harness.repair())
    harness.finish(harness.resume())
    harness.check_result()
    assert harness.stats.problems == []
