"""How good the way to the bucket is, measured step by step: proxy, DNS, connection, TLS, first byte, throughput, clock.

Every step has a time limit, DNS included, which has none of its own. Nothing raises: what fails is part of the result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from era5dl.bucket.connect import Dialer
from era5dl.bucket.proxy import proxy_for
from era5dl.bucket.tls_trust import Trust
from era5dl.diagnosis.connection_probe import STEP_LIMIT, Probe, addresses, limited, probe, sample, way_to, words
from era5dl.errors import Untrusted, UsageError
from era5dl.settings import Settings

PROBES = 10
PROBES_LIMIT = 40.0  # seconds all probes may take together


@dataclass(frozen=True, slots=True)
class Timing:
    """Some measurements of one thing, in seconds. jitter: mean difference from one to the next. lost: failed ones."""

    count: int
    mean: float
    minimum: float
    maximum: float
    jitter: float
    lost: int

    @property
    def loss(self) -> float:
        """The share that was lost, 0 to 1."""
        tried = self.count + self.lost
        return self.lost / tried if tried else 0.0


@dataclass(frozen=True, slots=True)
class NetworkTest:
    """What was found. Times in seconds, throughput in bytes per second; None: not measured, an error says why."""

    endpoint: str
    proxy: str | None  # without its password
    addresses: tuple[str, ...]  # of the proxy, if there is one
    dns_seconds: float | None
    connect: Timing | None
    tls: Timing | None
    tls_version: str | None
    issuer: str | None  # who signed the server's certificate
    first_byte: Timing | None  # from the request to the head of the answer
    status: int | None  # of the answer to a listing of the bucket
    clock_ahead: float | None  # this computer's clock minus the server's
    throughput: float | None  # of one connection
    sample_bytes: int
    failed_step: str  # where it first went wrong if no probe came through: one of STEPS, or ""
    error: str
    proxy_source: str = ""  # the variable that names the proxy, or where else it was set
    trust_file: str = ""  # the CA file that alone is trusted; "" for the system's certificates and the bundled ones
    trust_source: str = ""  # the flag or variable that names it

    @property
    def reachable(self) -> bool:
        """The bucket answers and lists its objects."""
        return self.status == 200


def endpoint_of(settings: Settings) -> str:
    """The bucket's address, as the S3 client forms it: its own host at Amazon, a path elsewhere."""
    if settings.endpoint_url:
        return f"{settings.endpoint_url}/{settings.bucket}/"
    return f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com/"


def run_network_test(settings: Settings, *, probes: int = PROBES) -> NetworkTest:
    """Measure the way to the bucket. Takes a minute at the very worst, a few seconds on a good line."""
    endpoint = endpoint_of(settings)
    trust = Trust(settings.ca_bundle)
    known: dict[str, Any] = {
        "endpoint": endpoint,
        "proxy": None,
        "trust_file": trust.file or "",
        "trust_source": trust.source,
    }
    try:
        proxy = proxy_for(endpoint, settings.proxy)
    except UsageError as error:
        return _nothing(known, "proxy", f"{error}. {error.remedy}")
    known |= {"proxy": proxy.url, "proxy_source": proxy.source} if proxy else {}
    dialer = Dialer(proxy, trust)
    try:
        way = way_to(endpoint, dialer)
    except Untrusted as error:
        return _nothing(known, "certificate", str(error))
    began = time.monotonic()
    try:
        found = limited(lambda: addresses(*way.first_hop), STEP_LIMIT)
    except (OSError, UnicodeError) as error:
        return _nothing(known, "dns", f"the name {way.first_hop[0]} cannot be resolved: {words(error)}")
    dns_seconds = time.monotonic() - began
    results: list[Probe] = []
    for _ in range(probes):
        if time.monotonic() - began > PROBES_LIMIT:
            break
        results.append(probe(way, "?list-type=2&max-keys=50"))
    best = next((one for one in results if not one.failed), results[0])
    throughput, sample_bytes = None, 0
    if best.status == 200:
        throughput, sample_bytes = sample(way, best.body)
    return NetworkTest(
        **known,
        addresses=found,
        dns_seconds=dns_seconds,
        connect=timing([one.connect for one in results]),
        tls=timing([one.tls for one in results if one.failed != "connect"]) if way.secure else None,
        tls_version=best.tls_version,
        issuer=best.issuer,
        first_byte=timing([one.first_byte for one in results if one.failed in ("", "answer")]),
        status=best.status,
        clock_ahead=best.clock_ahead,
        throughput=throughput,
        sample_bytes=sample_bytes,
        failed_step=best.failed,
        error=best.error,
    )


def timing(samples: Sequence[float | None]) -> Timing | None:
    """Statistics of the samples; None among them are lost ones. None when nothing was measured at all."""
    good = [one for one in samples if one is not None]
    if not good:
        return None
    steps = [abs(after - before) for before, after in pairwise(good)]
    return Timing(
        count=len(good),
        mean=sum(good) / len(good),
        minimum=min(good),
        maximum=max(good),
        jitter=sum(steps) / len(steps) if steps else 0.0,
        lost=len(samples) - len(good),
    )


def _nothing(known: dict[str, Any], step: str, error: str) -> NetworkTest:
    """A diagnosis that ended before the first probe."""
    names = ("addresses", "dns_seconds", "connect", "tls", "tls_version", "issuer", "first_byte", "status")
    unknown: dict[str, Any] = dict.fromkeys((*names, "clock_ahead", "throughput"))
    return NetworkTest(**{**unknown, "addresses": (), "sample_bytes": 0, "failed_step": step, "error": error, **known})
