"""Measures an audit of 80 years of 20 variables of one product: 19,200 files, with a session and without.

Prints the elapsed time, and that of the processor, which other programs on the same machine disturb less.

python -m tests.benchmarks.audit [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from datetime import date
from pathlib import Path

from era5dl.archive.audit import audit_folder
from era5dl.archive.states import Audit
from era5dl.catalog import search
from era5dl.catalog.lookup import find_product
from tests.archive_samples import make_session, plan_for

FIRST, LAST = date(1940, 1, 1), date(2019, 12, 31)
VARIABLES = 20


def make_archive(folder: Path) -> int:
    """Create the files and the session; return the number of files."""
    names = [variable.name for variable in search("", find_product("an.sfc"))[:VARIABLES]]
    plan = plan_for(names, FIRST, LAST)
    make_session(folder, plan, verified=range(len(plan.objects)))
    return len(plan.objects)


def measure(folder: Path, title: str) -> Audit:
    """Audit a folder three times, and print the shortest time."""
    elapsed, processor = [], []
    for _ in range(3):
        start, start_processor = time.perf_counter(), time.process_time()
        audit = audit_folder(folder)
        _ = audit.months
        elapsed.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    counts = ", ".join(f"{count:,} {state.value}" for state, count in audit.counts.items())
    print(f"{title}: {min(elapsed):.2f} s, processor {min(processor):.2f} s: {counts}")
    return audit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to create the files (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["ERA5DL_STATE_DIR"] = f"{folder}/state"
        root = Path(folder) / "era5"
        make_archive(root)
        measure(root, "finished by a session")
        shutil.rmtree(root / ".era5dl")
        measure(root, "of another program ")


if __name__ == "__main__":
    main()
