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
from tests.killing import MB, Moment, Scene


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    rounds = lost = 0
    with tempfile.TemporaryDirectory() as folder, FaultServer() as server:
        scene = Scene(server, Path(folder), seed=options.seed, files=30, most=6 * MB)
        while scene.tally.killed < options.kills and not scene.tally.unwanted:
            rounds += 1
            lost += download(scene, options.kills)
            repair(scene, options.kills)
            print(f"round {rounds}: {scene.tally.killed} kills, {time.monotonic() - began:.0f} s", flush=True)
    tally = scene.tally
    downloads = tally.kills[Moment.FETCHING] + tally.kills[Moment.CHECKPOINT] + tally.kills[Moment.PLANNING]
    starts = sorted(tally.starts) or [0.0]
    print("\n".join(f"killed while {moment.value:16} {count:5}" for moment, count in tally.kills.items()))
    print(f"of these left a checkpoint half written: {tally.half_saved}")
    print(f"fetched twice per kill of a download: {lost / max(downloads, 1) / MB:.2f} MB, with what faults destroyed")
    print(f"from start to the first new byte: half within {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.2f} s")
    print(f"seed {options.seed}, {rounds} rounds, {time.monotonic() - began:.0f} s")
    print("\n".join(tally.unwanted) or "every byte right at the end of every round, no lock in the way")
    return 1 if tally.unwanted else 0


def download(scene: Scene, kills: int) -> int:
    """One round of a download; gives the bytes that were fetched more often than once."""
    scene.furnish()
    before = scene.server.stats().payload
    moments = (Moment.PLANNING, Moment.FETCHING, Moment.FETCHING, Moment.FETCHING, Moment.CHECKPOINT)
    while scene.tally.killed < kills and scene.kill(scene.download(), scene.dice.choice(moments)):
        pass
    scene.finish(scene.download())
    scene.all_right()
    return scene.server.stats().payload - before - sum(map(len, scene.objects.values()))


def repair(scene: Scene, kills: int) -> None:
    """The same for a repair of what was fetched."""
    scene.spoil()
    for moment in (Moment.LOOKING, Moment.REPAIRING, Moment.REPAIRING):
        if scene.tally.killed < kills:
            scene.kill(scene.repair(), moment)
    scene.finish(scene.repair())
    scene.finish(scene.resume())
    scene.all_right()


if __name__ == "__main__":
    sys.exit(main())
