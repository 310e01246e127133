"""Work stealing: an idle worker takes over the end of a piece that another connection is fetching. Pure functions.

At the end of a run there are fewer unassigned ranges than workers. Then the piece with the longest remaining time is
split, so that both connections finish at the same time. If its connection has almost stalled, the idle worker takes all
remaining bytes, and that connection is closed.

If round trips are long, a new request needs several of them before it is as fast as the other connection. If this were
ignored, idle workers would split pieces repeatedly, and each piece would end before its connection is fast.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from era5dl.engine.transfer import Piece

MIB = 1 << 20
MIN_STEAL = MIB // 16  # bytes; fewer are not worth a request
MIN_GAIN = 0.5  # seconds that a split must save: it costs a request, and the connection of the split piece
STALLED_SPEED = 1024.0  # bytes per second; a slower connection counts as stalled
# After this number of stalled connections in a row for the same bytes, the next one is not replaced: it must end with
# its own error, and so count as a failed attempt.
MAX_SUPERSEDED = 2
# Seconds before a connection is replaced if the new one has to fetch the whole object again (ranges are ignored)
WHOLE_OBJECT_GRACE = 5.0
# Bytes; if round trips are long, a piece of this size is halved before the speed of any connection is known
MIN_UNKNOWN = 16 * MIB
RECENT = 4.0  # seconds over which the speed is measured; short, since packet loss reduces the speed for a long time
SPEED_GRACE = 1.0  # seconds before the measured speed of a connection is used; at least SPEED_GRACE_TRIPS round trips
SPEED_GRACE_TRIPS = 7
START_TRIPS = 4  # round trips that a new request costs, for connecting, the response and the slow start of TCP


class Split(NamedTuple):
    """Proposal to split a piece: a new piece gets the bytes from `position` to the end of `piece`.

    failures: initial value of `Piece.failures` of the new piece.
    """

    piece: Piece
    position: int
    failures: int


def best_split(active: Iterable[Piece], typical_speed: float, now: float, round_trip: float = 0.0) -> Split | None:
    """Return how to split the piece with the longest remaining time; None if no split saves enough time.

    typical_speed: bytes per second of recent connections; 0 if unknown. round_trip: seconds; 0 if unknown.
    """
    grace = max(SPEED_GRACE, SPEED_GRACE_TRIPS * round_trip)
    candidates = [piece for piece in active if _may_be_split(piece, typical_speed, now, grace)]
    remaining = {piece: (_seconds_remaining(piece, typical_speed, now, grace), piece.remaining) for piece in candidates}
    slowest = max(remaining, key=remaining.__getitem__, default=None)
    if slowest is None:
        return None
    seconds, count = remaining[slowest]
    if not seconds:  # all have just started; with long round trips, new workers would wait long for a measured speed
        is_large = grace > SPEED_GRACE and count >= MIN_UNKNOWN
        return Split(slowest, slowest.position + count // 2, 0) if is_large else None
    speed = slowest.remaining / seconds if seconds else 0.0
    delay = START_TRIPS * round_trip
    kept = _bytes_kept(slowest, speed, typical_speed, delay)
    taken = slowest.remaining - kept
    gain = seconds - max(kept / max(speed, 1.0), delay + taken / max(typical_speed, speed, 1.0))
    if taken < MIN_STEAL or gain < MIN_GAIN:
        return None
    stalled = speed < STALLED_SPEED
    return Split(slowest, slowest.position + kept, slowest.failures + (not kept) if stalled else 0)


def _may_be_split(piece: Piece, typical_speed: float, now: float, grace: float) -> bool:
    if piece.transfer.withdrawn:
        return False
    if piece.failures >= MAX_SUPERSEDED and piece.speed(now) < STALLED_SPEED:
        return False
    return not piece.transfer.ranges_ignored or _is_worth_restarting(piece, typical_speed, now, grace)


def _bytes_kept(piece: Piece, speed: float, typical_speed: float, delay: float) -> int:
    """Return how many bytes the piece keeps, so that its connection and a new one, which reaches the typical speed
    after `delay` seconds, finish together."""
    if piece.transfer.ranges_ignored:
        return 0
    if not typical_speed or speed <= 1.0:  # a connection without any bytes keeps half, to end with its own timeout
        return piece.remaining // 2
    kept = min(piece.remaining, int((piece.remaining + delay * typical_speed) * speed / (speed + typical_speed)))
    return kept if kept >= MIN_STEAL else 0


def _is_worth_restarting(piece: Piece, typical_speed: float, now: float, grace: float) -> bool:
    """Whether fetching the whole object again would take less than half of the remaining time of the piece."""
    again = piece.transfer.obj.size / typical_speed if typical_speed else inf
    seconds = _seconds_remaining(piece, typical_speed, now, grace)
    return now - piece.started >= WHOLE_OBJECT_GRACE and again < seconds / 2


def _seconds_remaining(piece: Piece, typical_speed: float, now: float, grace: float) -> float:
    """Return the remaining time of the piece. A connection that has just started is assumed to have the typical speed;
    0.0 if that is unknown."""
    if now - piece.started < grace:
        return piece.remaining / typical_speed if typical_speed else 0.0
    return piece.remaining / max(piece.speed(now, RECENT), 1.0)
