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
from era5dl.gui.text.i18n import N_, Term, _, translate
from era5dl.settings import MAX_AUTO_WORKERS

_TERMS = {
    Diagnosis.CLOCK_WRONG: Term(
        N_("This computer's clock is wrong"),
        N_(
            "Correct the date and time, preferably by automatic synchronisation. Certificates are rejected while "
            "the clock is wrong."
        ),
    ),
    Diagnosis.CERTIFICATE_REPLACED: Term(
        N_("The server's certificate is not trusted"),
        N_(
            "Something between this computer and the server may be opening the encrypted connection. If the "
            "network has a login page, log in first. If your institution inspects encrypted traffic, ask its IT "
            "department for the CA file and select it in the settings."
        ),
    ),
    Diagnosis.PROXY_ANSWERS: Term(
        N_("The responses do not come from the bucket"),
        N_(
            "Usually a proxy or a login page is responding. Open any web page in a browser, and log in to the "
            "network if asked. Otherwise ask your IT department which proxy to use. No wrong data have been kept."
        ),
    ),
    Diagnosis.RANGES_IGNORED: Term(
        N_("A proxy ignores range requests"),
        N_(
            "Each file is fetched over one connection, and starts over after an interruption. The files will be "
            "correct. Downloads are faster without this proxy; ask your IT department."
        ),
    ),
    Diagnosis.REFUSES: Term(
        N_("The server rejects the requests"),
        N_("Check the endpoint, bucket and region in the settings. If they are correct, try again in a few minutes."),
    ),
    Diagnosis.OFFLINE: Term(
        N_("The server cannot be reached"),
        N_("Check the network connection, and the proxy in the settings. Downloads resume automatically."),
    ),
    Diagnosis.NO_ANSWER: Term(
        N_("Connected, but there is no response"),
        N_("A firewall or a proxy is probably blocking the response. Try another network, or ask your IT department."),
    ),
    Diagnosis.DNS_SLOW: Term(
        N_("Name lookup (DNS) is slow"),
        N_("Every new connection waits for it. Repeat the test: if it stays slow, another DNS server may be faster."),
    ),
    Diagnosis.THROTTLED: Term(
        N_("The server asked to slow down"),
        N_(
            "Nothing to do. Files wait as long as the server asks; if many have to wait, fewer requests are sent "
            "for a while. If this persists, use fewer workers."
        ),
    ),
    Diagnosis.IDLE_DROPPED: Term(
        N_("Idle connections are dropped"),
        N_("The server, or a router or firewall on the way, drops them. Opening new ones takes a little time."),
    ),
    Diagnosis.UNSTEADY: Term(
        N_("The connection is unstable"),
        N_(
            "Connections break, or cannot be established. Downloads continue where they stopped. A cable is more "
            "reliable than Wi-Fi."
        ),
    ),
    Diagnosis.ONE_BAD_CONNECTION: Term(
        N_("One connection is much slower than the others"),
        N_(
            "Its path through the network may be worse. It is closed after the byte range it is fetching; to "
            "replace it now, pause and resume."
        ),
    ),
    Diagnosis.RATE_LIMITED: Term(
        N_("Your rate limit is reached"),
        N_("Raise it on the Download page or in the settings to use more bandwidth."),
    ),
    Diagnosis.DISK_BOUND: Term(
        N_("The disk or the processor is the bottleneck"),
        N_("Data arrive faster than they can be written and verified. A local disk is faster than a network share."),
    ),
    Diagnosis.LINK_BOUND: Term(
        N_("The bandwidth is the bottleneck"),
        N_(
            "All connections together are hardly faster than one alone, so more workers will not help much. A "
            "faster line or another time of day may."
        ),
    ),
    Diagnosis.MORE_WORKERS: Term(
        N_("More workers may increase the speed"),
        N_(
            "Each connection is about as fast as one alone, so there is capacity for more. Set the workers to Auto, or "
            "try twice as many."
        ),
    ),
    Diagnosis.NETWORK_BOUND: Term(
        N_("The network limits the speed"),
        N_(
            "Whether more workers help has not been measured. Set the workers to Auto, which measures it, or run the "
            "network test while nothing is being downloaded."
        ),
    ),
    Diagnosis.FAR_AWAY: Term(
        N_("No problems found; the server is far away"),
        N_("Each request waits for a long round trip. To compensate, set the workers to Auto, or to 32."),
    ),
    Diagnosis.FINE: Term(N_("No problems found"), N_("Nothing was found that would slow down or prevent a download.")),
    Diagnosis.UNKNOWN: Term(
        N_("Not measured yet"),
        N_("Run the network test. It takes a few seconds and changes no settings."),
    ),
}


_AUTO_HINTS = {  # where the number of workers is automatic, nobody has to choose it
    Diagnosis.THROTTLED: N_("Nothing to do. Files wait as long as the server asks, and Auto uses fewer connections."),
    Diagnosis.LINK_BOUND: N_(
        "Auto has tried more connections, and they bring no more speed. A faster line or another time of day may."
    ),
    Diagnosis.MORE_WORKERS: N_(
        "Auto uses its maximum of {most} connections; still more may be faster. On the command line, --workers allows "
        "more."
    ),
    Diagnosis.NETWORK_BOUND: N_(
        "Auto adapts the number of connections during the download, so there is nothing to set."
    ),
    Diagnosis.FAR_AWAY: N_("Each request waits for a long round trip. Auto uses more connections to compensate."),
}


class Severity(Enum):
    """Severity of a diagnosis. The window shows an icon for it, not only a colour."""

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


def describe(diagnosis: Diagnosis, *, auto: bool = False) -> DiagnosisText:
    """Return a diagnosis with its texts. auto: the number of workers is automatic."""
    term = _TERMS[diagnosis].translated()
    hint = term.hint
    if auto and diagnosis in _AUTO_HINTS:
        hint = translate(_AUTO_HINTS[diagnosis], most=MAX_AUTO_WORKERS)
    return DiagnosisText(diagnosis, _SEVERITIES[diagnosis], term.name, hint)


def describe_diagnoses(
    samples: Sequence[Sample], network_test: NetworkTest | None, *, alone: bool = True, auto: bool = False
) -> tuple[DiagnosisText, ...]:
    """Diagnose the last minutes of a run and the last network test. Return the most important diagnosis first.

    alone: no download was in progress during the test. auto: the number of workers is automatic.
    """
    return tuple(
        describe(diagnosis, auto=auto)
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
    """Return the rows of the network test table, from the proxy to the server's clock."""
    table = [_single(_("Proxy"), _proxy(found), good=found.failed_step != "proxy")]
    dns = found.dns_seconds
    if dns is not None:
        names = ", ".join(found.addresses[:2]) + (" …" if len(found.addresses) > 2 else "")
        table.append(_single(_("Name lookup (DNS)"), f"{_milliseconds(dns)} ms · {names}", good=dns <= 1.0))
    else:
        table.append(_single(_("Name lookup (DNS)"), _("failed"), good=False))
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
        table.append(_single(_("Trusted certificates"), _trust(found)))
    if found.status is not None:
        table.append(_single(_("Response"), f"HTTP {found.status}", good=found.reachable))
    table.append(_single(_("Throughput"), _throughput(found)))
    table.append(_clock(found.clock_ahead))
    return table


def _proxy(found: NetworkTest) -> str:
    if found.failed_step == "proxy":
        return printable(found.error)  # it contains the address of the proxy
    if not found.proxy:
        return _("none")
    sources = {SETTINGS: _("the settings"), SYSTEM: _("the system settings")}
    source = sources.get(found.proxy_source, found.proxy_source)
    return _("{proxy}, set in {source}", proxy=printable(found.proxy), source=printable(source))


def _trust(found: NetworkTest) -> str:
    if not found.trust_file:
        return _("those of the system and the bundled ones")
    source = _("the settings") if found.trust_source == SETTING else found.trust_source
    return _("only those in {file}, set in {source}", file=printable(found.trust_file), source=printable(source))


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
        return _single(name, _("matches the server"))
    off, good = status_text.duration(abs(ahead)), abs(ahead) <= 300
    if ahead > 0:
        return _single(name, _("{time} ahead of the server", time=off), good=good)
    return _single(name, _("{time} behind the server", time=off), good=good)


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
