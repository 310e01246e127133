"""Worker thread: takes a job, does it and records the result, until the run ends.

There are three kinds of jobs for each object:

1. PrepareJob: claim the object (`shared_folder`) and find its existing bytes on disk (`prepare`).
2. Piece: send a GET request for a byte range and write the bytes to their offsets in the part file (`fetch`).
3. VerifyJob: compare the MD5 of the complete part file with the ETag (`verification`) and give it its final name; or
   write the final file of a subset from the part file (`subset_file`).

`dispatch` records results, `failures` handles errors. Workers never sleep before a retry: the scheduler delays the job,
and the worker takes another one. No exception leaves a worker or is stored, because its traceback would keep sockets
open: errors are converted to text at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.response_headers import proves_empty, same_version
from era5dl.engine import dispatch
from era5dl.engine.checkpoint import entry_of
from era5dl.engine.crop import crop, prepare_crop
from era5dl.engine.disk import hash_from_disk
from era5dl.engine.failures import record_failure
from era5dl.engine.fetch import fetch
from era5dl.engine.job_queue import Job, PrepareJob, VerifyJob
from era5dl.engine.prepare import ObjectFiles, VerificationPolicy, prepare_transfer
from era5dl.engine.run_state import RunState
from era5dl.engine.shared_folder import claim_object, release_if_done
from era5dl.engine.subset_file import prepare_subset
from era5dl.engine.subset_output import write_subset_file
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.verification import VerificationResult, verify_part_file
from era5dl.engine.withdrawal import settle_locked
from era5dl.errors import Contradiction, DiskError, Era5Error, Interrupted, ObjectChanged, ProofError, WillNotFit
from era5dl.folder.free_space import free_bytes
from era5dl.formatting import format_size
from era5dl.hdf5 import UnsupportedLayout
from era5dl.redaction import redact_secrets

log = logging.getLogger("era5dl")


def work(run: RunState, number: int, on_exit: Callable[[int], None]) -> None:
    """Body of the thread of worker `number`. on_exit: called with the number when the thread ends."""
    last: Transfer | None = None
    try:
        while True:
            abort = Abort()
            job = dispatch.next_job(run, number, last, abort)
            if job is None:
                return
            _do(run, job, abort)
            last = job.transfer
    except Exception as bug:  # outside of a job: end the run with an error, since this worker cannot continue
        log.exception("worker %d cannot continue", number)
        with run.locked():
            run.end_with_error_locked(Era5Error(_internal_error(bug)))
    finally:
        on_exit(number)


def _do(run: RunState, job: Job, abort: Abort) -> None:
    transfer = job.transfer
    try:
        if isinstance(job, PrepareJob):
            if claim_object(run, job):
                _prepare(run, job, abort)
        elif isinstance(job, Piece):
            _fetch(run, job, abort)
            dispatch.record_fetched(run, job)
        else:
            _verify(run, job, abort)
        if transfer.decision is not None or transfer.releasing:  # the decision may have waited for this job
            with run.locked():
                settle_locked(run, transfer)
                run.notify_locked()
    except Era5Error as error:
        stalled = isinstance(error, Interrupted) and error.stalled
        progressed = isinstance(job, Piece) and job.written > 0 and not stalled
        if isinstance(error, ObjectChanged):
            error = _confirm_change(run, transfer, error, abort)
        record_failure(run, job, error, progressed=progressed)
    except Exception as bug:  # a bug makes this object fail, but does not end the run
        log.exception("unexpected error in a job of %s", transfer.obj.key)
        record_failure(run, job, Era5Error(f"{transfer.obj.key}: {_internal_error(bug)}"), progressed=False)
    release_if_done(run, transfer)


def _internal_error(bug: Exception) -> str:
    return f"internal error: {type(bug).__name__}: {redact_secrets(str(bug))[:200]}"


# Preparing


def _prepare(run: RunState, job: PrepareJob, abort: Abort) -> None:
    transfer = job.transfer
    index = transfer.index
    run.check_folder()
    if transfer.recheck_version or _is_doubtful(transfer.obj):
        _check_version(run, transfer, abort)
    final, part = run.session.paths.final_and_part(index)
    transfer.final = final
    files = ObjectFiles(
        final=run.session.paths.place(final),
        part=run.session.paths.place(part),
        entry=entry_of(transfer) if transfer.done else run.session_state.entries.get(index),
        part_md5s=lambda: run.part_digests.find(transfer.obj),
        is_recorded=lambda: run.session.finished_by_others(index, transfer.obj),
    )
    subset = run.session.paths.subset(index)
    policy = VerificationPolicy(run.settings.verify, run.etag_trust, run.part_sizes)

    def stopped() -> bool:
        return _is_aborted(run, transfer, abort)

    if subset.is_everything:
        result = prepare_transfer(transfer, files, policy, abort, stopped)
    elif run.session.paths.is_cropped(index):
        result = prepare_crop(run, transfer, files, subset, policy, stopped)
    else:
        try:
            result = prepare_subset(run, transfer, files, subset, abort)
        except UnsupportedLayout as reason:
            log.warning("%s has %s: the whole file is fetched", transfer.obj.key, reason)
            dispatch.fetch_whole_to_crop(run, job, str(reason))
            return
    if result is None and index in run.recheck and transfer.part is not None:
        transfer.part.keep_mismatch(final)  # an earlier run gave the file this name, but its bytes are wrong
    if result is None:
        dispatch.report_change(run, transfer)
        dispatch.retract_entry(run, transfer)
    dispatch.record_prepared(run, job, result)


def _is_doubtful(obj: ObjectInfo) -> bool:
    """Whether the plan does not identify the version: the object has no ETag, or its size is 0 and its ETag does not
    confirm that. (Some servers send no ETags in listings, but send them in responses for objects.)"""
    return not obj.etag or (obj.size == 0 and not proves_empty(obj))


def _check_version(run: RunState, transfer: Transfer, abort: Abort) -> None:
    """Request the current version of the object. If it is a new one, discard the bytes of the old one.

    Raises Contradiction if a response had named another version but the current version is the planned one, and
    WillNotFit.
    """
    current = run.bucket.head(transfer.obj.key, abort)
    if same_version(current, transfer.obj):
        if transfer.recheck_version:
            transfer.recheck_version = False
            raise _contradiction(transfer.reason)
        return
    _refuse_too_large(run, transfer, current)
    if transfer.part is not None:
        transfer.part.discard()
    dispatch.replace_version(run, transfer, current)
    transfer.recheck_version = False


def _confirm_change(run: RunState, transfer: Transfer, error: ObjectChanged, abort: Abort) -> Era5Error:
    """Return the error to handle after a response that names another version. The response may come from a cache or a
    server that is out of date, so the current version is requested to confirm it."""
    try:
        current = run.bucket.head(transfer.obj.key, abort)
    except Era5Error as failure:
        return failure
    return _contradiction(str(error)) if same_version(current, transfer.obj) else error


def _contradiction(reason: str) -> Contradiction:
    return Contradiction(f"{reason}; but asked for its version, the server names the one that was planned")


def _refuse_too_large(run: RunState, transfer: Transfer, current: ObjectInfo) -> None:
    """Raise WillNotFit, which concerns only this object, if its new version is larger than the free space."""
    needed = run.estimate(transfer.index, current).fetched
    with run.lock:
        before = run.scheduler.sizes[transfer.index]
        others = run.counters.total_bytes - run.counters.done_bytes - (before - transfer.counted_bytes)
    if needed <= before:
        return
    free = free_bytes(run.session.folder) - run.settings.disk_reserve
    room = free - others if others <= free else free  # if the others do not fit anyway, they are not considered
    if needed > room + transfer.counted_bytes:
        raise WillNotFit(
            f"{transfer.obj.key} has grown from {format_size(before)} to {format_size(needed)}, "
            f"but there is space for only {format_size(max(room, 0))} of it"
        )


def _is_aborted(run: RunState, transfer: Transfer, abort: Abort) -> bool:
    """Whether the job was aborted. Called repeatedly while a file is read. Raises the errors of `claims.ensure_held`,
    so that nothing is copied into a part file that another session has taken over."""
    run.session.claims.ensure_held(transfer.index)
    return bool(abort.reason)


# Fetching and verifying


def _fetch(run: RunState, piece: Piece, abort: Abort) -> None:
    transfer = piece.transfer
    part = transfer.part
    assert part is not None
    run.check_folder()
    part.acquire()
    try:
        fetch(run, piece, abort)
        if (
            transfer.digest is not None
            and not transfer.complete
            and not (transfer.unverifiable and part.changed_by_others)
        ):
            with run.lock:
                available = transfer.done.copy()
            transfer.digest.hash_remaining(available, part.read, lambda: bool(abort.reason))
    finally:
        part.release()


def _write_subset(run: RunState, job: VerifyJob, abort: Abort) -> None:
    run.check_folder()
    result = write_subset_file(run, job.transfer, lambda: _is_aborted(run, job.transfer, abort))
    if isinstance(result, list):
        dispatch.record_damaged_chunks(run, job, result)
    else:
        dispatch.record_finished(run, job, result)


def _verify(run: RunState, job: VerifyJob, abort: Abort) -> None:
    transfer = job.transfer
    assert transfer.part is not None
    if transfer.subset is not None:
        _write_subset(run, job, abort)
        return
    if run.settings.read_back or transfer.part.changed_by_others:
        hash_from_disk(transfer)
    result = verify_part_file(
        transfer,
        run.etag_trust,
        lambda: run.part_sizes.query(transfer.obj, abort),
        lambda: _is_aborted(run, transfer, abort),
    )
    if result is None:
        _record_mismatch(run, job)
        return
    assert transfer.final is not None
    if transfer.crop is not None:
        _crop(run, job, result, abort)
        return
    if len(result.part_md5s) > 1:
        with suppress(DiskError):  # without the record, a later repair has to fetch more bytes
            run.part_digests.record(transfer.obj, result.part_md5s)
    run.check_folder()
    run.session.claims.ensure_held(transfer.index)
    status = transfer.part.commit(transfer.final)
    with suppress(DiskError):  # a remaining *.mismatch file only uses disk space
        transfer.part.discard_mismatch()
    dispatch.record_finished(run, job, replace(result, status=status))


def _crop(run: RunState, job: VerifyJob, result: VerificationResult, abort: Abort) -> None:
    transfer = job.transfer
    run.check_folder()
    cropped = crop(run, transfer, result, lambda: _is_aborted(run, transfer, abort))
    if isinstance(cropped, UnsupportedLayout):
        log.warning("%s has %s: the whole file is kept", transfer.obj.key, cropped)
        dispatch.keep_whole(run, job, str(cropped))
    else:
        dispatch.record_finished(run, job, cropped)


def _record_mismatch(run: RunState, job: VerifyJob) -> None:
    transfer = job.transfer
    try:
        dispatch.record_mismatch(run, job)
    except ProofError:  # no more attempts: keep the received bytes as *.mismatch
        assert transfer.part is not None
        transfer.part.keep_mismatch(transfer.part.path)
        dispatch.discard_bytes(run, transfer)
        raise
