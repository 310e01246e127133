"""Connection monitor: renews connections after a suspend or an address change, drops idle ones, replaces slow ones.

A dead connection cannot be recognized and would fail only after its whole timeout. So all connections are renewed at
once after a suspend, or when a local address has disappeared (another Wi-Fi network, a cable unplugged, a VPN closed).

Changes of the bucket's addresses are not monitored: Amazon's name servers return other addresses every few seconds.
Each new connection resolves the name again, so only idle connections could use an old address. They are dropped after a
minute without a byte, and by `era5dl.engine.failures` as soon as one of them turns out to be dead.
"""

from __future__ import annotations

import logging
import socket
import statistics
import time
from contextlib import suppress
from itertools import chain

from era5dl.engine.run_state import RunState
from era5dl.engine.transfer import Piece
from era5dl.errors import OutOfThreads

log = logging.getLogger("era5dl")

CLOCK_JUMP = 30.0  # seconds; a larger difference between the clocks counts as a suspend
IDLE_AFTER = 60.0  # seconds without a byte after which idle connections are dropped: routers forget them
HEALTH_CHECK_EVERY = 600.0  # seconds without a byte after which the bucket is probed
SLOW_AFTER = 15.0  # seconds before the speed of a connection is judged
SLOW_SHARE = 0.25  # of the median speed of the other connections; a slower connection is replaced
REPLACE_EVERY = 5.0  # seconds; at most one connection is replaced in this time
_REMOTE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # unused addresses (RFC 5737, RFC 3849)


class ConnectionMonitor:
    """Monitors the connections of one run. Called regularly by the maintenance thread, without the lock."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._suspend_detector = SuspendDetector()
        self._fetched = 0  # bytes at the previous call
        self._idle_since = self._probed_at = self._replaced_at = time.monotonic()

    def check(self, now: float) -> None:
        """Renew, drop or replace connections if necessary. now: `time.monotonic()`."""
        self._renew_after_suspend()
        self._check_idle(now)
        self._replace_slow(now)

    def _renew_after_suspend(self) -> None:
        why = self._suspend_detector.check()
        if why:
            log.info("%s: all connections are renewed", why)
            self._run.bucket.drop_idle_connections()
            with self._run.locked():
                self._run.abort_all_locked(why)

    def _check_idle(self, now: float) -> None:
        """While no bytes arrive, because the run is paused, waits for the disk or verifies files: drop idle
        connections, and probe the bucket from time to time, so that the displayed state of the network is correct."""
        run = self._run
        if run.counters.fetched_bytes != self._fetched:
            self._fetched = run.counters.fetched_bytes
            self._idle_since = self._probed_at = now
        if now - self._idle_since >= IDLE_AFTER:
            self._idle_since = now
            run.bucket.drop_idle_connections()
        if now - self._probed_at >= HEALTH_CHECK_EVERY:
            self._probed_at = now
            with run.lock:
                index = next(chain(run.scheduler.transfers, run.scheduler.queue, run.held), None)
                if index is not None and not run.is_over:
                    with suppress(OutOfThreads):  # not urgent
                        run.outage.probe(run.object(index).key)

    def _replace_slow(self, now: float) -> None:
        """Abort a request that is far slower than the others; its piece continues over another connection."""
        run = self._run
        if run.rate_limit.rate or now - self._replaced_at < REPLACE_EVERY:
            return
        with run.lock:
            pieces = (p for p in run.scheduler.active_pieces if now - p.started >= SLOW_AFTER)
            # If the server ignores ranges, a new request would start at the first byte again.
            speeds = {p: p.speed(now) for p in pieces if not p.transfer.ranges_ignored}
            slow = slow_piece(speeds)
            if slow is not None and slow in run.aborts:
                self._replaced_at = now
                run.aborts[slow].trigger("far slower than the other connections")


def slow_piece(speeds: dict[Piece, float]) -> Piece | None:
    """Return the slowest piece if it is far slower than the others; None if not, or if there are fewer than three."""
    if len(speeds) < 3:
        return None
    slowest = min(speeds, key=lambda piece: speeds[piece])
    others = statistics.median(speed for piece, speed in speeds.items() if piece is not slowest)
    return slowest if speeds[slowest] < SLOW_SHARE * others else None


class SuspendDetector:
    """Compares clocks and local addresses with those of the previous check. One per run."""

    def __init__(self) -> None:
        self._clocks = clocks()
        self._addresses = local_addresses()

    def check(self) -> str:
        """Return why connections opened before the previous call are probably dead; "" if there is no reason."""
        return self._clock_jump() or self._lost_address()

    def _clock_jump(self) -> str:
        before, self._clocks = self._clocks, clocks()
        elapsed = [now - then for now, then in zip(self._clocks, before, strict=True)]
        jump = max(elapsed) if max(elapsed) > CLOCK_JUMP else abs(elapsed[1] - elapsed[0])
        return f"the clocks jumped by {jump:.0f} s" if jump > CLOCK_JUMP else ""

    def _lost_address(self) -> str:
        before, self._addresses = self._addresses, local_addresses()
        gone = [address for address in before if address not in self._addresses and not is_local(address)]
        return f"the address {gone[0]} is no longer this computer's" if gone else ""


def clocks() -> tuple[float, float]:
    """Return a clock that stops during a suspend, and one that does not.

    Setting the system time affects neither of them on Linux. On other systems a change by more than CLOCK_JUMP looks
    like a suspend; the engine then drops some connections for nothing.
    """
    awake = time.monotonic()
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return awake, time.time() if boot is None else time.clock_gettime(boot)


def local_addresses() -> tuple[str, ...]:
    """Return the local addresses that connections to remote hosts would currently use. Sends no packet."""
    found = []
    for family, remote in _REMOTE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)


def is_local(address: str) -> bool:
    """Whether this computer has this address. Connections from an address that it no longer has are dead."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
