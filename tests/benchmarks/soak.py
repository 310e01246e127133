"""Endurance test: a working day of downloading in ten minutes, with thousands of files and many faults.

    python -m tests.benchmarks.soak [--objects 20000] [--workers 16] [--out FOLDER] [--redraw]

era5dl and its predecessor, one after the other, download the same objects from SeaweedFS through the fault lab under
the same disturbances (`soak_disturbances`). The delays of both are divided by the same number as the lengths of the
disturbances. FOLDER gets soak.json, with a record every 2 % of the way, and endurance.svg, the curves; the tables are
printed. --redraw creates them from an existing soak.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.soak_disturbances import Disturbances
from tests.benchmarks.soak_objects import make_items, stored
from tests.benchmarks.soak_picture import picture
from tests.benchmarks.soak_run import Record, Run, soak
from tests.benchmarks.soak_tables import HOUR, before_and_after, flatness, summary
from tests.faultlab import FaultServer

CLIENTS = ("era5dl", "predecessor")
PATIENCE = {"era5dl": 8 * HOUR, "predecessor": 4 * HOUR}  # the analysis of the predecessor covers four hours


def main() -> int:
    """Parse the command line, run the test, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CLIENTS, help="one of the two; the other's part of soak.json is kept")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="where the results go (default: ./soak)")
    parser.add_argument("--scratch", type=Path, help="where the bucket and the files go; twice their size")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, use soak.json")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "soak.json"
    runs = _read(results) if results.exists() and (options.redraw or options.only) else {}
    if not options.redraw:
        items = make_items(options.objects, options.seed)
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch, stored(items, Path(scratch)) as url:
            for who in (options.only,) if options.only else CLIENTS:
                with FaultServer(upstream=url) as server, Disturbances(server, options.seed):
                    runs[who] = soak(who, server, items, Path(scratch) / who, options.workers, PATIENCE[who])
                print(summary(runs[who]), flush=True)
                results.write_text(json.dumps({name: asdict(run) for name, run in runs.items()}), "utf-8")
    report(runs, options.out)
    return 0


def report(runs: dict[str, Run], folder: Path) -> None:
    """Print the tables, and draw the chart."""
    both = [runs[who] for who in CLIENTS if who in runs]
    print("\n".join(summary(run) for run in both))
    print(flatness(both))
    if len(both) == 2:
        print(before_and_after(*both))
    (folder / "endurance.svg").write_text(picture(both), "utf-8")


def _read(path: Path) -> dict[str, Run]:
    """Return the runs in a soak.json."""
    found = {}
    for name, fields in json.loads(path.read_text("utf-8")).items():
        run = Run(**fields)
        run.records = [Record(**record) for record in fields["records"]]
        found[name] = run
    return found


if __name__ == "__main__":
    sys.exit(main())
