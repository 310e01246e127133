"""What is the matter, concluded from figures by rules. Pure: figures in, findings out; words are the faces' business.

In this order, the weightiest first; all that hold are told, and one of the last three when nothing else does.
A finding claims what was measured and no more: how fast one connection is alone, only a network test tells that ran
while nothing was downloaded. Without it nobody knows whether a line is full.

finding               | holds when
----------------------|---------------------------------------------------------------------------------------------
CLOCK_WRONG           | the clock is more than 5 min away from the server's
CERTIFICATE_REPLACED  | the test ended at the certificate, or a run met one it could not trust
PROXY_ANSWERS         | HTTP 3xx but 301, 407 or 511 to a listing, or 2 answers and 5 % of a run were not what was asked
RANGES_IGNORED        | 2 answers and 5 % of a run were a whole object where a part of it was asked for
REFUSES               | HTTP 301 or any other 4xx or 5xx to a listing
OFFLINE               | the test ended at DNS or the connection, or all that a run got was "unreachable"
NO_ANSWER             | the test ended at TLS or the answer
DNS_SLOW              | a name took longer than 1 s
THROTTLED             | the server asked a run to slow down, 2 times and 2 % of the requests
IDLE_DROPPED          | 3 connections and 2 % of the requests found their kept connection dead
UNSTEADY              | 5 % of the probes were lost, or 5 answers and 5 % broke off
ONE_BAD_CONNECTION    | of 4 or more connections, one brings less than a quarter of what the middle one brings
RATE_LIMITED          | a run reaches 90 % of the limit that was set
DISK_BOUND            | without a limit, a run spends 60 % of its time between reads: writing, proving
LINK_BOUND            | a run spends 60 % waiting for bytes, and 2 or more connections bring little more than one alone
MORE_WORKERS          | a run spends 60 % waiting for bytes, and each connection brings about what one alone brings
NETWORK_BOUND         | a run spends 60 % waiting for bytes, and neither of these was measured
FAR_AWAY              | the first byte takes longer than 0.15 s, and no run is there to say more
FINE                  | something was measured
UNKNOWN               | nothing was
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING

from era5dl.diagnosis.metrics import Sample

if TYPE_CHECKING:
    from era5dl.diagnosis.network_test import Diagnosis

RECENT = 300.0  # seconds of the past that findings are about


class Finding(Enum):
    """What is the matter, the weightiest first."""

    CLOCK_WRONG = "clock wrong"
    CERTIFICATE_REPLACED = "certificate replaced"
    PROXY_ANSWERS = "proxy or portal answers"
    RANGES_IGNORED = "a proxy ignores Range requests"
    REFUSES = "the server refuses"
    OFFLINE = "offline"
    NO_ANSWER = "no answer"
    DNS_SLOW = "DNS slow"
    THROTTLED = "throttled"
    IDLE_DROPPED = "idle connections dropped"
    UNSTEADY = "unsteady"
    ONE_BAD_CONNECTION = "one bad connection"
    RATE_LIMITED = "rate-limited by the user"
    DISK_BOUND = "disk-bound"
    LINK_BOUND = "link-bound"
    MORE_WORKERS = "more workers can help"
    NETWORK_BOUND = "waits for the network"
    FAR_AWAY = "far away"
    FINE = "fine"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a network test and the last minutes of a run say. Seconds, bytes per second, shares from 0 to 1.

    answers, whole, faults (by the name of their class in `era5dl.errors`), waited, busy: of the last minutes only.
    """

    # of the network test
    failed_step: str = ""
    status: int | None = None
    clock_ahead: float | None = None
    dns_seconds: float | None = None
    first_byte: float | None = None
    loss: float = 0.0
    one_connection: float | None = None  # speed, while nothing else was fetched
    # of the run
    answers: int = 0
    whole: int = 0  # answers that were a whole object where a part was asked for
    faults: Mapping[str, int] = field(default_factory=dict)
    waited: float = 0.0
    busy: float = 0.0
    speed: float = 0.0
    speeds: Sequence[float] = ()  # of each connection
    in_flight: float = 0.0
    rate_limit: int | None = None

    @property
    def requests(self) -> int:
        """Answered or not."""
        return self.answers + sum(self.faults.values())

    def often(self, fault: str, least: int, share: float) -> bool:
        """This fault came at least so many times, and in at least this share of the requests."""
        times = self.faults.get(fault, 0)
        return times >= least and times >= share * self.requests

    def share_waited(self) -> float | None:
        """The share of the time that went into waiting for bytes; None while too little of it has passed."""
        spent = self.waited + self.busy
        return self.waited / spent if spent >= 5.0 else None


def judge(figures: Figures) -> tuple[Finding, ...]:
    """All findings that hold, the weightiest first; never empty."""
    found = tuple(finding for finding, holds in _RULES.items() if holds(figures))
    if found:
        return found
    if figures.requests or figures.status is not None:
        return (Finding.FAR_AWAY,) if _far_away(figures) else (Finding.FINE,)
    return (Finding.UNKNOWN,)


def figures_of(samples: Sequence[Sample], seconds: float = RECENT) -> Figures:
    """The run's half of the figures, from the last `seconds` of the gauges."""
    if not samples:
        return Figures()
    recent = [sample for sample in samples if samples[-1].at - sample.at <= seconds]
    running = [sample for sample in recent if sample.running]
    last, first = recent[-1].traffic, recent[0].traffic
    if last is None or first is None or not running:
        return Figures()
    began_within = len(recent) == len(samples) or recent[0].at - samples[0].at < 1e-9
    faults = {name: number - (0 if began_within else first.faults.get(name, 0)) for name, number in last.faults.items()}
    return Figures(
        answers=last.answers - (0 if began_within else first.answers),
        whole=last.whole - (0 if began_within else first.whole),
        faults={name: number for name, number in faults.items() if number > 0},
        waited=last.waited - (0.0 if began_within else first.waited),
        busy=last.busy - (0.0 if began_within else first.busy),
        speed=median(sample.speed for sample in running[-15:]),
        speeds=last.speeds,
        in_flight=median(sample.in_flight for sample in running[-15:]),
        rate_limit=running[-1].rate_limit,
    )


def with_test(figures: Figures, diagnosis: Diagnosis | None, *, alone: bool = True) -> Figures:
    """The figures of a run, completed by those of a network test.

    alone: nothing was downloaded while it ran. Beside a download, one connection only gets its share of the line.
    """
    if diagnosis is None:
        return figures
    losses = [timing.loss for timing in (diagnosis.connect, diagnosis.first_byte) if timing is not None]
    return replace(
        figures,
        failed_step=diagnosis.failed_step,
        status=diagnosis.status,
        clock_ahead=diagnosis.clock_ahead,
        dns_seconds=diagnosis.dns_seconds,
        first_byte=diagnosis.first_byte.mean if diagnosis.first_byte else None,
        loss=max(losses, default=0.0),
        one_connection=diagnosis.throughput if alone else None,
    )


def _clock_wrong(figures: Figures) -> bool:
    return figures.clock_ahead is not None and abs(figures.clock_ahead) > 300


def _certificate_replaced(figures: Figures) -> bool:
    return figures.failed_step == "certificate" or bool(figures.faults.get("Untrusted"))


def _proxy_answers(figures: Figures) -> bool:
    return _from_between(figures.status) or figures.often("BadResponse", 2, 0.05)


def _from_between(status: int | None) -> bool:
    """What S3 does not say; it says 301 to whoever asks for a bucket in the wrong region."""
    return status is not None and (300 <= status < 400 or status in (407, 511)) and status != 301


def _refuses(figures: Figures) -> bool:
    return figures.status is not None and figures.status >= 300 and not _from_between(figures.status)


def _offline(figures: Figures) -> bool:
    return figures.failed_step in ("dns", "connect", "proxy") or (
        not figures.answers and bool(figures.faults.get("Unreachable"))
    )


def _unsteady(figures: Figures) -> bool:
    return figures.loss > 0.05 or figures.often("Interrupted", 5, 0.05)


def _one_bad_connection(figures: Figures) -> bool:
    speeds = sorted(figures.speeds)
    if len(speeds) < 4:
        return False
    middle = median(speeds)
    slow = sum(speed < middle / 4 for speed in speeds)
    return 1 <= slow <= max(1, len(speeds) // 4)


def _rate_limited(figures: Figures) -> bool:
    return bool(figures.rate_limit) and figures.speed >= 0.9 * (figures.rate_limit or 0)


def _disk_bound(figures: Figures) -> bool:
    share = figures.share_waited()
    return share is not None and share <= 0.4 and not figures.rate_limit


def _waits(figures: Figures) -> bool:
    share = figures.share_waited()
    return share is not None and share >= 0.6 and figures.speed > 0 and not _rate_limited(figures)


def _link_bound(figures: Figures) -> bool:
    """Many connections bring little more than one: what limits them is what they share."""
    one = figures.one_connection
    return _waits(figures) and one is not None and figures.in_flight >= 2 and figures.speed < 1.5 * one


def _more_workers(figures: Figures) -> bool:
    return _waits(figures) and _scales(figures)


def _network_bound(figures: Figures) -> bool:
    return _waits(figures) and not _link_bound(figures) and not _scales(figures)


def _scales(figures: Figures) -> bool:
    """Many connections bring much more than one: the line has room for still more."""
    one = figures.one_connection
    return one is not None and figures.speed >= 1.5 * one and figures.speed >= 0.6 * one * figures.in_flight


def _far_away(figures: Figures) -> bool:
    return figures.first_byte is not None and figures.first_byte > 0.15


_RULES: dict[Finding, Callable[[Figures], bool]] = {
    Finding.CLOCK_WRONG: _clock_wrong,
    Finding.CERTIFICATE_REPLACED: _certificate_replaced,
    Finding.PROXY_ANSWERS: _proxy_answers,
    Finding.RANGES_IGNORED: lambda figures: figures.whole >= 2 and figures.whole >= 0.05 * figures.requests,
    Finding.REFUSES: _refuses,
    Finding.OFFLINE: _offline,
    Finding.NO_ANSWER: lambda figures: figures.failed_step in ("tls", "answer"),
    Finding.DNS_SLOW: lambda figures: (figures.dns_seconds or 0.0) > 1.0,
    Finding.THROTTLED: lambda figures: figures.often("ServerBusy", 2, 0.02),
    Finding.IDLE_DROPPED: lambda figures: figures.often("StaleConnection", 3, 0.02),
    Finding.UNSTEADY: _unsteady,
    Finding.ONE_BAD_CONNECTION: _one_bad_connection,
    Finding.RATE_LIMITED: _rate_limited,
    Finding.DISK_BOUND: _disk_bound,
    Finding.LINK_BOUND: _link_bound,
    Finding.MORE_WORKERS: _more_workers,
    Finding.NETWORK_BOUND: _network_bound,
}
