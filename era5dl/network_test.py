"""How good the way to the bucket is, measured step by step: proxy, DNS, connection, TLS, first byte, throughput, clock.

Every step has a time limit, DNS included, which has none of its own. Nothing raises: what fails is part of the result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from era5dl.probe import STEP_LIMIT, Probe, addresses, limited, probe, sample, way_to, words
from era5dl.redaction import without_login
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
class Diagnosis:
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

    @property
    def reachable(self) -> bool:
        """The bucket answers and lists its objects."""
        return self.status == 200


def endpoint_of(settings: Settings) -> str:
    """The bucket's address, as the S3 client forms it: its own host at Amazon, a path elsewhere."""
    if settings.endpoint_url:
        return f"{settings.endpoint_url}/{settings.bucket}/"
    return f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com/"


def diagnose(settings: Settings, *, probes: int = PROBES) -> Diagnosis:
    """Measure the way to the bucket. Takes a minute at the very worst, a few seconds on a good line."""
    endpoint = endpoint_of(settings)
    proxy = proxy_for(endpoint, settings.proxy)
    shown = without_login(proxy) if proxy else None
    try:
        way = way_to(endpoint, proxy, settings.ca_bundle)
    except (OSError, ValueError) as error:
        return _nothing(endpoint, shown, "certificate", f"the CA file cannot be used: {error}")
    began = time.monotonic()
    try:
        found = limited(lambda: addresses(*way.first_hop), STEP_LIMIT)
    except (OSError, UnicodeError) as error:
        return _nothing(endpoint, shown, "dns", f"the name {way.first_hop[0]} cannot be resolved: {words(error)}")
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
    return Diagnosis(
        endpoint=endpoint,
        proxy=shown,
        addresses=found,
        dns_seconds=dns_seconds,
        connect=timing([one.connect for one in results]),
        tls=timing([one.tls for one in results if one.failed != "connect"]) if way.tls else None,
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


def proxy_for(url: str, chosen: str | None = None) -> str | None:
    """The proxy for this address: the one chosen, or what HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or the system) say."""
    if chosen:
        return chosen
    parts = urlsplit(url)
    host = parts.hostname or ""
    import urllib.request  # takes a while, and the window opens without a network test

    if urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies().get(parts.scheme)
    if not found:
        return None
    return found if "://" in found else f"http://{found}"


def _nothing(endpoint: str, proxy: str | None, step: str, error: str) -> Diagnosis:
    """A diagnosis that ended before the first probe."""
    return Diagnosis(
        endpoint, proxy, (), None, None, None, None, None, None, None, None, None, 0, failed_step=step, error=error
    )
