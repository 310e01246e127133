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

PHASES = (
    *(Phase.PLANNING, Phase.FETCHING, Phase.CHECKPOINT, Phase.FETCHING, Phase.FETCHING, Phase.CHECKPOINT),
    *(Phase.FETCHING, Phase.PLANNING, Phase.FETCHING, Phase.CHECKPOINT),
)


def test_download_completes_after_many_kills(fault_server: FaultServer, tmp_path: Path) -> None:
    harness = KillHarness(fault_server, tmp_path, seed=4711, files=30, max_size=6 * MB, max_runtime=1.6)
    harness.new_round()
    for phase in PHASES:
        harness.kill(harness.download(), phase)
    assert harness.stats.killed >= 6, "too few programs ran long enough to be killed"
    harness.disable_faults()
    harness.finish(harness.download())
    harness.check_result()
    assert harness.stats.problems == []
    lost = fault_server.stats().payload - sum(map(len, harness.objects.values()))
    # Each kill may lose the bytes since the last checkpoint, and those in flight or in socket buffers.
    assert lost < len(PHASES) * (MIN_CHECKPOINT_PAUSE + 1.5) * WORKERS * SPEED, f"{lost / MB:.1f} MB were fetched twice"


def test_repair_completes_after_kills(fault_server: FaultServer, tmp_path: Path) -> None:
    harness = KillHarness(fault_server, tmp_path, seed=4712, files=12, max_size=4 * MB, max_runtime=0.8)
    harness.new_round()
    harness.disable_faults()
    harness.finish(harness.download())
    harness.damage_files()
    harness.enable_faults()
    for phase in (Phase.VERIFYING, Phase.REPAIRING, Phase.VERIFYING):
        harness.kill(harness.repair(), phase)
    harness.disable_faults()
    harness.finish(harness.repair())
    harness.finish(harness.resume())
    harness.check_result()
    assert harness.stats.problems == []
