"""Network test of the route to the bucket: proxy, DNS, connection, TLS, first byte, throughput, clock offset.

Every step has a time limit, including DNS. Errors are part of the result and are not raised.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from era5dl.bucket.connect import Connector
from era5dl.bucket.proxy import proxy_for
from era5dl.bucket.tls_trust import TrustStore
from era5dl.diagnosis.connection_probe import (
    STEP_LIMIT,
    ProbeResult,
    describe,
    measure_throughput,
    probe,
    resolve,
    route_to,
    with_timeout,
)
from era5dl.errors import Untrusted, UsageError
from era5dl.settings import Settings

PROBES = 10
PROBES_LIMIT = 40.0  # seconds for all probes together


@dataclass(frozen=True, slots=True)
class Timing:
    """Statistics of `count` samples, in seconds. jitter: mean difference between successive samples. lost: number of
    failed probes."""

    count: int
    mean: float
    minimum: float
    maximum: float
    jitter: float
    lost: int

    @property
    def loss(self) -> float:
        """The share of lost probes, 0 to 1."""
        tried = self.count + self.lost
        return self.lost / tried if tried else 0.0


@dataclass(frozen=True, slots=True)
class NetworkTest:
    """Result of a network test. Times in seconds, throughput in bytes per second; None for values not measured."""

    endpoint: str
    proxy: str | None  # without its password
    addresses: tuple[str, ...]  # of the proxy if there is one, else of the endpoint
    dns_seconds: float | None
    connect: Timing | None
    tls: Timing | None
    tls_version: str | None
    issuer: str | None  # of the server's certificate
    first_byte: Timing | None  # from sending the request to the response head
    status: int | None  # HTTP status of a listing of the bucket
    clock_ahead: float | None  # this computer's clock minus the server's
    throughput: float | None  # of one connection
    sample_bytes: int
    failed_step: str  # the step at which all probes failed: one of STEPS, or ""
    error: str
    proxy_source: str = ""  # the environment variable or other setting that names the proxy
    trust_file: str = ""  # CA file; "" for the certificates of the system and the bundled ones
    trust_source: str = ""  # the flag or environment variable that specifies the CA file

    @property
    def reachable(self) -> bool:
        """Whether the bucket responds and can be listed."""
        return self.status == 200


def endpoint_of(settings: Settings) -> str:
    """Return the URL of the bucket as the S3 client builds it: virtual-hosted style at Amazon, path style elsewhere."""
    if settings.endpoint_url:
        return f"{settings.endpoint_url}/{settings.bucket}/"
    return f"https://{settings.bucket}.s3.{settings.region}.amazonaws.com/"


def run_network_test(settings: Settings, *, probes: int = PROBES) -> NetworkTest:
    """Run the network test. Takes a few seconds on a good connection, and at most a minute."""
    endpoint = endpoint_of(settings)
    trust = TrustStore(settings.ca_bundle)
    known: dict[str, Any] = {
        "endpoint": endpoint,
        "proxy": None,
        "trust_file": trust.file or "",
        "trust_source": trust.source,
    }
    try:
        proxy = proxy_for(endpoint, settings.proxy)
    except UsageError as error:
        return _failed(known, "proxy", f"{error}. {error.remedy}")
    known |= {"proxy": proxy.url, "proxy_source": proxy.source} if proxy else {}
    connector = Connector(proxy, trust)
    try:
        route = route_to(endpoint, connector)
    except Untrusted as error:
        return _failed(known, "certificate", str(error))
    began = time.monotonic()
    try:
        addresses = with_timeout(lambda: resolve(*route.first_hop), STEP_LIMIT)
    except (OSError, UnicodeError) as error:
        return _failed(known, "dns", f"the name {route.first_hop[0]} cannot be resolved: {describe(error)}")
    dns_seconds = time.monotonic() - began
    results: list[ProbeResult] = []
    for _ in range(probes):
        if time.monotonic() - began > PROBES_LIMIT:
            break
        results.append(probe(route, "?list-type=2&max-keys=50"))
    best = next((one for one in results if not one.failed_step), results[0])
    throughput, sample_bytes = None, 0
    if best.status == 200:
        throughput, sample_bytes = measure_throughput(route, best.body)
    return NetworkTest(
        **known,
        addresses=addresses,
        dns_seconds=dns_seconds,
        connect=timing([one.connect for one in results]),
        tls=timing([one.tls for one in results if one.failed_step != "connect"]) if route.secure else None,
        tls_version=best.tls_version,
        issuer=best.issuer,
        first_byte=timing([one.first_byte for one in results if one.failed_step in ("", "answer")]),
        status=best.status,
        clock_ahead=best.clock_ahead,
        throughput=throughput,
        sample_bytes=sample_bytes,
        failed_step=best.failed_step,
        error=best.error,
    )


def timing(samples: Sequence[float | None]) -> Timing | None:
    """Return the statistics of the samples, in which None is a lost probe; None if all were lost."""
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


def _failed(known: dict[str, Any], step: str, error: str) -> NetworkTest:
    """Return the result of a test that failed before the first probe."""
    names = ("addresses", "dns_seconds", "connect", "tls", "tls_version", "issuer", "first_byte", "status")
    unknown: dict[str, Any] = dict.fromkeys((*names, "clock_ahead", "throughput"))
    return NetworkTest(**{**unknown, "addresses": (), "sample_bytes": 0, "failed_step": step, "error": error, **known})
