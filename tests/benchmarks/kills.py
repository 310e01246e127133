"""Endurance test of interruptions: downloads from a faulty server are killed until there were so many kills.

    python -m tests.benchmarks.kills --kills 200 [--seed 1]

In each round a download is killed at random moments until it has completed. Then some files are damaged, and their
repair is killed in the same way. Prints how many bytes were lost. Exits with 1 if there was a wrong byte under a final
name, a start that a lock prevented, or a wrong file at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faultlab import FaultServer
from tests.kill_harness import MB, KillHarness, Phase


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    rounds = lost = 0
    with tempfile.TemporaryDirectory() as folder, FaultServer() as server:
        harness = KillHarness(server, Path(folder), seed=options.seed, files=30, max_size=6 * MB)
        while harness.stats.killed < options.kills and not harness.stats.problems:
            rounds += 1
            lost += download(harness, options.kills)
            repair(harness, options.kills)
            print(f"round {rounds}: {harness.stats.killed} kills, {time.monotonic() - began:.0f} s", flush=True)
    stats = harness.stats
    downloads = stats.kills[Phase.FETCHING] + stats.kills[Phase.CHECKPOINT] + stats.kills[Phase.PLANNING]
    starts = sorted(stats.starts) or [0.0]
    print("\n".join(f"killed while {phase.value:16} {count:5}" for phase, count in stats.kills.items()))
    print(f"of these in the middle of saving a checkpoint: {stats.half_saved}")
    print(f"fetched twice per kill of a download: {lost / max(downloads, 1) / MB:.2f} MB, with what faults destroyed")
    print(f"from start to the first new byte: half within {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.2f} s")
    print(f"seed {options.seed}, {rounds} rounds, {time.monotonic() - began:.0f} s")
    print("\n".join(stats.problems) or "all bytes right at the end of every round, and no lock blocked a start")
    return 1 if stats.problems else 0


def download(harness: KillHarness, kills: int) -> int:
    """Run one round of a download; return the bytes that were fetched more than once."""
    harness.new_round()
    before = harness.server.stats().payload
    phases = (Phase.PLANNING, Phase.FETCHING, Phase.FETCHING, Phase.FETCHING, Phase.CHECKPOINT)
    while harness.stats.killed < kills and harness.kill(harness.download(), harness.dice.choice(phases)):
        pass
    harness.finish(harness.download())
    harness.check_result()
    return harness.server.stats().payload - before - sum(map(len, harness.objects.values()))


def repair(harness: KillHarness, kills: int) -> None:
    """Run the same for a repair of the fetched files."""
    harness.damage_files()
    for phase in (Phase.VERIFYING, Phase.REPAIRING, Phase.REPAIRING):
        if harness.stats.killed < kills:
            harness.kill(harness.repair(), phase)
    harness.finish(harness.repair())
    harness.finish(harness.resume())
    harness.check_result()


if __name__ == "__main__":
    sys.exit(main())
