"""Command `demo`: serves a small ERA5 bucket on this machine, downloads it, and compares the files independently.

Everything is in one folder that may be deleted afterwards: the S3 server serves OUT/server, whole files are downloaded
into OUT/era5, and hours, levels and an area of some of them into OUT/subset. If the demo is run again, it resumes the
existing sessions, although the server has another port then.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from era5dl.cli.arguments import open_bucket, settings_from
from era5dl.cli.commands.download import download_plan
from era5dl.cli.commands.plan import record_plan
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.run_session import report_result, run_session
from era5dl.formatting import format_count, format_size
from era5dl.planner import estimate_plan, make_plan
from era5dl.selection import Selection
from era5dl.session import Session, list_sessions
from era5dl.settings import Settings

_PROGRESS_INTERVAL = 1.0  # seconds


def demo(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Create, serve, download, compare and open the files. Exit code 0 only if all are identical."""
    from era5dl.demo import DemoServer, create_dataset, selection, subset_selection

    out = Path(arguments.out)
    output.info(f"All files of the demo are in {out}. You can delete this folder afterwards.")
    if arguments.gui:
        return int(import_module("era5dl.gui").main(["--demo", "--out", str(out / "era5")]))
    source = create_dataset(out / "server", _CreationProgress(output).report)
    os.environ["NO_PROXY"] = "127.0.0.1," + os.environ.get("NO_PROXY", "")  # the server is on this machine
    with DemoServer(source) as server:
        output.info(f"Started an S3 server with these files, of limited speed, at {server.endpoint_url}.")
        settings = replace(
            settings_from(arguments), endpoint_url=server.endpoint_url, bucket=server.bucket, proxy=None, ca_bundle=None
        )
        for selected, folder in ((selection(), out / "era5"), (subset_selection(), out / "subset")):
            cluster = arguments.dask if folder == out / "era5" else None
            code = _download(selected, settings, folder, output, interrupts, cluster)
            if code != ExitCode.OK:
                return code
    whole = _compare(source / settings.bucket, out / "era5", output)
    part = _compare_subsets(source / settings.bucket, out / "subset", output)
    return max(whole, part)


def _download(
    selected: Selection,
    settings: Settings,
    folder: Path,
    output: Output,
    interrupts: Interrupts,
    cluster: str | None = None,
) -> int:
    """Download as usual, on a cluster, or resume the session of an earlier demo."""
    bucket = open_bucket(settings)
    with interrupts.gracefully():
        plan = make_plan(selected, bucket, cancelled=interrupts.requested.is_set)
    record_plan(plan, estimate_plan(plan), output, folder)
    earlier = next((session for session in list_sessions(folder) if session.files == len(plan.objects)), None)
    if earlier is None or cluster:
        return download_plan(bucket, plan, folder, settings, output, interrupts, cluster=cluster)
    with Session.open(folder, earlier.id) as session:
        result = run_session(bucket, session, replace(settings, flat=session.info.flat), output, interrupts)
        return report_result(result, session.plan.missing, session, output)


def _compare(source: Path, folder: Path, output: Output) -> int:
    """Compare each downloaded file with the original, byte by byte, and open it. Does not rely on the download."""
    from era5dl.demo import describe_file

    with Session.open(folder) as session:
        pairs = [(obj.key, session.paths.final(index)) for index, obj in enumerate(session.plan.objects)]
    different = 0
    for key, path in pairs:
        digest = _sha256(path)
        identical = digest == _sha256(source / key)
        different += not identical
        content = describe_file(path) if identical else "not opened"
        size = path.stat().st_size
        output.record(
            "demo-file", key=key, path=str(path), size=size, sha256=digest, identical=identical, content=content
        )
        output.result(
            f"{'identical' if identical else 'DIFFERENT'}  {key}  {format_size(size)}  sha256 {digest[:16]}..."
        )
        output.result(f"           {content}")
    if different:
        output.notice(f"{format_count(different, 'file')} of {len(pairs)} differ from the originals on the server.")
        return ExitCode.INCOMPLETE
    output.notice(f"All {format_count(len(pairs), 'file')} are identical to the originals on the server: see {folder}.")
    return ExitCode.OK


def _compare_subsets(source: Path, folder: Path, output: Output) -> int:
    """Compare each value of the subset files with the value of the original file at the same coordinates."""
    from era5dl.demo import describe_file
    from era5dl.demo.subset_comparison import is_subset_of

    different = 0
    with Session.open(folder) as session:
        for index, obj in enumerate(session.plan.objects):
            path, original = session.paths.final(index), source / obj.key
            identical = is_subset_of(path, original)
            different += not identical
            content, size = describe_file(path), path.stat().st_size
            output.record("demo-subset", key=obj.key, path=str(path), size=size, identical=identical, content=content)
            output.result(
                f"{'same values' if identical else 'OTHER VALUES'}  {path.name}  {format_size(size)} of "
                f"{format_size(original.stat().st_size)}"
            )
            output.result(f"             {content}")
    if different:
        output.notice(f"{format_count(different, 'subset')} with other values than the originals on the server.")
        return ExitCode.INCOMPLETE
    output.notice(f"All values of the subsets are those of the originals on the server: see {folder}.")
    return ExitCode.OK


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


class _CreationProgress:
    """Reports the progress of creating the files, at most once per second."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._next = 0.0

    def report(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + _PROGRESS_INTERVAL
            self._output.info(f"Creating netCDF files for the demo: {done} of {total}")
