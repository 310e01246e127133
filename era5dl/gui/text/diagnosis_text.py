"""Texts for the Diagnostics page: what each diagnosis means and what to do, and the rows of a network test. No Tk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from era5dl.bucket.proxy import SETTINGS, SYSTEM
from era5dl.bucket.tls_trust import SETTING
from era5dl.diagnosis.metrics import Sample
from era5dl.diagnosis.network_test import NetworkTest, Timing
from era5dl.diagnosis.rules import Diagnosis, add_network_test, diagnose, measurements_from
from era5dl.formatting import format_size, format_speed, printable
from era5dl.gui.text import status_text
from era5dl.gui.text.i18n import N_, Term, _

_TERMS = {
    Diagnosis.CLOCK_WRONG: Term(
        N_("This computer's clock is wrong"),
        N_("Set date and time, best automatically. Certificates are refused as long as the clock is wrong."),
    ),
    Diagnosis.CERTIFICATE_REPLACED: Term(
        N_("The server's certificate is not trusted"),
        N_(
            "Something between you and the server may open the encrypted connection. On a network with a login page, "
            "log in first. If your institute inspects traffic, ask its IT for the CA file and choose it in the "
            "settings."
        ),
    ),
    Diagnosis.PROXY_ANSWERS: Term(
        N_("The answers are not those of the bucket"),
        N_(
            "Mostly it is a proxy or a login page that answers: open any web page in a browser, and log in to the "
            "network if it asks you to. Otherwise ask your IT which proxy to use. No wrong byte has been kept."
        ),
    ),
    Diagnosis.RANGES_IGNORED: Term(
        N_("A proxy ignores range requests"),
        N_(
            "Each file comes over one connection, and an interruption starts it again. All files will be right. "
            "Without that proxy it is faster; ask your IT."
        ),
    ),
    Diagnosis.REFUSES: Term(
        N_("The server answers, and refuses"),
        N_("Check endpoint, bucket and region in the settings. If they are right, try again in some minutes."),
    ),
    Diagnosis.OFFLINE: Term(
        N_("The server cannot be reached"),
        N_("Check the network connection, and the proxy in the settings. Downloads go on by themselves afterwards."),
    ),
    Diagnosis.NO_ANSWER: Term(
        N_("The connection stands, but no answer comes"),
        N_("A firewall or a proxy on the way probably holds it. Try another network, or ask your IT."),
    ),
    Diagnosis.DNS_SLOW: Term(
        N_("Looking up the server's name takes long"),
        N_(
            "A download waits for it at each new connection. Repeat the test: if it stays so, another DNS server may "
            "be faster."
        ),
    ),
    Diagnosis.THROTTLED: Term(
        N_("The server asked us to slow down"),
        N_(
            "There is nothing to do: files wait as long as it says, and where many have to, fewer requests are sent "
            "for a while. If it goes on, choose fewer workers."
        ),
    ),
    Diagnosis.IDLE_DROPPED: Term(
        N_("Connections that rest are dropped"),
        N_(
            "The server, or a router or firewall on the way, forgets them. New ones are opened; it costs a little time."
        ),
    ),
    Diagnosis.UNSTEADY: Term(
        N_("The line is unsteady"),
        N_(
            "Connections break off, or cannot be made. Everything is fetched again where it broke; a cable is better "
            "than Wi-Fi."
        ),
    ),
    Diagnosis.ONE_BAD_CONNECTION: Term(
        N_("One connection is much slower than the others"),
        N_("Perhaps its path through the network is worse. It ends with its piece; a pause and Resume replaces it."),
    ),
    Diagnosis.RATE_LIMITED: Term(
        N_("Your own rate limit is reached"),
        N_("Raise it on the Download page or in the settings if more may be used."),
    ),
    Diagnosis.DISK_BOUND: Term(
        N_("The disk or the processor is the limit"),
        N_("Bytes come faster than they can be written and checked. A local disk is faster than a network share."),
    ),
    Diagnosis.LINK_BOUND: Term(
        N_("The line is the limit"),
        N_(
            "All connections together bring little more than one brings alone, so more workers will hardly help. "
            "A faster line or another time of day may."
        ),
    ),
    Diagnosis.MORE_WORKERS: Term(
        N_("More workers can make it faster"),
        N_("Each connection brings about as much as one alone, so there is room for more of them: try twice as many."),
    ),
    Diagnosis.NETWORK_BOUND: Term(
        N_("The network sets the speed"),
        N_(
            "Whether more workers help has not been measured: try 16 or 32 of them and compare the speed, or run the "
            "network test while nothing is downloaded."
        ),
    ),
    Diagnosis.FAR_AWAY: Term(
        N_("All is well, and the server is far away"),
        N_("Each request waits for its way there and back. 16 or 32 workers can make up for that."),
    ),
    Diagnosis.FINE: Term(N_("All is well"), N_("Nothing was found that stands in the way of a download.")),
    Diagnosis.UNKNOWN: Term(
        N_("Nothing has been measured yet"),
        N_("Run the network test: it takes a few seconds and changes nothing."),
    ),
}


class Severity(Enum):
    """How serious a diagnosis is; the window shows it by an icon, not by colour alone."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"


_SEVERITIES = {
    **dict.fromkeys(Diagnosis, Severity.WARNING),
    Diagnosis.CLOCK_WRONG: Severity.BAD,
    Diagnosis.CERTIFICATE_REPLACED: Severity.BAD,
    Diagnosis.PROXY_ANSWERS: Severity.BAD,
    Diagnosis.REFUSES: Severity.BAD,
    Diagnosis.OFFLINE: Severity.BAD,
    Diagnosis.NO_ANSWER: Severity.BAD,
    Diagnosis.RATE_LIMITED: Severity.NOTE,
    Diagnosis.LINK_BOUND: Severity.NOTE,
    Diagnosis.MORE_WORKERS: Severity.NOTE,
    Diagnosis.NETWORK_BOUND: Severity.NOTE,
    Diagnosis.FAR_AWAY: Severity.GOOD,
    Diagnosis.FINE: Severity.GOOD,
    Diagnosis.UNKNOWN: Severity.NOTE,
}


@dataclass(frozen=True, slots=True)
class DiagnosisText:
    """One diagnosis in the window's language."""

    diagnosis: Diagnosis
    severity: Severity
    name: str
    hint: str


def describe(diagnosis: Diagnosis) -> DiagnosisText:
    """Translate a diagnosis."""
    term = _TERMS[diagnosis].translated()
    return DiagnosisText(diagnosis, _SEVERITIES[diagnosis], term.name, term.hint)


def describe_diagnoses(
    samples: Sequence[Sample], network_test: NetworkTest | None, *, alone: bool = True
) -> tuple[DiagnosisText, ...]:
    """Diagnose the last minutes of a run together with the last network test, most important first.

    alone: nothing was being downloaded while the test ran.
    """
    return tuple(
        describe(diagnosis)
        for diagnosis in diagnose(add_network_test(measurements_from(samples), network_test, alone=alone))
    )


@dataclass(frozen=True, slots=True)
class NetworkTestRow:
    """One row of the network test table: either timings (mean, min, max, jitter, loss) or a single value."""

    name: str
    timings: tuple[str, str, str, str, str] | None
    value: str
    good: bool


def network_test_rows(found: NetworkTest) -> list[NetworkTestRow]:
    """Rows of the network test table, from the proxy to the answer of the server."""
    table = [_single(_("Proxy"), _proxy(found), good=found.failed_step != "proxy")]
    dns = found.dns_seconds
    if dns is not None:
        names = ", ".join(found.addresses[:2]) + (" …" if len(found.addresses) > 2 else "")
        table.append(_single(_("Name (DNS)"), f"{_milliseconds(dns)} ms · {names}", good=dns <= 1.0))
    else:
        table.append(_single(_("Name (DNS)"), _("failed"), good=False))
    table.append(_timing(_("Connection"), found.connect, failed=found.failed_step == "connect"))
    if found.endpoint.startswith("https:"):
        table.append(_timing(_("Encryption (TLS)"), found.tls, failed=found.failed_step in ("tls", "certificate")))
    table.append(_timing(_("First byte"), found.first_byte, failed=found.failed_step == "answer"))
    if found.tls_version:
        text = found.tls_version
        if found.issuer:
            text = _("{version}, signed by {issuer}", version=text, issuer=printable(found.issuer))
        table.append(_single(_("Certificate"), text, good=found.failed_step != "certificate"))
    if found.endpoint.startswith("https:"):
        table.append(_single(_("Trusted"), _trust(found)))
    if found.status is not None:
        table.append(_single(_("Answer"), f"HTTP {found.status}", good=found.reachable))
    table.append(_single(_("Throughput"), _throughput(found)))
    table.append(_clock(found.clock_ahead))
    return table


def _proxy(found: NetworkTest) -> str:
    if found.failed_step == "proxy":
        return printable(found.error)  # it names the proxy
    if not found.proxy:
        return _("none")
    sources = {SETTINGS: _("the settings"), SYSTEM: _("the system's settings")}
    source = sources.get(found.proxy_source, found.proxy_source)
    return _("{proxy}, set in {source}", proxy=printable(found.proxy), source=printable(source))


def _trust(found: NetworkTest) -> str:
    if not found.trust_file:
        return _("the system's certificates and the bundled ones")
    source = _("the settings") if found.trust_source == SETTING else found.trust_source
    return _("those of {file} alone, set in {source}", file=printable(found.trust_file), source=printable(source))


def _throughput(found: NetworkTest) -> str:
    if found.throughput is None:
        return _("not measured")
    pace, fetched = format_speed(found.throughput), format_size(found.sample_bytes)
    return _("{speed} on one connection ({fetched} fetched)", speed=pace, fetched=fetched)


def _clock(ahead: float | None) -> NetworkTestRow:
    name = _("Clock")
    if ahead is None:
        return _single(name, _("not compared"))
    if ahead == 0:
        return _single(name, _("agrees with the server's"))
    off, good = status_text.duration(abs(ahead)), abs(ahead) <= 300
    if ahead > 0:
        return _single(name, _("{time} ahead of the server's", time=off), good=good)
    return _single(name, _("{time} behind the server's", time=off), good=good)


def _timing(name: str, one: Timing | None, *, failed: bool) -> NetworkTestRow:
    if one is None:
        return _single(name, _("failed") if failed else _("not measured"), good=not failed)
    loss = f"{one.loss:.0%}"
    texts = tuple(_milliseconds(value) for value in (one.mean, one.minimum, one.maximum, one.jitter))
    return NetworkTestRow(name, (texts[0], texts[1], texts[2], texts[3], loss), "", good=one.loss <= 0.05)


def _single(name: str, value: str, *, good: bool = True) -> NetworkTestRow:
    return NetworkTestRow(name, None, value, good)


def _milliseconds(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
