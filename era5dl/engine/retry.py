"""When an attempt has failed: what to do about it, and after how long. The one owner of retries, and pure arithmetic.

What is counted are *barren* attempts, those that brought no new byte: a file of 10 GB over a bad line may need a
hundred attempts, and as long as each one brings bytes it is on its way.  Waiting uses full jitter (a uniform draw below
the exponential), since workers that failed together would come back together under anything narrower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from era5dl.errors import Era5Error, Reaction, ServerBusy

BASE = 1.0  # seconds; doubles with each barren attempt
CAP = 60.0
THROTTLE_BASE = 2.0  # a server that is busy now is still busy in 100 ms
DOUBTS = 3  # attempts more where an object is refused
NETWORK_CAP = 10.0  # between tries to connect, which cost no budget

Draw = Callable[[float, float], float]
"""`random.uniform`, or what a test puts in its place."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens next. delay: seconds before the next attempt. barren: attempts in a row without a new byte."""

    reaction: Reaction
    delay: float
    barren: int

    @property
    def again(self) -> bool:
        """Whether there is a next attempt."""
        return self.reaction not in (Reaction.FAIL_OBJECT, Reaction.FAIL_SESSION, Reaction.STOP)


def decide(
    error: Era5Error, *, progressed: bool, barren: int, retries: int, draw: Draw, doubts: int = DOUBTS
) -> Decision:
    """
    error's reaction    this attempt brought bytes        it brought none
    RETRY               again at once                     backoff, costs budget
    RETRY_ONCE          again at once                     the first time at once, then like BACKOFF
    BACKOFF             backoff, the budget starts anew   backoff, costs budget
    DOUBT               the same, but the budget is at most `doubts`
    THROTTLE            the same, but never less than Retry-After
    WAIT_FOR_NETWORK    a short backoff, costs nothing
    PAUSE               again when the cause is gone, costs nothing
    RESTART             at once, with the new version (the caller counts restarts)
    REOPEN              at once, from what is on the disk (`engine.disk` counts)
    YIELD               when another session has done with the object, costs nothing
    FAIL_*, STOP        no more

    progressed: this attempt brought new bytes. barren: attempts before this one, in a row, that did not.
    retries: barren attempts after the first that are allowed before the object has failed.
    """
    reaction = error.reaction
    if reaction in (Reaction.FAIL_OBJECT, Reaction.FAIL_SESSION, Reaction.STOP):
        return Decision(reaction, 0.0, barren)
    if reaction in (Reaction.PAUSE, Reaction.RESTART, Reaction.REOPEN, Reaction.YIELD):
        return Decision(reaction, 0.0, barren)
    if reaction is Reaction.WAIT_FOR_NETWORK:
        return Decision(reaction, draw(0.0, NETWORK_CAP) if barren else draw(0.0, BASE), barren)

    barren = 0 if progressed else barren + 1
    if barren > (min(doubts, retries) if reaction is Reaction.DOUBT else retries):
        return Decision(Reaction.FAIL_OBJECT, 0.0, barren)
    if barren <= (1 if reaction is Reaction.RETRY_ONCE else 0) and reaction in (Reaction.RETRY, Reaction.RETRY_ONCE):
        return Decision(reaction, 0.0, barren)
    delay = draw(0.0, longest_delay(barren, THROTTLE_BASE if reaction is Reaction.THROTTLE else BASE))
    if isinstance(error, ServerBusy) and error.retry_after:
        delay += error.retry_after  # on top of it: all workers were told the same moment
    return Decision(reaction, delay, barren)


def longest_delay(barren: int, base: float | None = None) -> float:
    """Seconds: the exponential, below which a delay is drawn after so many barren attempts in a row."""
    return min(CAP, (BASE if base is None else base) * 2.0 ** max(barren - 1, 0))
