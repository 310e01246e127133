"""What the resume file may claim of a run, once the part files it speaks of are synced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.engine.transfer import Transfer
from era5dl.session.checkpoint import Checkpoint, Unfinished

if TYPE_CHECKING:
    from era5dl.engine.run import Run


def claims_of(run: Run) -> tuple[Checkpoint, list[Transfer]]:
    """Under the run's lock: the claims, and the transfers whose part files must be synced before they are written."""
    transfers = [t for t in run.scheduler.open.values() if t.opened]
    unfinished = [claim(t) for t in transfers if t.done]
    unfinished += run.claims.values()
    return Checkpoint(
        verified=run.verified.copy(),
        checked=run.checked.copy(),
        unfinished=tuple(unfinished),
        failures=tuple(run.failures),
        replaced=dict(run.replaced),
        done_bytes=run.ledger.done_bytes,
        ended=not run.error and not run.stopping and run.over,
    ), transfers


def claim(transfer: Transfer) -> Unfinished:
    """What is there of one object."""
    digest, done = transfer.digest, tuple(transfer.done)
    if digest is None or not transfer.multipart:
        return Unfinished(transfer.index, done)
    return Unfinished(transfer.index, done, {**transfer.recorded, **digest.whole_parts()}, digest.parts[0][1])


def claimed(claim: Unfinished | None) -> int:
    """Bytes that a claim is about."""
    return sum(stop - start for start, stop in claim.done) if claim else 0
