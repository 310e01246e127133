"""What a worker thread does: take a job, do it, settle it. Nothing waits here, and no exception leaves or is kept.

(An exception holds its traceback, that holds its frames, and those hold sockets: so it is turned into text at once.)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.response_headers import proves_empty, same_version
from era5dl.engine.byte_sink import Intake
from era5dl.engine.checkpoint import claim, retract_claims
from era5dl.engine.disk import hash_from_disk
from era5dl.engine.events import log
from era5dl.engine.failures import attempt_failed, settle
from era5dl.engine.fetch import fetch
from era5dl.engine.prepare import ObjectFiles, VerificationPolicy, prepare_transfer
from era5dl.engine.run import Run
from era5dl.engine.scheduler import Job, PrepareJob, VerifyJob
from era5dl.engine.shared_folder import claim_object, release_finished
from era5dl.engine.transfer import Piece, Transfer
from era5dl.engine.verification import verify_part_file
from era5dl.errors import (
    Contradiction,
    DiskError,
    Era5Error,
    Interrupted,
    ObjectChanged,
    ProofError,
    WillNotFit,
)
from era5dl.folder.free_space import free_bytes
from era5dl.formatting import format_size
from era5dl.redaction import redact_secrets


def work(run: Run, number: int, leaving: Callable[[int], None]) -> None:
    """The life of worker `number`: until there is nothing left for it to do."""
    last: Transfer | None = None
    try:
        while True:
            abort = Abort()
            job = run.next_job(number, last, abort)
            if job is None:
                return
            _do(run, job, abort)
            last = job.transfer
    except Exception as bug:  # noqa: BLE001 - in the books themselves: better an end that is told than workers that are gone
        log.exception("worker %d cannot go on", number)
        with run.locked():
            text = f"internal error: {type(bug).__name__}: {redact_secrets(str(bug))[:200]}"
            run.end_with_error_locked(Era5Error(text))
    finally:
        leaving(number)


def _do(run: Run, job: Job, abort: Abort) -> None:
    try:
        if isinstance(job, PrepareJob):
            if claim_object(run, job):
                _open(run, job, abort)
        elif isinstance(job, Piece):
            _fetch(run, job, abort)
            run.record_fetched(job)
        else:
            _prove(run, job, abort)
        settle(run, job.transfer)
    except Era5Error as error:
        stalled = isinstance(error, Interrupted) and error.stalled
        progressed = isinstance(job, Piece) and job.written > 0 and not stalled
        if isinstance(error, ObjectChanged):
            error = _confirmed(run, job.transfer, error, abort)
        attempt_failed(run, job, error, progressed=progressed)
    except Exception as bug:  # noqa: BLE001 - a bug costs this object, never the run
        log.exception("unexpected, while working on %s", job.transfer.obj.key)
        text = f"{job.transfer.obj.key}: internal error: {type(bug).__name__}: {redact_secrets(str(bug))[:200]}"
        attempt_failed(run, job, Era5Error(text), progressed=False)
    release_finished(run, job.transfer)


def _confirmed(run: Run, transfer: Transfer, error: ObjectChanged, abort: Abort) -> Era5Error:
    """What an answer that speaks of another version means: an answer to one range may come from a cache or a server
    that is behind, so the object itself is asked for its version."""
    try:
        fresh = run.bucket.head(transfer.obj.key, abort)
    except Era5Error as failure:
        return failure
    return _contradiction(str(error)) if same_version(fresh, transfer.obj) else error


def _contradiction(said: str) -> Contradiction:
    return Contradiction(f"{said}; but asked for its version, the server names the one that was planned")


def _open(run: Run, job: PrepareJob, abort: Abort) -> None:
    transfer = job.transfer
    index = transfer.index
    run.check_folder()
    if transfer.recheck_version or _is_doubtful(transfer.obj):
        fresh = run.bucket.head(transfer.obj.key, abort)
        if same_version(fresh, transfer.obj):
            if transfer.recheck_version:
                transfer.recheck_version = False
                raise _contradiction(transfer.reason)
        else:
            _refuse_too_large(run, transfer, fresh)
            if transfer.part is not None:
                transfer.part.discard()
            run.replace_version(transfer, fresh)
            transfer.recheck_version = False
    final, part = run.session.paths.final_and_part(index)
    transfer.final = final
    places = ObjectFiles(
        final=run.session.paths.place(final),
        part=run.session.paths.place(part),
        entry=claim(transfer) if transfer.done else run.entries.get(index),
        part_md5s=lambda: run.part_digests.find(transfer.obj),
        is_recorded=lambda: run.session.finished_by_others(transfer.obj),
    )
    policy = VerificationPolicy(run.settings.verify, run.etag_trust, run.part_sizes)
    proof = prepare_transfer(transfer, places, policy, abort, lambda: _stopped(run, transfer, abort))
    if proof is None and index in run.recheck and transfer.part is not None:
        transfer.part.keep_mismatch(final)  # an earlier run gave it this name, and it is not the server's
    if proof is None:
        retract_claims(run, transfer)
    run.record_prepared(job, proof)


def _stopped(run: Run, transfer: Transfer, abort: Abort) -> bool:
    """Asked between the parts of a long reading. Raises what `claims.ensure_held` raises, so that nothing is copied
    into a part file that is no longer ours."""
    run.session.claims.ensure_held(transfer.index)
    return bool(abort.why)


def _refuse_too_large(run: Run, transfer: Transfer, fresh: ObjectInfo) -> None:
    """Raise WillNotFit, for this object alone, when it has grown to more than the disk has room for."""
    if fresh.size <= transfer.obj.size:
        return
    with run.lock:
        others = run.counters.total_bytes - run.counters.done_bytes - (transfer.obj.size - transfer.counted_bytes)
    free = free_bytes(run.session.folder) - run.settings.disk_reserve
    room = free - others if others <= free else free  # that the others do not fit is not the fault of this one
    if fresh.size > room + transfer.counted_bytes:
        raise WillNotFit(
            f"{transfer.obj.key} has grown from {format_size(transfer.obj.size)} to {format_size(fresh.size)}, "
            f"but there is space for only {format_size(max(room, 0))} of it"
        )


def _is_doubtful(obj: ObjectInfo) -> bool:
    """Whether the plan says too little to rely on: that the object is empty, by a size alone, or no ETag, since some
    listings have none while the object's own answers do."""
    return not obj.etag or (obj.size == 0 and not proves_empty(obj))


def _fetch(run: Run, piece: Piece, abort: Abort) -> None:
    transfer = piece.transfer
    part = transfer.part
    assert part is not None
    run.check_folder()
    part.acquire()
    try:
        fetch(run.bucket, piece, abort, Intake(run), lambda: run.record_answer(piece))
        if (
            transfer.digest is not None
            and not transfer.complete
            and not (transfer.unverifiable and part.changed_by_others)
        ):
            with run.lock:
                available = transfer.done.copy()
            transfer.digest.hash_remaining(available, part.read, lambda: bool(abort.why))
    finally:
        part.release()


def _prove(run: Run, job: VerifyJob, abort: Abort) -> None:
    transfer = job.transfer
    assert transfer.part is not None
    if run.settings.read_back or transfer.part.changed_by_others:
        hash_from_disk(transfer)
    ask, stopped = lambda: run.part_sizes.query(transfer.obj, abort), lambda: _stopped(run, transfer, abort)
    found = verify_part_file(transfer, run.etag_trust, ask, stopped)
    if found is None:
        try:
            run.refetch(job)
        except ProofError:
            transfer.part.keep_mismatch(transfer.part.path)
            run.discard_bytes(transfer)
            raise
        return
    assert transfer.final is not None
    if len(found.part_md5s) > 1:
        with suppress(DiskError):  # without the record a later repair fetches more, that is all
            run.part_digests.record(transfer.obj, found.part_md5s)
    run.check_folder()
    run.session.claims.ensure_held(transfer.index)
    transfer.part.commit(transfer.final)
    with suppress(DiskError):  # it only takes room
        transfer.part.discard_mismatch()
    run.record_verified(job, found)
