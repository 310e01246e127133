"""Seconds for a map of a file of true size, in the window's way: read, decode, colour, draw lines.

    python -m tests.benchmarks.preview [--folder DIR] [--variables an.sfc/2t,an.pl/t,fc.sfc.accumu/lsp] [FILE ...]

Without files, those of the subset benchmark are made (up to 3.8 GB), or used if they are in DIR. A frame is 900 x 450
pixels. "next": another time of the same chunk, "chunk": a time of another chunk, "level": another level.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from era5dl.preview.map_maker import MapMaker
from era5dl.preview.shown_map import MapRequest, ShownMap
from tests.benchmarks.subset_files import make_file

HOUR = datetime(2021, 1, 10)


def seconds(maker: MapMaker, request: MapRequest) -> tuple[float, ShownMap]:
    """Return the time of one map, and the map."""
    started = time.perf_counter()
    shown = maker.make(request, lambda: False)
    return time.perf_counter() - started, shown


def measure(path: Path) -> None:
    """Print a line for one file."""
    maker = MapMaker()
    request = MapRequest(path, width=900, height=450)
    first, shown = seconds(maker, request)
    times = {"first": first, "next": seconds(maker, replace(request, time=1))[0]}
    last = len(shown.times) - 1
    times["chunk"] = seconds(maker, replace(request, time=last))[0]
    if shown.levels:
        times["level"] = seconds(maker, replace(request, time=last, level=shown.levels[0]))[0]
    assert maker._file is not None
    kept = maker._file._cache.size / (1 << 20)
    maker.close()
    print(f"{path.name}: {', '.join(f'{name} {value:.3f} s' for name, value in times.items())}; {kept:.0f} MiB kept")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--variables", default="an.sfc/2t,an.pl/t,fc.sfc.accumu/lsp")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        files = arguments.files or [make_file(folder, name, HOUR).path for name in arguments.variables.split(",")]
        for path in files:
            measure(path)


if __name__ == "__main__":
    main()
