"""Command `diagnose`: prints a network test as a table, and a one-sentence conclusion."""

from __future__ import annotations

import argparse
import dataclasses

from era5dl.cli.arguments import settings_from
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.diagnosis import rules
from era5dl.diagnosis.network_test import NetworkTest, Timing, run_network_test
from era5dl.diagnosis.rules import Diagnosis, Measurements, add_network_test
from era5dl.formatting import format_duration, format_size, format_speed
from era5dl.settings import AUTO

_CONCLUSIONS_FROM_FAILED_STEP = {
    "dns": "The name of the {first_hop} cannot be resolved: check its spelling, and whether this computer is online.",
    "connect": "Nothing answers there: check the endpoint, the proxy and the firewall.",
    "proxy": "The proxy fails: check that it is running, its address, and its user name and password.",
    "certificate": "The certificate is not trusted: check this computer's clock; if a proxy inspects TLS, specify its "
    "CA file with --ca-bundle; on a network with a login page, log in first.",
    "tls": "The TLS handshake fails: a proxy or firewall interferes, or this is not a TLS server.",
    "answer": "The connection is established but there is no response: a proxy or firewall may be blocking it.",
}
_CONCLUSIONS_FROM_DIAGNOSIS = {  # if every step succeeded; a network test cannot have any other diagnosis
    Diagnosis.CLOCK_WRONG: "The bucket can be reached, but this computer's clock is wrong: set it, or certificate "
    "checks will fail.",
    Diagnosis.PROXY_ANSWERS: "HTTP {status} is not a response of the bucket: a proxy or a login page answers instead.",
    Diagnosis.REFUSES: "The server responds with HTTP {status}: check bucket name, region and endpoint.",
    Diagnosis.DNS_SLOW: "The bucket can be reached, but DNS lookups are slow: another DNS server may help.",
    Diagnosis.UNSTEADY: "The bucket can be reached, but the connection is unstable: {loss:.0%} of the probes failed.",
    Diagnosis.FAR_AWAY: "Everything works; the bucket is far away{pace}: {advice}.",
    Diagnosis.FINE: "Everything works{pace}.",
}


def diagnose(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Run the network test and print it. Exit code 0 if the bucket can be reached, else 3."""
    settings = settings_from(arguments)
    output.info("Testing the connection to the bucket; this takes a few seconds ...")
    found = interrupts.run_in_background(lambda: run_network_test(settings))
    sentence = conclusion(found, auto=settings.workers == AUTO)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    output.record("diagnosis", **fields, verdict=sentence)
    output.results(lines(found))
    output.result()
    output.result(sentence)
    return ExitCode.OK if found.reachable else ExitCode.FAILED


def lines(found: NetworkTest) -> list[str]:
    """Return the lines of the table, one per step."""
    rows = [
        ("endpoint", found.endpoint),
        ("proxy", _proxy(found)),
        ("DNS", _dns(found)),
        ("connect", "all probes failed" if found.failed_step == "connect" else _timing(found.connect)),
    ]
    if found.endpoint.startswith("https:"):
        details = [text for text in (found.tls_version, found.issuer and f"issued by {found.issuer}") if text]
        rows.append(("TLS", _timing(found.tls) + (f"; {', '.join(details)}" if details else "")))
        exclusive = f"only {found.trust_file} (from {found.trust_source})"
        rows.append(("trust", exclusive if found.trust_file else "certificates of the system and the bundled ones"))
    rows += [
        ("first byte", _timing(found.first_byte)),
        ("response", "none" if found.status is None else f"HTTP {found.status}"),
        ("throughput", _throughput(found)),
        ("clock", _clock(found)),
    ]
    if found.error:
        rows.append(("error", found.error))
    return [f"{name:<11} {text}" for name, text in rows]


def _proxy(found: NetworkTest) -> str:
    if found.proxy:
        return f"{found.proxy} (from {found.proxy_source})"
    return "unusable" if found.failed_step == "proxy" else "none"


def conclusion(found: NetworkTest, *, auto: bool = False) -> str:
    """Return a sentence about the failed step, or else the main diagnosis of `era5dl.diagnosis.rules`.

    auto: the number of workers is automatic.
    """
    if found.failed_step:
        sentence = _CONCLUSIONS_FROM_FAILED_STEP[found.failed_step]
        return sentence.format(first_hop="proxy" if found.proxy else "endpoint")
    measurements = add_network_test(Measurements(), found)
    sentence = _CONCLUSIONS_FROM_DIAGNOSIS[rules.diagnose(measurements)[0]]
    pace = f" ({format_speed(found.throughput)} per connection)" if found.throughput else ""
    advice = "--workers auto uses more connections" if auto else "--workers auto or 32 may be faster"
    return sentence.format(status=found.status, loss=measurements.loss, pace=pace, advice=advice)


def _timing(one: Timing | None) -> str:
    if one is None:
        return "not measured"
    statistics = (("mean", one.mean), ("min", one.minimum), ("max", one.maximum), ("jitter", one.jitter))
    text = ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in statistics)
    return f"{text}, loss {one.loss:.0%} of {one.count + one.lost}"


def _dns(found: NetworkTest) -> str:
    if found.dns_seconds is None:
        return "failed" if found.failed_step == "dns" else "not measured"
    shown = ", ".join(found.addresses[:4]) + (" ..." if len(found.addresses) > 4 else "")
    return f"{found.dns_seconds * 1000:.1f} ms: {shown}"


def _throughput(found: NetworkTest) -> str:
    if found.throughput is None:
        return "not measured"
    return f"{format_speed(found.throughput)} on one connection ({format_size(found.sample_bytes)} downloaded)"


def _clock(found: NetworkTest) -> str:
    ahead = found.clock_ahead
    if ahead is None:
        return "not compared"
    if ahead == 0:
        return "matches the server's"
    return f"{format_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
