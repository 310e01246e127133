"""Gathers the progress of all blocks into the session of the whole plan, and summarizes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from era5dl.engine.events import State
from era5dl.engine.progress import Snapshot
from era5dl.errors import SessionBusy
from era5dl.planner.estimate import estimate_plan
from era5dl.session import Checkpoint, Session
from era5dl.session.blocks import Progress, Run, append_records, progress_of


@dataclass(frozen=True, slots=True)
class BlockState:
    """The state of one block. Sizes in bytes. owner: the program that works on it, or ""."""

    number: int
    files: int
    done_files: int
    failed: int
    total_bytes: int
    done_bytes: int
    ended: bool
    owner: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """The progress of a run. missing: files that were not in the bucket when the run was prepared."""

    checkpoint: Checkpoint
    blocks: tuple[BlockState, ...]
    files: int
    total_bytes: int
    missing: int

    @property
    def remaining_blocks(self) -> int:
        """The number of blocks that have not ended."""
        return sum(not block.ended for block in self.blocks)

    @property
    def is_complete(self) -> bool:
        """Whether all files are verified or checked, and none was missing."""
        return self.checkpoint.finished.total() == self.files and not self.missing


def gather(run: Run) -> Gathered:
    """Save the progress of all blocks in the session of the whole plan, and return it.

    While another program gathers or drives the run, nothing is saved. Raises the errors of `Session.open`.
    """
    try:
        session = Session.open(run.folder, run.id, keep_blocks=True)
    except SessionBusy:
        return look_at(run)
    with session:
        return gather_into(session, run)


def gather_into(session: Session, run: Run) -> Gathered:
    """Save the progress of all blocks in the session of the whole plan, which is open, and return it."""
    progress = progress_of(run, session.checkpoint)
    session.save(progress.checkpoint)
    for block, saved in progress.saved.items():
        if saved.checkpoint.ended:
            append_records(run, block)
    return _summarize(run, progress)


def look_at(run: Run) -> Gathered:
    """Return the progress of all blocks without saving it. Takes no lock. Raises a SessionError or a DiskError."""
    from era5dl.session import resume_file

    saved = resume_file.read(run.home / f"{run.id}.json", run.id)[0]
    return _summarize(run, progress_of(run, saved.checkpoint_for(run.plan.objects)))


def _summarize(run: Run, progress: Progress) -> Gathered:
    total = estimate_plan(run.plan).total.fetched if not run.plan.subset.is_everything else run.plan.total_bytes
    blocks = tuple(_block_states(run, progress))
    return Gathered(progress.checkpoint, blocks, len(run.plan.objects), total, len(run.plan.missing))


def _block_states(run: Run, progress: Progress) -> Iterator[BlockState]:
    for block, (first, last) in enumerate(run.spans):
        saved = progress.saved.get(block)
        before = run.done_by_parent(block, progress.checkpoint)
        owner = run.owner(block) if saved is None or not saved.checkpoint.ended else None
        yield BlockState(
            number=block,
            files=last - first,
            done_files=saved.checkpoint.finished.total() if saved else before.finished.total(),
            failed=saved.failed if saved else 0,
            total_bytes=sum(obj.size for obj in run.plan.objects[first:last]),
            done_bytes=saved.checkpoint.done_bytes if saved else before.done_bytes,
            ended=saved.checkpoint.ended if saved else before.finished.total() == last - first,
            owner=str(owner or ""),
        )


def snapshot_of(gathered: Gathered, *, elapsed: float, fetched: int, speed: float, workers: int = 0) -> Snapshot:
    """Return the progress of all computers as that of one run, for displays."""
    checkpoint = gathered.checkpoint
    done = min(checkpoint.done_bytes, gathered.total_bytes)
    remaining = gathered.total_bytes - done
    return Snapshot(
        state=State.RUNNING if gathered.remaining_blocks else State.ENDED,
        reason="",
        total_files=gathered.files,
        done_files=checkpoint.finished.total(),
        verified_files=checkpoint.verified.total(),
        checked_files=checkpoint.checked.total(),
        failed_files=len(checkpoint.failures),
        total_bytes=gathered.total_bytes,
        done_bytes=done,
        fetched_bytes=fetched,
        speed=speed,
        time_left=remaining / speed if speed > 0 else None,
        elapsed=elapsed,
        active=(),
        workers=workers,
        allowed=workers,
        in_flight=workers,
        rate_limit=None,
        retries=0,
        throttles=0,
        barren_attempts=0,
        checked_part_files=checkpoint.checked_part.total(),
    )
