"""One attempt at one piece: bytes from the bucket to their offsets in the part file, each counted by us.

Nothing is written that did not pass the headers' proof in `Bucket.open`, nothing beyond the piece's end (which another
worker may draw nearer while we read), and nothing that came after the attempt was aborted.  What came before a fault is
kept to the last byte.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Body, Bucket
from era5dl.engine.transfer import Piece
from era5dl.errors import Interrupted, Stopped

WRITE_SIZE = 1 << 20  # bytes gathered before they are written, so that TLS records of 16 KiB do not become writes
WRITE_EVERY = 0.05  # seconds after which what has come is written all the same; a kill costs what is not
FLOOR_WINDOW = 30.0  # seconds spent waiting for the network before the speed is judged
FLOOR_SPEED = 1024.0  # bytes per second; below that it is not a slow line but a dead one that twitches


class _Own(threading.local):
    """A buffer for each thread, as long as the thread lives. Made for every attempt anew, in as many sizes as there are
    pieces, they leave the heap in shreds, and a long run grows by tens of MB."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(WRITE_SIZE))


_own = _Own()


class Keeper(Protocol):
    """What an attempt needs from the run it belongs to."""

    def claim(self, piece: Piece, count: int) -> int:
        """Take the next `count` bytes of the piece for writing; fewer when its end has come nearer."""
        ...

    def unclaim(self, piece: Piece, count: int) -> None:
        """They could not be written."""
        ...

    def written(self, piece: Piece, start: int, count: int) -> None:
        """They are in the part file."""
        ...

    def is_sole(self, piece: Piece) -> bool:
        """The whole object comes in answer to this piece. Whether it is to bring all that is missing of the object;
        False when another one does, or has begun to bring bytes."""
        ...

    def next_gap(self, piece: Piece, at: int) -> bool:
        """Let the piece be the first missing bytes from `at` on; False when there are none."""
        ...

    def part_came(self, piece: Piece) -> None:
        """Of an object that came whole before, now a part has come as it was asked for."""
        ...

    def skipped(self, piece: Piece, count: int) -> None:
        """Bytes have come that are on disk already."""
        ...

    def portion(self) -> int:
        """How many bytes to gather before they are written; at most WRITE_SIZE."""
        ...

    def appetite(self) -> int:
        """How many bytes to read at most: few while the rate is limited, since what has been read cannot be slowed."""
        ...

    def received(self, count: int) -> float:
        """Bytes have come off the network; returns for how many seconds the rate limit wants us to wait."""
        ...

    def linger(self, seconds: float, abort: Abort) -> None:
        """Wait, but not beyond an abort or a new rate limit."""
        ...


def fetch(bucket: Bucket, piece: Piece, abort: Abort, keeper: Keeper, answered: Callable[[], None]) -> None:
    """Fetch the piece to its end. Raises the error that ended the attempt; the piece says how far it came.

    Where the whole object comes instead of a part of it, this one connection brings all that is missing of the object.
    answered: called once, when the bucket has answered with the right headers.
    """
    with bucket.open(piece.transfer.obj, piece.position, piece.stop, abort) as body:
        answered()
        attempt = _Attempt(body, piece, abort, keeper)
        if not body.whole:
            if piece.transfer.ranges_ignored:
                keeper.part_came(piece)
            attempt.take()
            return
        if not keeper.is_sole(piece):
            abort.trip("another connection brings the whole object")
            raise Stopped(abort.why)
        at = body.start
        while keeper.next_gap(piece, at):
            attempt.skip(piece.position - at)
            attempt.take()
            at = piece.position


class _Attempt:
    """One body and what becomes of its bytes."""

    def __init__(self, body: Body, piece: Piece, abort: Abort, keeper: Keeper) -> None:
        self._body, self._piece, self._abort, self._keeper = body, piece, abort, keeper
        self._floor = Floor()
        self._waited = 0.0  # seconds, for what came last

    def skip(self, count: int) -> None:
        """Read the next `count` bytes and forget them: they are on disk already."""
        while count:
            came = self._read(_own.buffer[: min(count, self._keeper.appetite())], count)
            self._keeper.skipped(self._piece, came)
            count -= came
            if pause := self._account(came):
                self._keeper.linger(pause, self._abort)

    def take(self) -> None:
        """Write what comes, up to the end of the piece."""
        piece, keeper = self._piece, self._keeper
        gathered = _own.buffer[: max(min(piece.remaining, keeper.portion()), 1)]
        count = 0  # bytes in `gathered`
        # The first bytes of a long piece are written at once: whoever watches sees that something comes.
        written_at = 0.0 if piece.remaining > len(gathered) else time.monotonic()
        try:
            while (missing := piece.remaining - count) > 0:
                # Never read beyond the end of the piece: where the whole object comes, those bytes would be dropped
                # uncounted, and all that follow would land at the wrong offset.
                came = self._read(gathered[count : count + min(keeper.appetite(), missing)], missing)
                count += came
                pause, now = self._account(came), time.monotonic()
                if pause or count == len(gathered) or now - written_at >= WRITE_EVERY:
                    _write(piece, gathered[:count], keeper)
                    count, written_at = 0, now
                if pause:
                    keeper.linger(pause, self._abort)
        finally:
            _write(piece, gathered[:count], keeper)

    def _read(self, view: memoryview, missing: int) -> int:
        """How many bytes have come, at least one. missing: how many are still to come."""
        asked_at = time.monotonic()
        came = self._body.readinto(view)
        self._waited = time.monotonic() - asked_at
        if self._abort.why:
            raise Stopped(self._abort.why)
        if not came:
            raise Interrupted(f"{self._piece.transfer.obj.key}: the connection ended {missing} bytes too early")
        return came

    def _account(self, came: int) -> float:
        """Tell whoever counts; seconds to wait before the next bytes."""
        pause = self._keeper.received(came)
        self._floor.judge(came, self._waited)
        return pause


class Floor:
    """A connection that drips can live for ever: each drop resets the socket's timeout. This ends it.

    Only time spent waiting for the network counts; the disk's, the rate limit's and a pause's do not.
    """

    def __init__(self) -> None:
        self._waited = 0.0
        self._count = 0

    def judge(self, count: int, waited: float) -> None:
        """`count` bytes came after `waited` seconds. Raise Interrupted when that was too little for too long: it counts
        as an attempt that brought nothing, else drops would keep an object under way for ever."""
        self._waited += waited
        self._count += count
        if self._waited >= FLOOR_WINDOW:
            if self._count < FLOOR_SPEED * self._waited:
                raise Interrupted(f"stalled: {self._count} bytes in {self._waited:.0f} s", stalled=True)
            self._waited, self._count = 0.0, 0


def _write(piece: Piece, gathered: memoryview, keeper: Keeper) -> None:
    """Put what was gathered into the part file; what lies beyond the end of the piece belongs to somebody else."""
    count = keeper.claim(piece, len(gathered))
    if not count:
        return
    start = piece.position - count
    transfer = piece.transfer
    assert transfer.part is not None
    data = gathered[:count]
    try:
        transfer.part.write(start, data)
    except BaseException:
        keeper.unclaim(piece, count)
        raise
    if transfer.digest is not None:
        transfer.digest.update(start, data)
    keeper.written(piece, start, count)
