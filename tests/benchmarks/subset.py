"""Benchmark of subsets: seconds and bytes of typical selections, with 200 ms to each response and 2 MB/s a connection.

    python -m tests.benchmarks.subset [--folder DIR] [--rows NAMES] [--peers PYTHON]
    python -m tests.benchmarks.subset --indexes 1000
    python -m tests.benchmarks.subset --decode

The server runs on this machine, with files of the true shape (`subset_files`); 8 workers. Each row is compared with
1.15 x bytes / (workers x speed) + 1 s, and all values with those of the whole file, bit for bit. --peers: what others
do for two of the rows, with the Python that has their packages: xarray over fsspec in blocks of 8 MiB, kerchunk, and
the whole file with `ncks`. --indexes: the indexes of so many monthly files, first over the network, then cached.
--decode: MB of compressed data per second of CPU time and memory, for an area out of a pressure-level chunk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from era5dl.bucket.s3 import S3Bucket
from era5dl.catalog.keys import parse_key
from era5dl.hdf5 import Index, MissingBytes, SparseBytes, first_ranges, read_index
from era5dl.planner.concurrent_requests import run_concurrently
from era5dl.settings import AUTO, Settings
from era5dl.subset.decode import crop_chunk
from era5dl.subset.exact_plan import PARALLEL
from era5dl.subset.index_cache import IndexCache
from era5dl.subset.ranges import FileSubset, plan_file
from era5dl.subset.read_index import read_object_index
from era5dl.subset.selection import Area, Point, Subset
from tests.benchmarks.speed.hosts import PROJECT
from tests.benchmarks.speed.objects import BUCKET, MANIFEST, Stored
from tests.benchmarks.speed.server import Link, Server
from tests.benchmarks.subset_files import Made, make_file
from tests.faultlab import make_certificates

LATENCY, SPEED, WORKERS = 0.2, 2_000_000, 8
WEEK = ((date(2020, 1, 1), date(2020, 1, 7)),)
DAY = ((date(2020, 1, 3), date(2020, 1, 3)),)
VARIABLES = {"pl": "an.pl/t", "sfc": "an.sfc/2t", "fc": "fc.sfc.meanflux/mtpr"}


@dataclass(frozen=True, slots=True)
class Row:
    """A selection out of one file. words: the same for the command line."""

    name: str
    file: str
    what: str
    subset: Subset
    words: tuple[str, ...]
    last_day: int = 31


ROWS = (
    Row("pl-hour", "pl", "1 hour", Subset(hours=(12,)), ("--hours", "12"), 3),
    Row("pl-6h", "pl", "6-hourly", Subset(hours=(0, 6, 12, 18)), ("--hours", "0,6,12,18"), 3),
    Row("sfc-point", "sfc", "a point, a month", Subset(points=(Point(48.2, 16.4),)), ("--point", "48.2,16.4")),
    Row("sfc-box1", "sfc", "10 x 10 degrees, 1 tile", Subset(area=Area(50, 10, 40, 20)), ("--area", "50/10/40/20")),
    Row("sfc-box4", "sfc", "10 x 10 degrees, 4 tiles", Subset(area=Area(60, 65, 50, 75)), ("--area", "60/65/50/75")),
    Row("sfc-europe", "sfc", "Europe", Subset(area=Area(72, -25, 33, 45)), ("--area", "72/-25/33/45")),
    Row(
        "sfc-point-week",
        "sfc",
        "a point, 7 days",
        Subset(points=(Point(48.2, 16.4),), days=WEEK),
        ("--point", "48.2,16.4"),
        7,
    ),
    Row("sfc-week", "sfc", "globe, 7 days", Subset(days=WEEK), ("--only-days",), 7),
    Row("fc-day", "fc", "1 day", Subset(days=DAY), ("--only-days",), 3),
)
PEER_ROWS = ("pl-hour", "sfc-box1")


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds and bytes of one row. needed: bytes of the chunks; sent: all bytes that the server sent."""

    seconds: float
    needed: int
    sent: int
    written: int
    size: int

    @property
    def limit(self) -> float:
        return 1.15 * self.needed / (WORKERS * SPEED) + 1.0


class CountingServer(Server):
    """Counts the bytes of files that were sent."""

    sent = 0

    def count_sent(self, count: int) -> None:
        with self._lock:
            self.sent += count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the files are, or are made (3.8 GB); else a temporary one")
    parser.add_argument("--rows", default=",".join(row.name for row in ROWS))
    parser.add_argument("--peers", metavar="PYTHON", default="")
    parser.add_argument("--indexes", type=int, default=0)
    parser.add_argument("--decode", action="store_true")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.decode:
            decode(make(folder, "pl"))
        elif given.indexes:
            read_indexes(folder, make(folder, "sfc"), given.indexes)
        else:
            rows = [row for row in ROWS if row.name in given.rows.split(",")]
            table(folder, rows)
            if given.peers:
                peers(folder, [row for row in rows if row.name in PEER_ROWS], given.peers)


def make(folder: Path, kind: str) -> Made:
    return make_file(folder / BUCKET, VARIABLES[kind], datetime(2020, 1, 3))


def offer(folder: Path, files: dict[str, Path], *, tls: bool = True) -> CountingServer:
    """Start a server with these objects; each key with the file whose bytes it has. tls: as the bucket has it."""
    stored = {
        key: asdict(
            Stored(path.stat().st_size, f'"{number:032x}-180"', None, "", str(path.relative_to(folder / BUCKET)))
        )
        for number, (key, path) in enumerate(files.items(), 1)
    }
    (folder / MANIFEST).write_text(json.dumps(stored), "utf-8")
    certificates = make_certificates(folder) if tls else None
    server = CountingServer(folder, Link(SPEED, LATENCY), certificates.context if certificates else None)
    os.environ["AWS_CA_BUNDLE"] = str(certificates.ca_file) if certificates else ""
    return server


def bucket_of(server: Server, workers: Any = WORKERS) -> S3Bucket:
    return S3Bucket(Settings(endpoint_url=server.url, bucket=BUCKET, workers=workers))


def local_index(path: Path) -> Index:
    source, missing = SparseBytes(path.stat().st_size), first_ranges(path.stat().st_size)
    with path.open("rb") as file:
        while True:
            for start, stop in missing:
                file.seek(start)
                source.add(start, file.read(stop - start))
            try:
                return read_index(source)
            except MissingBytes as error:
                missing = error.ranges


def plan(made: Made, subset: Subset) -> FileSubset:
    key = parse_key(made.key)
    assert key is not None
    return plan_file(local_index(made.path), key, subset)


# -- the table --------------------------------------------------------------------------------------------------------


def table(folder: Path, rows: list[Row]) -> None:
    print(f"{LATENCY * 1000:g} ms, {SPEED / 1e6:g} MB/s a connection, {WORKERS} workers\n")
    print(
        "| file | selection | needed of MB | sent / needed | index kB | seconds | goal | whole file, s | on disk MB |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        made = make(folder, row.file)
        server = offer(folder, {made.key: made.path})
        found = download(server, made, row)
        whole = found.size / (WORKERS * SPEED) + LATENCY
        index = max(found.sent - found.needed, 0)
        mark = "" if found.seconds <= found.limit else " (missed)"
        print(
            f"| {row.file} | {row.what} | {found.needed / 1e6:.1f} of {found.size / 1e6:.0f} "
            f"| {found.sent / found.needed:.3f} | {index / 1e3:.0f} | {found.seconds:.1f} | {found.limit:.1f}{mark} "
            f"| {whole:.0f} | {found.written / 1e6:.1f} |",
            flush=True,
        )


def download(server: CountingServer, made: Made, row: Row) -> Measured:
    """Measure from the end of planning, whose listing takes 0.2 s, to the end of the download."""
    first_day = 3 if row.last_day == 3 else 1
    with tempfile.TemporaryDirectory(dir=made.path.parent) as out:
        words = [sys.executable, "-m", "era5dl", "download", "--variable", VARIABLES[row.file], "--json"]
        words += ["--start", f"2020-01-{first_day:02}", "--end", f"2020-01-{row.last_day:02}", *row.words]
        words += ["--endpoint-url", server.url, "--bucket", BUCKET, "--workers", f"{WORKERS}", "--out", f"{out}/files"]
        environ = os.environ | {"ERA5DL_STATE_DIR": f"{out}/state"}
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd=PROJECT, check=False
        )
        records = [json.loads(line) for line in done.stdout.splitlines()]
        times = {record["event"]: record["time"] for record in records}
        if done.returncode:
            raise SystemExit(f"{row.name}: exit code {done.returncode}: {records[-1:]}")
        (path,) = (found for found in Path(out, "files").rglob("*.nc") if ".era5dl" not in found.parts)
        check(made, row.subset, path)
        seconds = times["end"] - times["plan"]
        return measured(server, made, row, seconds, path)


def measured(server: CountingServer, made: Made, row: Row, seconds: float, path: Path) -> Measured:
    needed = sum(chunk.size for chunk in plan(made, row.subset).chunks)
    return Measured(seconds, needed, server.sent, path.stat().st_size, made.path.stat().st_size)


def check(made: Made, subset: Subset, path: Path) -> None:
    """Compare all values with those of the whole file, bit for bit."""
    part = plan(made, subset)
    cells = part.elements.cells
    with h5py.File(made.path, rdcc_nbytes=512 << 20, rdcc_nslots=10_007) as whole, h5py.File(path) as found:
        source, values = whole[made.name], found[made.name]
        times = part.elements.steps or [(number,) for number in range(len(part.elements.outer[0]))]
        flat = part.elements.steps and values.ndim < source.ndim
        for number, step in enumerate(times):
            place = tuple(indices[at] for indices, at in zip(part.elements.outer, step, strict=False))
            field = source[place]
            if cells.paired:
                expected = field[..., list(cells.rows), list(cells.columns)]
            else:
                expected = field[..., list(cells.rows), :][..., list(cells.columns)]
            got = values[number] if flat or len(step) == 1 else values[step]
            assert np.array_equal(expected.view(np.uint32), np.ascontiguousarray(got).view(np.uint32)), (
                str(subset),
                step,
            )


# -- others -----------------------------------------------------------------------------------------------------------

_XARRAY = """
import sys, fsspec, xarray
url, way, name, out, selection = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], eval(sys.argv[5])
file = fsspec.filesystem("http").open(url, block_size=8 << 20) if way == "fsspec" else None
if way == "kerchunk":
    from kerchunk.hdf import SingleHdf5ToZarr
    with fsspec.open(url) as raw:
        refs = SingleHdf5ToZarr(raw, url).translate()
    data = xarray.open_dataset(refs, engine="kerchunk", decode_timedelta=False)
else:
    data = xarray.open_dataset(file, engine="h5netcdf", decode_timedelta=False)
data[[name]].isel(selection).load().to_netcdf(out, engine="h5netcdf")
"""


def peers(folder: Path, rows: list[Row], python: str) -> None:
    print("\n| file | selection | way | seconds | sent MB |\n|---|---|---|--:|--:|")
    for row in rows:
        made = make(folder, row.file)
        elements = plan(made, row.subset).elements
        selection = {"time": list(elements.outer[0])}
        if row.subset.area:
            cells = elements.cells
            selection |= {"latitude": list(cells.rows), "longitude": list(cells.columns)}
        for way in ("fsspec", "kerchunk", "whole"):
            server = offer(folder, {made.key: made.path}, tls=False)
            url = f"{server.url}/{BUCKET}/{made.key}"
            with tempfile.TemporaryDirectory(dir=folder) as out:
                started = time.monotonic()
                if way == "whole":
                    name, is_done = "whole file, 8 connections, then ncks", whole_and_ncks(server, made, row, Path(out))
                else:
                    name = f"xarray, {way}"
                    words = [python, "-c", _XARRAY, url, way, made.name, f"{out}/part.nc", repr(selection)]
                    done = subprocess.run(words, check=False, stderr=subprocess.PIPE, text=True)
                    is_done = done.returncode == 0
                    if not is_done:
                        print(done.stderr[-500:], file=sys.stderr)
                seconds = f"{time.monotonic() - started:.1f}" if is_done else "failed"
            print(f"| {row.file} | {row.what} | {name} | {seconds} | {server.sent / 1e6:.0f} |", flush=True)


def whole_and_ncks(server: Server, made: Made, row: Row, out: Path) -> bool:
    if shutil.which("ncks") is None:
        return False
    (out / "keys").write_text(made.key, "utf-8")
    words = [sys.executable, "-m", "era5dl", "download", "--keys-file", f"{out}/keys", "--no-verify"]
    words += ["--endpoint-url", server.url, "--bucket", BUCKET, "--workers", f"{WORKERS}", "--out", f"{out}/files"]
    environ = os.environ | {"ERA5DL_STATE_DIR": f"{out}/state"}
    subprocess.run(words, stderr=subprocess.DEVNULL, env=environ, cwd=PROJECT, check=False)
    cut = ["-d", "time,12"] if row.file == "pl" else ["-d", "latitude,40.0,50.0", "-d", "longitude,10.0,20.0"]
    return subprocess.run(["ncks", *cut, f"{out}/files/{made.key}", f"{out}/part.nc"], check=False).returncode == 0


# -- indexes and decoding ---------------------------------------------------------------------------------------------


def read_indexes(folder: Path, made: Made, count: int) -> None:
    """Measure the exact plan of `count` monthly files, which all have the bytes of one."""
    keys = [f"{made.key.removesuffix('.nc')}.{number:05}.nc" for number in range(count)]
    server = offer(folder, dict.fromkeys(keys, made.path))
    bucket = bucket_of(server, AUTO)
    obj = replace(bucket.head(keys[0]), key=keys[0])
    with tempfile.TemporaryDirectory() as cache_folder:
        cache = IndexCache(Path(cache_folder))
        objects = [replace(obj, key=key, etag=f'"{number:032x}-180"') for number, key in enumerate(keys, 1)]

        def read(which: int) -> None:
            cache.put(objects[which], read_object_index(bucket, objects[which]))

        started, cpu = time.monotonic(), time.process_time()
        run_concurrently([lambda which=which: read(which) for which in range(count)], parallel=PARALLEL)
        print(
            f"{count} indexes: {time.monotonic() - started:.1f} s, {time.process_time() - cpu:.1f} s of CPU (with the "
            f"server), {server.sent / count / 1e3:.0f} kB each"
        )
        started, cpu = time.monotonic(), time.process_time()
        assert all(cache.get(one) is not None for one in objects)
        print(f"cached: {time.monotonic() - started:.2f} s, {time.process_time() - cpu:.2f} s of CPU")


def decode(made: Made) -> None:
    """Measure the decoding of one chunk for an area."""
    part = plan(made, Subset(area=Area(72, -25, 33, 45), hours=(0,)))
    chunk, cells = part.chunks[0], part.elements.cells
    selected = [np.array([0]), np.arange(37), np.array(cells.rows), np.sort(np.array(cells.columns))]
    rates, before = [], peak()
    with made.path.open("rb") as file:
        for _ in range(5):
            started = time.process_time()
            file.seek(chunk.offset)
            pieces = (file.read(min(1 << 20, chunk.size - at)) for at in range(0, chunk.size, 1 << 20))
            crop_chunk(pieces, part.field, chunk, selected)
            rates.append(chunk.size / 1e6 / (time.process_time() - started))
    print(
        f"Europe out of a chunk of {chunk.size / 1e6:.0f} MB: {max(rates):.0f} MB/s of compressed data per core, "
        f"{(peak() - before) / 1e6:.0f} MB of memory"
    )


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
