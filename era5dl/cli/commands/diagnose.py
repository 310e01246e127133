"""The `diagnose` command: prints the network test as a table, and a one-sentence conclusion."""

from __future__ import annotations

import argparse
import dataclasses

from era5dl.cli import CANNOT_GO_ON, FINE
from era5dl.cli.arguments import settings_from
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice
from era5dl.diagnosis import rules
from era5dl.diagnosis.network_test import NetworkTest, Timing, run_network_test
from era5dl.diagnosis.rules import Diagnosis, Measurements, add_network_test
from era5dl.formatting import format_duration, format_size, format_speed

_STEPS = {  # by the step that failed
    "dns": "The name of the {first_hop} cannot be resolved: check its spelling, and whether this computer is online.",
    "connect": "Nothing answers there: check the endpoint, the proxy and the firewall.",
    "proxy": "The proxy is what fails: check that it runs, its address, and its user name and password.",
    "certificate": "The certificate is not trusted: check this computer's clock; where a proxy inspects TLS, name its "
    "CA file with --ca-bundle; on a network with a login page, log in first.",
    "tls": "No secure connection comes about: a proxy or firewall on the way interferes, or this is no TLS server.",
    "answer": "The connection stands but no answer comes: a proxy or firewall on the way may be holding it.",
}
_DIAGNOSES = {  # when every step succeeded; a network test alone gives no other diagnosis
    Diagnosis.CLOCK_WRONG: "The bucket can be reached, but this computer's clock is wrong: set it, or certificates "
    "will fail.",
    Diagnosis.PROXY_ANSWERS: "HTTP {status} is no answer of the bucket's: a proxy or a login page stands in between.",
    Diagnosis.REFUSES: "The server answers with HTTP {status}: check the bucket's name, the region and the endpoint.",
    Diagnosis.DNS_SLOW: "The bucket can be reached, but looking up its name takes long: another DNS server may help.",
    Diagnosis.UNSTEADY: "The bucket can be reached, but the line is unsteady: {loss:.0%} of the probes were lost.",
    Diagnosis.FAR_AWAY: "All is well, the bucket is far away{pace}: more --workers (16 or 32) can make it faster.",
    Diagnosis.FINE: "All is well{pace}.",
}


def diagnose(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Run the network test and print it. Exit code 0 when the bucket answers, else 3."""
    settings = settings_from(arguments)
    voice.say("Measuring the way to the bucket; this takes a few seconds ...")
    found = interrupts.background(lambda: run_network_test(settings))
    sentence = conclusion(found)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    voice.record("diagnosis", **fields, verdict=sentence)
    voice.results(lines(found))
    voice.result()
    voice.result(sentence)
    return FINE if found.reachable else CANNOT_GO_ON


def lines(found: NetworkTest) -> list[str]:
    """The table, one line per step."""
    rows = [
        ("endpoint", found.endpoint),
        ("proxy", _proxy(found)),
        ("DNS", _dns(found)),
        ("connect", "every probe failed" if found.failed_step == "connect" else _timing(found.connect)),
    ]
    if found.endpoint.startswith("https:"):
        facts = [fact for fact in (found.tls_version, found.issuer and f"signed by {found.issuer}") if fact]
        rows.append(("TLS", _timing(found.tls) + (f"; {', '.join(facts)}" if facts else "")))
        alone = f"{found.trust_file} alone (from {found.trust_source})"
        rows.append(("trust", alone if found.trust_file else "the system's certificates and the bundled ones"))
    rows += [
        ("first byte", _timing(found.first_byte)),
        ("answer", "none" if found.status is None else f"HTTP {found.status}"),
        ("throughput", _throughput(found)),
        ("clock", _clock(found)),
    ]
    if found.error:
        rows.append(("error", found.error))
    return [f"{name:<11} {text}" for name, text in rows]


def _proxy(found: NetworkTest) -> str:
    if found.proxy:
        return f"{found.proxy} (from {found.proxy_source})"
    return "cannot be used" if found.failed_step == "proxy" else "none"


def conclusion(found: NetworkTest) -> str:
    """One sentence: the step that failed, or else the most important diagnosis of `era5dl.diagnosis.rules`."""
    if found.failed_step:
        return _STEPS[found.failed_step].format(first_hop="proxy" if found.proxy else "endpoint")
    measurements = add_network_test(Measurements(), found)
    pace = f", one connection brings {format_speed(found.throughput)}" if found.throughput else ""
    return _DIAGNOSES[rules.diagnose(measurements)[0]].format(status=found.status, loss=measurements.loss, pace=pace)


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
    return f"{format_speed(found.throughput)} on one connection ({format_size(found.sample_bytes)} fetched)"


def _clock(found: NetworkTest) -> str:
    ahead = found.clock_ahead
    if ahead is None:
        return "not compared"
    if ahead == 0:
        return "agrees with the server's"
    return f"{format_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
