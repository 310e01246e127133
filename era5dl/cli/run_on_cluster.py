"""Runs the blocks of a session on a Dask cluster and reports that: display, JSON records, messages, signals."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.run_session import RunResult, make_display
from era5dl.engine.events import RunEnded
from era5dl.engine.progress import FileState, Snapshot
from era5dl.formatting import format_count

if TYPE_CHECKING:
    from era5dl.planner import Plan
    from era5dl.session import Checkpoint, Session
    from era5dl.settings import Settings


def run_on_cluster(
    session: Session, where: str, settings: Settings, output: Output, interrupts: Interrupts
) -> RunResult:
    """Download the remaining blocks of a session on the workers of a cluster; also until an interrupt.

    where: see `era5dl.cluster.on_dask.connect`. Raises NoWorkers, VersionDiffers or UsageError.
    """
    from era5dl.cluster import import_dask
    from era5dl.session.blocks import divide

    on_dask = import_dask()
    run = divide(session.home, session.info, session.plan)
    notes: SimpleQueue[str] = SimpleQueue()
    output.info(f"Connecting to the cluster {where}; the download has {format_count(len(run.spans), 'block')}")
    with on_dask.connect(where) as client, interrupts.gracefully(), make_display(output) as display:
        shown = [0]

        def show(snapshot: Snapshot) -> None:
            _report_notes(notes, output)
            if snapshot.workers > shown[0]:
                shown[0] = snapshot.workers
                output.info(f"{format_count(snapshot.workers, 'worker')} of the cluster in use")
            display.show_progress(snapshot)
            if output.json_writer is not None:
                output.json_writer.progress(snapshot)

        ended = on_dask.run_on_dask(
            session, run, client, settings, progress=show, note=notes.put, stop_requested=interrupts.requested.is_set
        )
        _report_notes(notes, output)
    last, checkpoint = ended.last, ended.gathered.checkpoint
    for failure in checkpoint.failures:
        output.notice(f"failed: {failure.key}: {failure.reason}")
    output.record("cluster", run=run.id, blocks=len(run.spans), moved=ended.moved, excluded=dict(ended.excluded))
    result = RunEnded(
        verified=last.verified_files,
        checked=last.checked_files,
        failed=last.failed_files,
        unfinished=last.total_files - last.done_files - last.failed_files,
        stopped=ended.stopped,
        error=ended.error,
        remedy=ended.remedy,
        kind=ended.kind,
        checked_part=last.checked_part_files,
    )
    return RunResult(result, last, (), session.plan.objects, _states(session.plan, checkpoint))


def _report_notes(notes: SimpleQueue[str], output: Output) -> None:
    while True:
        try:
            text = notes.get_nowait()
        except Empty:
            return
        output.record("cluster-note", text=text)
        output.notice(text)


def _states(plan: Plan, checkpoint: Checkpoint) -> bytes:
    """Return the FileState of each object, one byte per object."""
    states = bytearray([FileState.WAITING]) * len(plan.objects)
    for failure in checkpoint.failures:
        states[failure.index] = FileState.FAILED
    finished = (
        (FileState.VERIFIED, checkpoint.verified),
        (FileState.CHECKED, checkpoint.checked),
        (FileState.CHECKED_PART, checkpoint.checked_part),
    )
    for state, members in finished:
        for start, stop in members:
            states[start:stop] = bytes([state]) * (stop - start)
    return bytes(states)
