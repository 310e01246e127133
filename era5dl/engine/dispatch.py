"""Assigns jobs to worker threads and records the results of successful jobs; failed ones are handled in `failures`.

Every function acquires the run's lock itself. None does I/O while holding it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.checkpoint import entry_bytes, entry_of
from era5dl.engine.events import (
    FetchedWhole,
    FileChanged,
    FileDone,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Outcome,
    RangesIgnored,
)
from era5dl.engine.job_queue import Job, PrepareJob, VerifyJob
from era5dl.engine.progress import OUTCOMES, FileState
from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.verification import ETAG_MISMATCH, VerificationResult, ranges_to_refetch
from era5dl.errors import ProofError
from era5dl.formatting import format_count
from era5dl.ranges import Range, RangeSet
from era5dl.session import UnfinishedObject

MAX_CHUNK_FETCHES = 3  # of a chunk of a subset, before its object has failed
REMEDY_DAMAGED_CHUNKS = (
    "Something alters the data, or the file in the bucket is damaged: try another network and another disk. If it "
    "happens there, too, download the whole file, without hours, levels, an area or points."
)
IDLE_WAIT = 0.5  # seconds after which an idle worker checks again whether it can take over part of a piece


def next_job(run: RunState, worker: int, last: Transfer | None, abort: Abort) -> Job | None:
    """Wait for the next job of this worker and return it; None if the worker is no longer needed.

    last: the object of its previous job. abort: used to abort the requests of the job.
    """
    with run.locked():
        while True:
            now = time.monotonic()
            if run.is_over or worker >= run.workers:
                return None
            if _may_request(run, now):
                job = run.scheduler.next_job(now, run.workers, last, partial(_make_transfer, run))
                if job is not None:
                    run.aborts[job] = abort
                    run.abort_superseded_locked()
                    run.counters.set_state(job.transfer.index, FileState.ACTIVE)
                    return job
            run.idle_workers += 1
            run.work_available.wait(_seconds_to_wait(run, now))
            run.idle_workers -= 1


def _may_request(run: RunState, now: float) -> bool:
    if not run.space_checked or run.paused_by_user or run.outage.state is not None or now < run.throttle.paused_until:
        return False
    return len(run.aborts) < run.throttle.allowed


def _make_transfer(run: RunState, index: int) -> Transfer:
    return Transfer(index, run.object(index), counted_bytes=entry_bytes(run.session_state.entries.get(index)))


def _seconds_to_wait(run: RunState, now: float) -> float:
    """Return after how many seconds an idle worker checks again if nothing notifies it."""
    due = [IDLE_WAIT]
    if (next_due := run.scheduler.next_due()) is not None:
        due.append(next_due - now)
    if run.throttle.paused_until > now:
        due.append(run.throttle.paused_until - now)
    return max(0.01, min(due))


# Preparing


def record_prepared(run: RunState, job: PrepareJob, result: VerificationResult | None) -> None:
    """Record that the object is prepared. result: of verifying its final file, if that already exists and is kept."""
    with run.locked():
        transfer = job.transfer
        run.aborts.pop(job, None)
        run.session_state.entries.pop(transfer.index, None)
        if result is not None:
            _finish(run, transfer, result, adopted=True)
            return
        resumed = transfer.done.total()
        run.resize_locked(transfer, transfer.wanted_bytes)
        run.count_bytes_locked(transfer)
        run.events.put(FileStarted(transfer.index, transfer.obj.key, transfer.wanted_bytes, resumed))
        run.scheduler.prepared(transfer)
        run.notify_locked()


def replace_version(run: RunState, transfer: Transfer, obj: ObjectInfo) -> None:
    """Record the new version of an object that was replaced in the bucket, and discard the bytes of the old one."""
    with run.locked():
        if transfer.recheck_version:
            transfer.restarts += 1
            run.events.put(FileRestarted(transfer.index, obj.key, transfer.reason, transfer.kind))
        run.resize_locked(transfer, run.estimate(transfer.index, obj).fetched)
        run.session_state.replaced[transfer.index] = transfer.obj = obj
        run.session_state.entries.pop(transfer.index, None)
        run.session_state.dirty = True
        transfer.done, transfer.recorded_md5s, transfer.mismatches = RangeSet(), {}, []
        transfer.damaged_chunks, transfer.index_bytes = {}, {}
        run.count_bytes_locked(transfer)


def report_change(run: RunState, transfer: Transfer) -> None:
    """Report that the bytes of a finished file are wrong, if it has changed on disk since it was finished."""
    with run.locked():
        if transfer.index in run.changed:
            run.changed.discard(transfer.index)
            run.events.put(FileChanged(transfer.index, transfer.obj.key))


def retract_entry(run: RunState, transfer: Transfer) -> None:
    """Remove byte ranges that no longer exist on disk from the resume file and its backup.

    This must happen before the first byte is written to a new part file. Otherwise, if the program were killed after
    that write, the next run would take holes in the file for data, and without an MD5 nothing would detect that.
    Raises the errors of `Session.save`.
    """
    index = transfer.index
    saved = [entry for entry in run.session.checkpoint.unfinished if entry.index == index]
    if transfer.digest is not None or all(_still_has(transfer, entry) for entry in saved):
        return
    with run.lock:
        run.session_state.entries[index] = entry_of(transfer)
    for _generation in ("the resume file", "its backup"):
        run.save_checkpoint()


def _still_has(transfer: Transfer, entry: UnfinishedObject) -> bool:
    """Whether the part file has all bytes that this entry lists."""
    assert transfer.part is not None
    stored = transfer.part.stored(transfer.done)
    return entry.layout == transfer.part.layout and all(stored.covers(*span) for span in entry.done)


def fetch_whole_to_crop(run: RunState, job: PrepareJob, reason: str) -> None:
    """Fetch the whole object, because its ranges cannot be fetched alone; the subset is taken out of it afterwards."""
    transfer = job.transfer
    if transfer.part is not None:
        transfer.part.discard()
    with run.locked():
        run.aborts.pop(job, None)
        run.session.paths.cropped.add(transfer.index)
        transfer.part = transfer.subset = None
        transfer.whole_because = reason
        transfer.done = RangeSet()
        if (entry := run.session_state.entries.get(transfer.index)) is not None and entry.layout:
            del run.session_state.entries[transfer.index]
        run.counters.done_bytes -= transfer.counted_bytes
        transfer.counted_bytes = entry_bytes(run.session_state.entries.get(transfer.index))
        run.counters.done_bytes += transfer.counted_bytes
        run.resize_locked(transfer, transfer.obj.size)
        run.events.put(FetchedWhole(transfer.index, transfer.obj.key, reason))
        if not transfer.withdrawn:
            now = time.monotonic()
            run.scheduler.requeue(job, now, now)
        run.notify_locked()


def keep_whole(run: RunState, job: VerifyJob, reason: str) -> None:
    """Give the whole object its usual name, because no subset can be taken out of it.

    It is prepared again: the claim of this session is on the file with the name of the subset, so another one is
    needed. The part file stays, with its name.
    """
    transfer = job.transfer
    run.session.claims.release(transfer.index)
    with run.locked():
        run.aborts.pop(job, None)
        run.session_state.entries[transfer.index] = entry_of(transfer)  # a kill before it is prepared loses no byte
        transfer.verifying, transfer.crop = False, None
        run.session.paths.fetched_whole.add(transfer.index)
        if reason != transfer.whole_because:  # else it has been reported
            run.events.put(FetchedWhole(transfer.index, transfer.obj.key, reason))
        if not transfer.withdrawn:
            run.scheduler.restart(transfer)
        run.notify_locked()


# Fetching


def record_answer(run: RunState, piece: Piece) -> None:
    """Record that the response to the piece has valid headers: it is not from a captive portal, and the request was
    neither denied nor throttled."""
    with run.lock:
        server = run.server
        piece.answered = server.has_answered = True
        server.unexpected_answers = 0
        now = time.monotonic()
        server.record_round_trip(now - piece.started, now)
        run.scheduler.round_trip = server.round_trip
        server.denials.record_answer(piece.transfer.index)
        if server.denials.are_temporary and run.retry_rounds.denied:
            run.retry_rounds.retry_denied()
        run.throttle.record_answer()
        server.peak_requests.update(time.monotonic(), sum(one.answered for one in run.scheduler.active_pieces))
        if (abort := run.aborts.get(piece)) is not None and abort.connected:
            server.closed_connections = 0
            run.throttle.connection_accepted()


def record_whole_object_answer(run: RunState, piece: Piece) -> bool:
    """Record that the response to the piece contains the whole object. Return whether this connection has to fetch all
    missing bytes of the object; False if another connection does that."""
    with run.locked():
        if not run.server.ranges_ignored:
            run.events.put(RangesIgnored(piece.transfer.index, piece.transfer.obj.key))
        run.server.ranges_ignored = True
        exclusive = run.scheduler.make_exclusive(piece)
        run.abort_superseded_locked()
        return exclusive


def record_fetched(run: RunState, piece: Piece) -> None:
    """Record that the piece has been fetched completely."""
    with run.locked():
        run.aborts.pop(piece, None)
        run.scheduler.piece_ended(piece, time.monotonic())
        run.scheduler.verify_when_complete(piece.transfer)
        run.notify_locked()


# Verifying


def record_finished(run: RunState, job: VerifyJob, result: VerificationResult) -> None:
    """Record that the object has been verified or checked and its file has its final name."""
    with run.locked():
        run.aborts.pop(job, None)
        _finish(run, job.transfer, result, adopted=False)


def record_mismatch(run: RunState, job: VerifyJob) -> None:
    """Record that the complete part file does not match the ETag, and queue the doubtful parts again.

    Raises ProofError if the limit of such attempts is reached.
    """
    with run.locked():
        transfer = job.transfer
        ranges = ranges_to_refetch(transfer, etag_is_md5=run.etag_trust.has_matched(transfer.obj.etag))
        run.aborts.pop(job, None)
        transfer.verifying = False
        for start, stop in ranges:
            transfer.done.remove(start, stop)
        run.count_bytes_locked(transfer)
        run.scheduler.reassign_missing(transfer)
        attempt = len(transfer.mismatches)
        run.events.put(FileRetrying(transfer.index, transfer.obj.key, ETAG_MISMATCH, attempt, 0.0, ProofError.__name__))
        run.notify_locked()


def record_damaged_chunks(run: RunState, job: VerifyJob, chunks: Collection[Range]) -> None:
    """Queue damaged chunks of a subset again. Raises ProofError if one of them was fetched as often as allowed."""
    with run.locked():
        transfer = job.transfer
        run.aborts.pop(job, None)
        transfer.verifying = False
        for chunk in chunks:
            transfer.damaged_chunks[chunk] = transfer.damaged_chunks.get(chunk, 0) + 1
            transfer.done.remove(*chunk)
        run.count_bytes_locked(transfer)
        run.session_state.dirty = True
        attempt = max(transfer.damaged_chunks[chunk] for chunk in chunks)
        reason = f"{format_count(len(chunks), 'chunk')} of it did not have the right checksum"
        if attempt >= MAX_CHUNK_FETCHES:
            raise ProofError(f"{transfer.obj.key}: fetched {attempt} times; {reason}", remedy=REMEDY_DAMAGED_CHUNKS)
        run.scheduler.reassign_missing(transfer)
        run.events.put(FileRetrying(transfer.index, transfer.obj.key, reason, attempt, 0.0, ProofError.__name__))
        run.notify_locked()


def discard_bytes(run: RunState, transfer: Transfer) -> None:
    """Record that the part file no longer exists and no byte of the object is on disk."""
    with run.lock:
        transfer.done, transfer.mismatches = RangeSet(), []
        run.count_bytes_locked(transfer)
        run.session_state.dirty = True


def _finish(run: RunState, transfer: Transfer, result: VerificationResult, *, adopted: bool) -> None:
    """Record that the object has its final file. adopted: the file existed before this run."""
    index, obj = transfer.index, transfer.obj
    transfer.verifying = False
    transfer.done = RangeSet(transfer.wanted)
    size = run.scheduler.sizes[index]
    run.counters.done_bytes += size - transfer.counted_bytes
    transfer.counted_bytes = size
    run.scheduler.close(transfer)
    cropped = run.session.paths.is_cropped(index)
    run.session_state.mark_finished(index, result.outcome, cropped=cropped)
    if (status := result.status) is not None:
        run.session_state.record_file(run.finished_file(index, status))
        run.written_locked(index, status.st_size)
    run.held.discard(index)
    run.recheck.discard(index)
    run.changed.discard(index)
    run.counters.set_state(index, OUTCOMES[result.outcome])
    run.counters.disk_bytes += run.file_size(index)
    on_disk = obj.size if status is None else status.st_size
    run.events.put(FileDone(index, obj.key, on_disk, str(transfer.final), result.outcome, result.reason, adopted))
    for doubtful in _made_doubtful_by(run, transfer, result):
        run.recheck.add(doubtful)
        run.requeue_finished_locked(doubtful)
    run.notify_locked()


def _made_doubtful_by(run: RunState, transfer: Transfer, result: VerificationResult) -> Collection[int]:
    """Return the finished objects that have to be examined again because of this result. The first match of an ETag
    shows that ETags of its form are MD5s, also those of files that were accepted without a match."""
    etag = transfer.obj.etag
    if result.outcome is Outcome.VERIFIED and run.etag_trust.record_match(etag):
        return run.doubtful_objects()
    if result.reason.startswith(ETAG_MISMATCH) and run.etag_trust.is_binding(etag):
        return (transfer.index,)  # the first match was found while this file was examined
    return ()
