"""Diagnosis rules: conclusions from the measurements of a run and of a network test. Pure functions, no user texts.

The table lists the rules in order of importance. Every rule that holds is reported. One of the last three is reported
if no other rule holds. A diagnosis is based only on measurements. In particular, the speed of a single connection is
known only from a network test that ran while nothing was downloaded; without it, it is not known whether the network
connection is fully used.

diagnosis             | holds when
----------------------|---------------------------------------------------------------------------------------------
CLOCK_WRONG           | the clock differs from the server's by more than 5 min
CERTIFICATE_REPLACED  | the network test failed at the certificate, or a run got a certificate that it does not trust
PROXY_ANSWERS         | a listing got HTTP 3xx (except 301), 407 or 511, or 2 and 5 % of a run's responses were invalid
RANGES_IGNORED        | 2 responses and 5 % of a run were a whole object although a part was requested
REFUSES               | a listing got HTTP 301 or any other 4xx or 5xx
OFFLINE               | the network test failed at DNS or the connection, or all requests of a run were "unreachable"
NO_ANSWER             | the network test failed at TLS or the response
DNS_SLOW              | resolving the name took longer than 1 s
THROTTLED             | the server throttled a run, 2 times and 2 % of the requests
IDLE_DROPPED          | 3 requests and 2 % found their kept-alive connection dead
UNSTEADY              | 5 % of the probes were lost, or 5 responses and 5 % were interrupted
ONE_BAD_CONNECTION    | of 4 or more connections, one has less than a quarter of the median speed
RATE_LIMITED          | a run reaches 90 % of the rate limit
DISK_BOUND            | without a rate limit, a run spends 60 % of its time between reads: writing, hashing
LINK_BOUND            | a run waits for bytes 60 % of the time, and 2 or more connections are little faster than one;
                      | automatic concurrency: it waits, and more connections were tried and brought no more speed
MORE_WORKERS          | a run waits for bytes 60 % of the time, and each connection is about as fast as one;
                      | automatic concurrency: it waits, and would use more connections if it were allowed to
NETWORK_BOUND         | a run waits for bytes 60 % of the time, and neither of these two was measured
FAR_AWAY              | the first byte takes longer than 0.15 s
FINE                  | something was measured
UNKNOWN               | nothing was measured
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING

from era5dl.diagnosis.metrics import Sample
from era5dl.engine.concurrency import Reason

if TYPE_CHECKING:
    from era5dl.diagnosis.network_test import NetworkTest

RECENT = 300.0  # seconds before the newest sample that are taken into account


class Diagnosis(Enum):
    """Causes that slow down or prevent a download, the most important first."""

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
class Measurements:
    """Results of a network test and of the last minutes of a run. Seconds, bytes per second, shares from 0 to 1.

    answers, whole, faults (by class name in `era5dl.errors`), waited and busy cover only the last `RECENT` seconds.
    """

    # from the network test
    failed_step: str = ""
    status: int | None = None
    clock_ahead: float | None = None
    dns_seconds: float | None = None
    first_byte: float | None = None
    loss: float = 0.0
    one_connection: float | None = None  # speed of one connection while nothing else was downloaded
    # from the run
    answers: int = 0
    whole: int = 0  # responses with a whole object although a range was requested
    faults: Mapping[str, int] = field(default_factory=dict)
    waited: float = 0.0
    busy: float = 0.0
    speed: float = 0.0
    speeds: Sequence[float] = ()  # of each connection
    in_flight: float = 0.0
    rate_limit: int | None = None
    workers_reason: str = ""  # what automatic concurrency found; "" for a fixed number of workers

    @property
    def requests(self) -> int:
        """Number of all requests, answered or not."""
        return self.answers + sum(self.faults.values())

    def often(self, fault: str, least: int, share: float) -> bool:
        """Whether this fault occurred at least `least` times and in at least this share of the requests."""
        times = self.faults.get(fault, 0)
        return times >= least and times >= share * self.requests

    def share_waited(self) -> float | None:
        """The share of the time spent waiting for bytes; None if less than 5 s were measured."""
        spent = self.waited + self.busy
        return self.waited / spent if spent >= 5.0 else None


def diagnose(measurements: Measurements) -> tuple[Diagnosis, ...]:
    """Return all diagnoses that hold, the most important first; never empty."""
    found = tuple(diagnosis for diagnosis, holds in _RULES.items() if holds(measurements))
    if found:
        return found
    if measurements.requests or measurements.status is not None:
        return (Diagnosis.FAR_AWAY,) if _far_away(measurements) else (Diagnosis.FINE,)
    return (Diagnosis.UNKNOWN,)


def measurements_from(samples: Sequence[Sample], seconds: float = RECENT) -> Measurements:
    """Return the measurements of the run, from the last `seconds` of these samples."""
    if not samples:
        return Measurements()
    recent = [sample for sample in samples if samples[-1].at - sample.at <= seconds]
    running = [sample for sample in recent if sample.running]
    last, first = recent[-1].traffic, recent[0].traffic
    if last is None or first is None or not running:
        return Measurements()
    began_within = len(recent) == len(samples) or recent[0].at - samples[0].at < 1e-9
    faults = {name: number - (0 if began_within else first.faults.get(name, 0)) for name, number in last.faults.items()}
    return Measurements(
        answers=last.answers - (0 if began_within else first.answers),
        whole=last.whole - (0 if began_within else first.whole),
        faults={name: number for name, number in faults.items() if number > 0},
        waited=last.waited - (0.0 if began_within else first.waited),
        busy=last.busy - (0.0 if began_within else first.busy),
        speed=median(sample.speed for sample in running[-15:]),
        speeds=last.speeds,
        in_flight=median(sample.in_flight for sample in running[-15:]),
        rate_limit=running[-1].rate_limit,
        workers_reason=running[-1].workers_reason,
    )


def add_network_test(
    measurements: Measurements, network_test: NetworkTest | None, *, alone: bool = True
) -> Measurements:
    """Return the measurements of a run together with those of a network test.

    alone: nothing was downloaded during the test. Otherwise the test's connection shared the network connection with
    the download, and its speed is not used.
    """
    if network_test is None:
        return measurements
    losses = [timing.loss for timing in (network_test.connect, network_test.first_byte) if timing is not None]
    return replace(
        measurements,
        failed_step=network_test.failed_step,
        status=network_test.status,
        clock_ahead=network_test.clock_ahead,
        dns_seconds=network_test.dns_seconds,
        first_byte=network_test.first_byte.mean if network_test.first_byte else None,
        loss=max(losses, default=0.0),
        one_connection=network_test.throughput if alone else None,
    )


def _clock_wrong(m: Measurements) -> bool:
    return m.clock_ahead is not None and abs(m.clock_ahead) > 300


def _certificate_replaced(m: Measurements) -> bool:
    return m.failed_step == "certificate" or bool(m.faults.get("Untrusted"))


def _proxy_answers(m: Measurements) -> bool:
    return _from_between(m.status) or m.often("BadResponse", 2, 0.05)


def _from_between(status: int | None) -> bool:
    """Whether a proxy or portal sent this status: S3 does not, except for 301 to a request in the wrong region."""
    return status is not None and (300 <= status < 400 or status in (407, 511)) and status != 301


def _refuses(m: Measurements) -> bool:
    return m.status is not None and m.status >= 300 and not _from_between(m.status)


def _offline(m: Measurements) -> bool:
    return m.failed_step in ("dns", "connect", "proxy") or (not m.answers and bool(m.faults.get("Unreachable")))


def _unsteady(m: Measurements) -> bool:
    return m.loss > 0.05 or m.often("Interrupted", 5, 0.05)


def _one_bad_connection(m: Measurements) -> bool:
    speeds = sorted(m.speeds)
    if len(speeds) < 4:
        return False
    middle = median(speeds)
    slow = sum(speed < middle / 4 for speed in speeds)
    return 1 <= slow <= max(1, len(speeds) // 4)


def _rate_limited(m: Measurements) -> bool:
    return bool(m.rate_limit) and m.speed >= 0.9 * (m.rate_limit or 0)


def _disk_bound(m: Measurements) -> bool:
    share = m.share_waited()
    return share is not None and share <= 0.4 and not m.rate_limit


def _waits(m: Measurements) -> bool:
    share = m.share_waited()
    return share is not None and share >= 0.6 and m.speed > 0 and not _rate_limited(m)


def _link_bound(m: Measurements) -> bool:
    """Many connections are hardly faster than one: their shared link is the limit."""
    if m.workers_reason:
        return _waits(m) and m.workers_reason == Reason.NO_GAIN.value
    one = m.one_connection
    return _waits(m) and one is not None and m.in_flight >= 2 and m.speed < 1.5 * one


def _more_workers(m: Measurements) -> bool:
    return _waits(m) and _scales(m)


def _network_bound(m: Measurements) -> bool:
    return _waits(m) and not _link_bound(m) and not _scales(m)


def _scales(m: Measurements) -> bool:
    """Many connections are much faster than one: the link has capacity for still more."""
    if m.workers_reason:
        return m.workers_reason == Reason.CEILING.value
    one = m.one_connection
    return one is not None and m.speed >= 1.5 * one and m.speed >= 0.6 * one * m.in_flight


def _far_away(m: Measurements) -> bool:
    return m.first_byte is not None and m.first_byte > 0.15


_RULES: dict[Diagnosis, Callable[[Measurements], bool]] = {
    Diagnosis.CLOCK_WRONG: _clock_wrong,
    Diagnosis.CERTIFICATE_REPLACED: _certificate_replaced,
    Diagnosis.PROXY_ANSWERS: _proxy_answers,
    Diagnosis.RANGES_IGNORED: lambda m: m.whole >= 2 and m.whole >= 0.05 * m.requests,
    Diagnosis.REFUSES: _refuses,
    Diagnosis.OFFLINE: _offline,
    Diagnosis.NO_ANSWER: lambda m: m.failed_step in ("tls", "answer"),
    Diagnosis.DNS_SLOW: lambda m: (m.dns_seconds or 0.0) > 1.0,
    Diagnosis.THROTTLED: lambda m: m.often("ServerBusy", 2, 0.02),
    Diagnosis.IDLE_DROPPED: lambda m: m.often("StaleConnection", 3, 0.02),
    Diagnosis.UNSTEADY: _unsteady,
    Diagnosis.ONE_BAD_CONNECTION: _one_bad_connection,
    Diagnosis.RATE_LIMITED: _rate_limited,
    Diagnosis.DISK_BOUND: _disk_bound,
    Diagnosis.LINK_BOUND: _link_bound,
    Diagnosis.MORE_WORKERS: _more_workers,
    Diagnosis.NETWORK_BOUND: _network_bound,
}
