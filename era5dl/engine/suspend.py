"""What makes every connection dead at once and can be seen without asking the network: sleep, and a lost address.

A dead connection shows nothing, each would take its timeout.  So when the computer has slept, or an address it spoke
from is no longer its own (another Wi-Fi, a cable pulled, a VPN gone), all of them are made anew at once.

The bucket's own addresses say nothing: Amazon's name servers give others every few seconds.  Each new connection looks
the name up afresh, so a changed answer needs no care but for connections kept idle, which
`era5dl.engine.maintenance` drops after a minute, and `era5dl.engine.failures` as soon as one of them turns out dead.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

SLEPT = 30.0  # seconds by which a clock has jumped when the computer was asleep
_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # addresses of nobody (RFC 5737, RFC 3849)


class Surroundings:
    """Compares what is with what was; one for each run."""

    def __init__(self) -> None:
        self._clocks = clocks()
        self._addresses = own_addresses()

    def news(self) -> str:
        """Why every connection is most likely dead since this was last asked; "" when there is no reason."""
        return self._slept() or self._moved()

    def _slept(self) -> str:
        before, self._clocks = self._clocks, clocks()
        elapsed = [now - then for now, then in zip(self._clocks, before, strict=True)]
        jump = max(elapsed) if max(elapsed) > SLEPT else abs(elapsed[1] - elapsed[0])
        return f"the clocks jumped by {jump:.0f} s" if jump > SLEPT else ""

    def _moved(self) -> str:
        before, self._addresses = self._addresses, own_addresses()
        gone = [address for address in before if address not in self._addresses and not is_ours(address)]
        return f"the address {gone[0]} is no longer this computer's" if gone else ""


def clocks() -> tuple[float, float]:
    """One that stops while the computer sleeps, and one that does not. On Linux neither minds when the time is set;
    elsewhere setting it by more than SLEPT looks like a sleep, and costs some connections."""
    awake = time.monotonic()
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return awake, time.time() if boot is None else time.clock_gettime(boot)


def own_addresses() -> tuple[str, ...]:
    """The addresses from which this computer speaks to the world, as its routes are now. Sends nothing."""
    found = []
    for family, far in _FAR:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)


def is_ours(address: str) -> bool:
    """Whether this computer has this address: what is bound to another one has lost its way back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
