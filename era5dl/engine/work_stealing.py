"""Work stealing: what an idle worker takes over from a connection that is still fetching. Pure functions.

At the end of a run there are fewer missing ranges than workers. An idle worker then takes the end of the piece that
would take longest, so much of it that both finish at the same time. From a connection that is almost stalled it takes
everything, and that connection is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from era5dl.engine.transfer import Piece

MIB = 1 << 20
MIN_STEAL = MIB // 16  # bytes; less is not worth a request
MIN_GAIN = 0.5  # seconds that splitting must save: it costs the connection of the split piece, and a new request
STALLED_SPEED = 1024.0  # bytes per second; a slower connection counts as stalled
MAX_SUPERSEDED = 2  # stalled connections in a row replaced for the same bytes; the next one must end with its own error
WHOLE_OBJECT_GRACE = (
    5.0  # seconds before a connection is replaced whose replacement starts the object from its beginning
)
SPEED_GRACE = 1.0  # seconds before the measured speed of a connection is used


class Split(NamedTuple):
    """A new piece begins at `position` of `piece` and gets the rest of it. failures: of the new piece."""

    piece: Piece
    position: int
    failures: int


def best_split(active: Iterable[Piece], typical_speed: float, now: float) -> Split | None:
    """Return how to share the piece that takes longest, or None when nothing is gained by it.

    typical_speed: bytes per second of recent connections; 0 when unknown.
    """
    candidates = [piece for piece in active if _may_be_split(piece, typical_speed, now)]
    slowest = max(candidates, key=lambda piece: _seconds_remaining(piece, typical_speed, now), default=None)
    if slowest is None:
        return None
    seconds = _seconds_remaining(slowest, typical_speed, now)
    speed = slowest.remaining / seconds if seconds else 0.0
    kept = _bytes_kept(slowest, speed, typical_speed)
    taken = slowest.remaining - kept
    gain = seconds - max(kept / max(speed, 1.0), taken / max(typical_speed, speed, 1.0))
    if taken < MIN_STEAL or gain < MIN_GAIN:
        return None
    stalled = speed < STALLED_SPEED
    return Split(slowest, slowest.position + kept, slowest.failures + (not kept) if stalled else 0)


def _may_be_split(piece: Piece, typical_speed: float, now: float) -> bool:
    if piece.transfer.withdrawn:
        return False
    if piece.failures >= MAX_SUPERSEDED and piece.speed(now) < STALLED_SPEED:
        return False
    return not piece.transfer.ranges_ignored or _is_worth_restarting(piece, typical_speed, now)


def _bytes_kept(piece: Piece, speed: float, typical_speed: float) -> int:
    """Return how many bytes the piece keeps so that its connection and a new one of typical speed end together."""
    if piece.transfer.ranges_ignored:
        return 0
    if not typical_speed or speed <= 1.0:  # one without any bytes keeps half: its timeout tells what is wrong
        return piece.remaining // 2
    kept = int(piece.remaining * speed / (speed + typical_speed))
    return kept if kept >= MIN_STEAL else 0


def _is_worth_restarting(piece: Piece, typical_speed: float, now: float) -> bool:
    """Whether fetching the whole object again takes less than half the time that the rest of the piece takes."""
    again = piece.transfer.obj.size / typical_speed if typical_speed else inf
    return now - piece.started >= WHOLE_OBJECT_GRACE and again < _seconds_remaining(piece, typical_speed, now) / 2


def _seconds_remaining(piece: Piece, typical_speed: float, now: float) -> float:
    """Return the time the piece still takes. A connection that has just started is assumed to be a typical one; 0.0
    when nothing is known about it."""
    if now - piece.started < SPEED_GRACE:
        return piece.remaining / typical_speed if typical_speed else 0.0
    return piece.remaining / max(piece.speed(now), 1.0)
