"""Runs one block of a divided plan on this computer with the engine. Knows neither Dask nor any batch system."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from era5dl.engine.engine import Engine
from era5dl.engine.progress import Snapshot
from era5dl.errors import SessionBusy, Stopped
from era5dl.locks.owner import NO_GRANT, Grant
from era5dl.session import Session
from era5dl.session.blocks import Run
from era5dl.settings import Settings

PATIENCE = 180.0  # seconds to wait for a block that another program holds; its lock becomes stale after 60
_POLL_INTERVAL = 0.2  # seconds
_REPORT_INTERVAL = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class BlockResult:
    """How the run of a block ended. Its files are in the resume file of its session. Sizes in bytes, times in seconds.

    kind: `Era5Error.kind` of `error`, or "". resumed: bytes that were already there. waited: for the lock.
    """

    host: str
    stopped: bool
    error: str
    remedy: str
    kind: str
    failed: int
    unfinished: int
    fetched: int
    resumed: int
    waited: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a run of a block reports, and what it asks. All are called once per second, on the calling thread.

    report: receives the progress. stop_requested: whether to save the progress and end. rate_limit: bytes per second of
    this block; None for the limit of the settings.
    """

    report: Callable[[Snapshot], None] = lambda _: None
    stop_requested: Callable[[], bool] = lambda: False
    rate_limit: Callable[[], int | None] = lambda: None


def settings_of_block(run: Run, settings: Settings) -> Settings:
    """Return the settings of this computer with those that belong to the run."""
    info = run.info
    return replace(
        settings,
        bucket=info.bucket,
        endpoint_url=info.endpoint_url,
        region=info.region,
        flat=info.flat,
        verify=info.verify,
    )


def begin_block(
    run: Run,
    block: int,
    settings: Settings,
    *,
    grant: Grant = NO_GRANT,
    patience: float = PATIENCE,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Session:
    """Open the session of a block; wait while another program holds it, which may be on a computer that is gone.

    patience: seconds. Raises SessionBusy after that time, Stopped, or a DiskError.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            return Session.begin_block(run, block, settings, grant)
        except SessionBusy:
            if time.monotonic() >= give_up:
                raise
        if stop_requested():
            raise Stopped("while another program was working on the block")
        time.sleep(_POLL_INTERVAL)


def run_block(
    run: Run,
    block: int,
    settings: Settings,
    *,
    grant: Grant = NO_GRANT,
    hooks: Hooks = Hooks(),
    patience: float = PATIENCE,
) -> BlockResult:
    """Download a block. Raises the errors of `begin_block`; errors of the run itself are in the result."""
    from era5dl.bucket.s3 import S3Bucket

    own = settings_of_block(run, settings)
    began = time.monotonic()
    with begin_block(run, block, own, grant=grant, patience=patience, stop_requested=hooks.stop_requested) as session:
        waited = time.monotonic() - began
        resumed = session.checkpoint.done_bytes
        engine = Engine(S3Bucket(own), session, own, lambda _: None)
        engine.start()
        try:
            _watch(engine, hooks)
        except BaseException:
            engine.stop()
            engine.wait(5.0)
            raise
        last, ended = engine.snapshot(), engine.result
        hooks.report(last)
    assert ended is not None, "an engine that has ended has a result"
    return BlockResult(
        host=socket.gethostname(),
        stopped=ended.stopped,
        error=ended.error,
        remedy=ended.remedy,
        kind=ended.kind,
        failed=ended.failed,
        unfinished=ended.unfinished,
        fetched=last.fetched_bytes,
        resumed=resumed,
        waited=waited,
        elapsed=time.monotonic() - began,
    )


def _watch(engine: Engine, hooks: Hooks) -> None:
    """Wait for the end of a run, and pass on reports, requests to stop and changes of the rate limit."""
    next_report = time.monotonic()
    limit: int | None = None
    stopping = False
    while not engine.wait(_POLL_INTERVAL):
        if time.monotonic() < next_report:
            continue
        next_report = time.monotonic() + _REPORT_INTERVAL
        hooks.report(engine.snapshot())
        wanted = hooks.rate_limit()
        if wanted is not None and wanted != limit:
            limit = wanted
            engine.set_rate_limit(limit)
        if not stopping and hooks.stop_requested():
            stopping = True
            engine.stop()
