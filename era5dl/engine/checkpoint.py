"""What the resume file may claim of a run: bytes that are on the disk itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.engine.transfer import Transfer
from era5dl.session.checkpoint import Checkpoint, Unfinished

if TYPE_CHECKING:
    from era5dl.engine.run import Run


def claims_of(run: Run) -> Checkpoint:
    """Under the run's lock: the claims. What was not synced before is not claimed."""
    unfinished = [found for t in run.scheduler.transfers.values() if t.prepared and (found := claim(t)).done]
    unfinished += run.entries.values()
    return Checkpoint(
        verified=run.verified.copy(),
        checked=run.checked.copy(),
        unfinished=tuple(unfinished),
        failures=tuple(run.failures),
        replaced=dict(run.replaced),
        done_bytes=run.counters.done_bytes,
        ended=not run.error and not run.stopping and run.is_over,
    )


def save_claims(run: Run) -> Checkpoint:
    """Write the resume file; returns what it says now. Without the run's lock. Raises what `Session.save` raises."""
    with run.save_lock:
        with run.lock:
            checkpoint = claims_of(run)
        run.session.save(checkpoint)
    return checkpoint


def retract_claims(run: Run, transfer: Transfer) -> None:
    """Before the first byte is written into a part file: take back what the resume file says of it and is not there,
    since it was begun anew. Were the program killed then, the next one would take holes for bytes, and without an MD5
    nothing would show it. Raises what `Session.save` raises.
    """
    index = transfer.index
    spans = (span for entry in run.session.checkpoint.unfinished if entry.index == index for span in entry.done)
    if transfer.digest is not None or all(transfer.done.covers(*span) for span in spans):
        return
    with run.lock:
        run.entries[index] = claim(transfer)
    for _generation in range(2):
        save_claims(run)


def claim(transfer: Transfer) -> Unfinished:
    """What is there of one object: on the disk itself, for what was written since the last sync may be lost."""
    digest = transfer.digest
    done = tuple(transfer.part.synced(transfer.done) if transfer.part is not None else transfer.done)
    if digest is None or not (transfer.multipart or transfer.unverifiable):
        return Unfinished(transfer.index, done)
    return Unfinished(transfer.index, done, {**transfer.recorded_md5s, **digest.part_md5s()}, digest.parts[0][1])


def claimed(claim: Unfinished | None) -> int:
    """Bytes that a claim is about."""
    return sum(stop - start for start, stop in claim.done) if claim else 0
