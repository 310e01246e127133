"""Python API: `select` variables and days, `plan` the files, `download` and `merge` them, `audit` what is there.

    import era5dl

    selection = era5dl.select("2t", start="2020-01-01", end="2020-01-31")
    plan = era5dl.plan(selection)
    print(len(plan.objects), "files,", plan.total_bytes, "bytes,", len(plan.missing), "missing")
    result = era5dl.download(plan, "era5", progress=lambda now: print(now.done_bytes, "of", now.total_bytes))
    assert result.complete, result.failures

    china = era5dl.select("2t", years=2020, hours=range(0, 24, 6), area=[54, 73, 18, 135])  # only this of each file

These functions do not print and do not install signal handlers. Every error is an `era5dl.errors.Era5Error`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from era5dl.api_select import Names, Numbers
from era5dl.engine.events import Event, FileDone, FileFailed
from era5dl.engine.progress import FINISHED, Snapshot
from era5dl.engine.reporting import CheckedFiles
from era5dl.errors import UsageError
from era5dl.selection import Selection
from era5dl.settings import Settings
from era5dl.subset.selection import Area

if TYPE_CHECKING:
    from xarray import Dataset

    from era5dl.archive.states import Audit
    from era5dl.bucket.interface import Bucket
    from era5dl.cds import Translation
    from era5dl.engine.engine import Engine
    from era5dl.planner import Missing, Plan
    from era5dl.session import Session
    from era5dl.subset.merging import MergeOutcome


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a download."""

    verified: int  # files whose MD5 equals the server's
    checked: int  # complete files without an MD5 of the server; size and structure were checked
    failed: int  # number of files
    unfinished: int  # number of files
    fetched_bytes: int  # received during this call
    elapsed: float  # seconds
    failures: tuple[FileFailed, ...]  # the failed files with their reasons
    missing: tuple[Missing, ...]  # requested files that are not in the bucket
    error: str  # why the download ended early; "" if it did not
    remedy: str  # what the user can do about `error`
    checked_because: Mapping[str, str]  # by key: why the file is checked and not verified
    checked_part: int = 0  # files with a part of their object: its version, structure and every checksum were checked
    merged: tuple[MergeOutcome, ...] = ()  # with `merge`: the merged files, and why others were not merged
    blocks: int = 0  # with `client`: number of blocks that the plan was divided into
    moved: int = 0  # with `client`: how often a block was given to another worker

    @property
    def complete(self) -> bool:
        """Whether all requested files have been downloaded and are verified or checked, and merged if requested."""
        is_merged = not any(outcome.error for outcome in self.merged)
        return is_merged and not (self.failed or self.unfinished or self.missing or self.error)


def from_cds(request: str | Mapping[str, Any] | list[Any], dataset: str | None = None) -> Translation:
    """Return what a request of the Copernicus Climate Data Store is in this bucket, without network access.

    request: a dict, a list of them, or a text: JSON, a Python dict, or a script with `client.retrieve(...)`, which is
        parsed and never executed.
    dataset: such as "reanalysis-era5-single-levels", for requests that do not name theirs.

    The result can be given to `plan`. Its `items` say what became of each variable ("found", "derived" or "absent",
    with the reason), its `warnings` what to know, and its `selections` what can be downloaded: one selection, or
    several if dates, area, hours or levels differ. Raises BadSelection, with line and column, for a text that is no
    request and for values that cannot be.
    """
    from era5dl.cds import from_cds as translated

    return translated(request, dataset)


def plan(
    selection: Selection | Translation,
    *,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Plan:
    """List the bucket and return the plan: `objects` with key, size (bytes) and ETag, and the `missing` files.

    For a selection with a subset, `total_bytes` is the size of the whole files; `era5dl.planner.estimate_plan(plan)`
    returns about how many bytes are fetched and written. Files without any of the selected hours are not in the plan.

    selection: from `select`, or from `from_cds` if that gave one selection.
    progress: called in this thread with the number of finished listings and of all listings.
    settings, options: as for `download`.

    Writes nothing to disk. Raises a BucketError if a listing fails; an incomplete plan is never returned.
    """
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.planner import make_plan

    wanted = selection if isinstance(selection, Selection) else selection.selection
    chosen = _settings(settings, options)
    made = make_plan(wanted, S3Bucket(chosen), on_progress=progress)
    return replace(made, server=(chosen.endpoint_url, chosen.bucket))


def download(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    progress: Callable[[Snapshot], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    settings: Settings | None = None,
    merge: str = "",
    csv: bool = False,
    client: Any = None,
    **options: Any,
) -> Result:
    """Download the files of a plan into the folder `out` and verify them. If interrupted, the next call resumes.

    plan: its files are fetched from the server that it was made for.
    progress: called in this thread about five times per second.
    on_event: called in threads of the engine; must return immediately.
    settings: complete settings. Without them, `options` are fields of `Settings` (workers=4, rate_limit=5_000_000 or
        rate_limit="08:00,1M 20:00,off" ...), and all other settings come from the environment (ERA5DL_WORKERS ...).
    merge: at the end also write one file per variable with the times of a "month", of a "year", or "all"; see
        `Result.merged`. The downloaded files stay. csv: also write the merged values at points as CSV files.
    client: a `distributed.Client`: its workers download the files, into a folder that all computers share. Then
        `rate_limit` is that of all workers together, `workers` the requests of each, and `on_event` is not called.

    If a file fails, the others are still downloaded; `Result.failures` lists the failed ones. An error that ends the
    whole download, such as a full disk, is in `Result.error`. Raises FolderUnusable, SessionBusy or UsageError if the
    download cannot start or the settings name another server than the plan, TypeError if both settings and options are
    given. On KeyboardInterrupt, or if `progress` raises an exception, the engine stops, the received bytes are kept for
    the next call, and the exception is raised again.
    """
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.session import Session
    from era5dl.subset import import_writer
    from era5dl.subset.merge_plan import check_period

    chosen = _settings_for(plan, settings, options)
    if merge:
        check_period(merge)
    if merge or not plan.subset.is_everything:
        import_writer()
    if client is not None:
        if merge:
            raise UsageError("Files are not merged by a cluster.", remedy="Merge them afterwards with era5dl.merge.")
        return _run_on_dask(client, plan, Path(out), chosen, progress)
    with Session.begin(Path(out), plan, chosen) as session:
        return _run(S3Bucket(chosen), session, chosen, _Callbacks(progress, on_event), merge, csv=csv)


def merge(folder: str | os.PathLike[str], by: str = "all", *, csv: bool = False) -> tuple[MergeOutcome, ...]:
    """Merge the files of each variable that a folder has, without requests, and return the outcome of each group.

    by: a merged file has the times of a "month", of a "year", or "all" times. csv: also write the values at points as
        CSV files.

    `MergeOutcome.file` has the path, and the times that are `missing` between others, in hours since 1900. Groups that
    cannot be merged have an `error`. Raises UsageError without h5py or for another period, and DiskErrors.
    """
    from era5dl.subset.find_parts import find_parts
    from era5dl.subset.merge_plan import plan_groups
    from era5dl.subset.merging import merge_groups

    groups, errors = plan_groups(find_parts(Path(folder)).parts, by)
    return tuple(merge_groups(Path(folder), groups, errors, csv=csv))


def audit(folder: str | os.PathLike[str], selection: Selection | None = None, *, deep: bool = False) -> Audit:
    """Return the state of every wanted file of a folder, without requests; the folder may be of another program.

    selection: what is wanted. Without it: what the sessions of the folder have asked for, and all other files there.
    deep: read the header and the times of each file; finds hours that a file lacks.

    `Audit.files` are the files with state and cause, `Audit.months` the states by variable and month, `Audit.gaps` the
    files that should be fetched; `Audit.days("an.sfc/2t", "202001")` yields the states of the hours of each day. Raises
    FolderUnusable.
    """
    from era5dl.archive.audit import audit_folder

    return audit_folder(folder, selection, deep=deep)


def open(
    source: str | os.PathLike[str] | Plan,
    variables: Names | None = None,
    *,
    time: Any = None,
    area: str | Sequence[float] | Area | None = None,
    levels: Numbers = (),
    names: str = "bucket",
    damaged: str = "error",
    dask: bool | None = None,
) -> Dataset:
    """Open the ERA5 files of a folder as one lazy xarray.Dataset. Values are read when they are needed.

    source: a folder with files of the bucket or subsets of them, downloaded by any program; or a plan, for its files in
        the folder that it was downloaded to last.
    variables: one or several names, such as "2t", "an.pl/t" or "tp", which is computed from lsp and cp. By default all
        variables of the folder.
    time: such as "2021", "2021-02", "2021-02-28T18", or first and last as a pair, a slice or "2021-02-01/2021-03". All
        of these hours are in the data set. By default it has the hours on the days that were selected for download, or
        all from the first to the last one of the files.
    area, levels: as for `select`; cut from files that have more. Without them, all files must have the same.
    names: "bucket" for the names in the files (VAR_2T), "cds" for those of the Climate Data Store (t2m).
    damaged: "error" raises an error that names a damaged file; "skip" looks at every file first, and treats damaged
        ones as missing. A file that is damaged in the middle is an error when that is read.
    dask: whether the arrays are those of dask; by default if it is installed. Otherwise they are lazy arrays of xarray.

    Forecasts have one dimension `time` of valid times; invariants have none. Hours that no file has are NaN, and the
    attribute `era5dl_missing_hours` of each variable lists them. `era5dl_sources` has the key, ETag and size of each
    object.

    Raises UsageError without xarray, or if the files do not fit together, BadSelection, and Era5Error for a file that
    is damaged or has another layout; also later, when it is read.
    """
    from era5dl.dataset import import_opener

    place = Path(source) if isinstance(source, (str, os.PathLike)) else source
    dataset: Dataset = import_opener().open_folder(
        place, variables, time=time, area=area, levels=levels, names=names, damaged=damaged, dask=dask
    )
    return dataset


@dataclass(frozen=True, slots=True)
class _Callbacks:
    progress: Callable[[Snapshot], None] | None
    on_event: Callable[[Event], None] | None


def _run(
    bucket: Bucket, session: Session, settings: Settings, callbacks: _Callbacks, merge: str = "", *, csv: bool = False
) -> Result:
    from era5dl.engine.engine import Engine

    failures: dict[int, FileFailed] = {}
    checked = CheckedFiles()

    def hear(event: Event) -> None:
        checked.record(event)
        if isinstance(event, FileFailed):
            failures[event.index] = event
        elif isinstance(event, FileDone):
            failures.pop(event.index, None)
        if callbacks.on_event is not None:
            callbacks.on_event(event)

    engine = Engine(bucket, session, settings, hear)
    engine.start()
    try:
        while not engine.wait(0.2):
            if callbacks.progress is not None:
                callbacks.progress(engine.snapshot())
    except BaseException:  # Ctrl-C in a notebook, or a progress callback that raises
        engine.stop()
        engine.wait(5.0)
        raise
    last = engine.snapshot()
    if callbacks.progress is not None:
        callbacks.progress(last)
    ended = engine.result
    assert ended is not None, "an engine that has ended has a result"
    objects = session.plan.objects
    is_merging = merge and not ended.error and not ended.stopped
    return Result(
        verified=ended.verified,
        checked=ended.checked,
        checked_part=ended.checked_part,
        failed=ended.failed,
        unfinished=ended.unfinished,
        fetched_bytes=last.fetched_bytes,
        elapsed=last.elapsed,
        failures=tuple(failures.values()),
        missing=session.plan.missing,
        error=ended.error,
        remedy=ended.remedy,
        checked_because={objects[index].key: why for index, why in checked.reasons(engine.states()).items()},
        merged=_merge(session, engine, merge, csv=csv) if is_merging else (),
    )


def _run_on_dask(
    client: Any, plan: Plan, out: Path, settings: Settings, progress: Callable[[Snapshot], None] | None
) -> Result:
    from era5dl.cluster import import_dask
    from era5dl.session import Session
    from era5dl.session.blocks import divide

    on_dask = import_dask()
    with Session.begin(out, plan, settings, keep_blocks=True) as session:
        run = divide(session.home, session.info, plan)
        ended = on_dask.run_on_dask(session, run, client, settings, progress=progress or (lambda _: None))
    found, failures = ended.gathered.checkpoint, ended.gathered.checkpoint.failures
    finished = found.finished.total()
    return Result(
        verified=found.verified.total(),
        checked=found.checked.total(),
        checked_part=found.checked_part.total(),
        failed=len(failures),
        unfinished=len(plan.objects) - finished - len(failures),
        fetched_bytes=ended.last.fetched_bytes,
        elapsed=ended.last.elapsed,
        failures=tuple(FileFailed(one.index, one.key, one.reason, one.remedy, one.kind) for one in failures),
        missing=plan.missing,
        error=ended.error,
        remedy=ended.remedy,
        checked_because={},
        blocks=len(run.spans),
        moved=ended.moved,
    )


def _merge(session: Session, engine: Engine, by: str, *, csv: bool) -> tuple[MergeOutcome, ...]:
    from era5dl.session.merge_parts import session_parts
    from era5dl.subset.merge_plan import plan_groups
    from era5dl.subset.merging import merge_groups

    states = engine.states()
    groups, errors = plan_groups(session_parts(session, engine.objects(), lambda i: states[i] in FINISHED), by)
    return tuple(merge_groups(session.folder, groups, errors, only_complete=True, csv=csv))


def _settings(settings: Settings | None, options: dict[str, Any]) -> Settings:
    if settings is None:
        return Settings.from_environment(os.environ, **options)
    if options:
        raise TypeError(f"specify either settings or single options, not both: {', '.join(options)}")
    return settings


def _settings_for(plan: Plan, settings: Settings | None, options: dict[str, Any]) -> Settings:
    """Return the settings for downloading a plan; what they do not say about the server is taken from the plan."""
    if plan.server is None:
        return _settings(settings, options)
    endpoint_url, bucket = plan.server
    if settings is None:
        options = {"endpoint_url": endpoint_url, "bucket": bucket, **options}
    chosen = _settings(settings, options)
    if (chosen.endpoint_url, chosen.bucket) != plan.server:
        raise UsageError(
            f"The plan was made for the bucket {bucket} at {endpoint_url or 'Amazon'}, but the settings name "
            f"{chosen.bucket} at {chosen.endpoint_url or 'Amazon'}.",
            remedy="Give the same endpoint_url and bucket to plan and download.",
        )
    return chosen
