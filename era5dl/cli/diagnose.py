"""diagnose: the way to the bucket as a readable table, and one sentence that says what to make of it."""

from __future__ import annotations

import argparse
import dataclasses

from era5dl.cli import CANNOT_GO_ON, FINE
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.request import settings_from
from era5dl.cli.voice import Voice
from era5dl.network_test import Diagnosis, Timing
from era5dl.network_test import diagnose as measure
from era5dl.text import duration, size, speed

CLOCK_TOLERANCE = 300.0  # seconds; certificates and signatures begin to fail somewhere beyond
FAR = 0.15  # seconds to the first byte from where on more requests at once pay
UNSTEADY = 0.05  # share of lost probes from where on a line is called unsteady


def diagnose(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """Measure and tell. Exit code 0 when the bucket answers, else 3."""
    settings = settings_from(arguments)
    voice.say("Measuring the way to the bucket; this takes a few seconds ...")
    found = interrupts.background(lambda: measure(settings))
    sentence = verdict(found)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    voice.record("diagnosis", **fields, verdict=sentence)
    voice.results(lines(found))
    voice.result()
    voice.result(sentence)
    return FINE if found.reachable else CANNOT_GO_ON


def lines(found: Diagnosis) -> list[str]:
    """The table: one step a line."""
    rows = [
        ("endpoint", found.endpoint),
        ("proxy", found.proxy or "none"),
        ("DNS", _dns(found)),
        ("connect", "every probe failed" if found.failed_step == "connect" else _timing(found.connect)),
    ]
    if found.endpoint.startswith("https:"):
        facts = [fact for fact in (found.tls_version, found.issuer and f"signed by {found.issuer}") if fact]
        rows.append(("TLS", _timing(found.tls) + (f"; {', '.join(facts)}" if facts else "")))
    rows += [
        ("first byte", _timing(found.first_byte)),
        ("answer", "none" if found.status is None else f"HTTP {found.status}"),
        ("throughput", _throughput(found)),
        ("clock", _clock(found)),
    ]
    if found.error:
        rows.append(("error", found.error))
    return [f"{name:<11} {text}" for name, text in rows]


def verdict(found: Diagnosis) -> str:
    """One sentence: the first thing that is wrong, in the order of the way, or what the line is good for."""
    if found.failed_step == "dns":
        what = "proxy" if found.proxy else "endpoint"
        return f"The name of the {what} cannot be resolved: check its spelling, and whether this computer is online."
    if found.failed_step == "connect":
        return "Nothing answers there: check the endpoint, the proxy and the firewall."
    if found.failed_step == "certificate":
        return (
            "The certificate is not trusted: check this computer's clock; where a proxy inspects TLS, name its CA file "
            "with --ca-bundle; on a network with a login page, log in first."
        )
    if found.failed_step == "tls":
        return "No secure connection comes about: a proxy or firewall on the way interferes, or this is no TLS server."
    if found.failed_step == "answer" or found.status is None:
        return "The connection stands but no answer comes: a proxy or firewall on the way may be holding it."
    if not found.reachable:
        return f"The server answers with HTTP {found.status}: check the bucket's name, the region and the endpoint."
    if found.clock_ahead is not None and abs(found.clock_ahead) > CLOCK_TOLERANCE:
        return "The bucket can be reached, but this computer's clock is wrong: set it, or certificates will fail."
    return _verdict_on_quality(found)


def _verdict_on_quality(found: Diagnosis) -> str:
    lost = max((one.loss for one in (found.connect, found.first_byte) if one), default=0.0)
    if lost > UNSTEADY:
        return f"The bucket can be reached, but the line is unsteady: {lost:.0%} of the probes were lost."
    pace = f", one connection brings {speed(found.throughput)}" if found.throughput else ""
    if found.first_byte is not None and found.first_byte.mean > FAR:
        return f"All is well, the bucket is far away{pace}: more --workers (16 or 32) can make it faster."
    return f"All is well{pace}."


def _timing(one: Timing | None) -> str:
    if one is None:
        return "not measured"
    figures = (("mean", one.mean), ("min", one.minimum), ("max", one.maximum), ("jitter", one.jitter))
    text = ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in figures)
    return f"{text}, loss {one.loss:.0%} of {one.count + one.lost}"


def _dns(found: Diagnosis) -> str:
    if found.dns_seconds is None:
        return "failed" if found.failed_step == "dns" else "not measured"
    shown = ", ".join(found.addresses[:4]) + (" ..." if len(found.addresses) > 4 else "")
    return f"{found.dns_seconds * 1000:.1f} ms: {shown}"


def _throughput(found: Diagnosis) -> str:
    if found.throughput is None:
        return "not measured"
    return f"{speed(found.throughput)} on one connection ({size(found.sample_bytes)} fetched)"


def _clock(found: Diagnosis) -> str:
    ahead = found.clock_ahead
    if ahead is None:
        return "not compared"
    if ahead == 0:
        return "agrees with the server's"
    return f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
