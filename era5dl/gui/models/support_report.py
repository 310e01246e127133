"""Support report: a zip file that helps to find the cause of a problem, and does not identify the user. No Tk.

It describes program, system, settings, network test, metrics of the last hour and sessions, and contains the end of the
log. Settings and measurements are included only if they cannot identify a person: numbers, switches, the kind of an
address. Free texts (titles, errors, the log) are reduced to words that this program knows. In addition, all lines pass
through the redactor.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import era5dl
from era5dl.bucket.proxy import proxy_for
from era5dl.bucket.tls_trust import TrustStore
from era5dl.diagnosis.metrics import Sample
from era5dl.diagnosis.network_test import NetworkTest, Timing, endpoint_of
from era5dl.diagnosis.rules import Diagnosis
from era5dl.errors import UsageError
from era5dl.formatting import format_size, printable
from era5dl.gui.models.preferences import CHOICES, Preferences
from era5dl.gui.models.report_vocabulary import redact_unknown_words
from era5dl.log_file import last_lines
from era5dl.proof.md5 import is_simd_available
from era5dl.redaction import Redactor
from era5dl.session.origin import address_of
from era5dl.session.summary import SessionSummary
from era5dl.settings import Settings

LIBRARIES = ("botocore", "urllib3", "PySocks", "truststore", "psutil", "platformdirs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Data for the report. log: lines of the Log page."""

    preferences: Preferences
    network_test: NetworkTest | None = None
    diagnoses: Sequence[Diagnosis] = ()
    samples: Sequence[Sample] = ()
    sessions: Sequence[SessionSummary] = ()
    log: Sequence[str] = ()


def file_name(now: float | None = None) -> str:
    """Return the suggested file name, such as "era5dl-report-20260301-1405.zip"."""
    return time.strftime("era5dl-report-%Y%m%d-%H%M.zip", time.localtime(now))


def write(path: Path, data: ReportData) -> None:
    """Write the report. Raises OSError without leaving an incomplete file."""
    redact = redactor(data)
    temp = path.with_name(path.name + ".tmp")
    try:
        with zipfile.ZipFile(temp, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("report.txt", _plain_lines(redact(text(data, redact))))
            archive.writestr("last-hour.csv", redact(_history(data.samples)))
            ids = [session.id for session in data.sessions]
            for name, log in (("window-log.txt", data.log), ("file-log.txt", last_lines(2000))):
                archive.writestr(name, _plain_lines(redact_unknown_words(redact("\n".join(log)), ids)))
        temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _plain_lines(content: str) -> str:
    """Remove control characters, which a terminal would execute."""
    return "\n".join(map(printable, content.split("\n")))


def redactor(data: ReportData) -> Redactor:
    """Return a redactor that knows the names of this computer and its user, and the addresses in the settings."""
    preferences = data.preferences
    environ = [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    diagnosed = [data.network_test.endpoint, data.network_test.proxy or ""] if data.network_test else []
    addresses = (
        [f"//{address}" for address in data.network_test.addresses if ":" not in address] if data.network_test else []
    )
    return Redactor(
        homes=_homes(),
        folders=[preferences.folder, *(session.folder for session in data.sessions)],
        user=_user(),
        machine=socket.gethostname(),
        urls=[
            preferences.proxy,
            preferences.endpoint_url,
            *environ,
            *_system_proxies(),
            *diagnosed,
            *addresses,
        ],
    )


def text(data: ReportData, redact: Callable[[str], str]) -> str:
    """Return the main text of the report. redact: applied to free texts before the vocabulary filter."""

    def redact_free_text(value: str) -> str:
        return redact_unknown_words(redact(value))

    sections = [
        ("Program", _program()),
        ("Settings that differ from the defaults", _settings(data.preferences)),
        ("Diagnoses", [diagnosis.value for diagnosis in data.diagnoses] or ["none"]),
        ("Connection to the server", _connection(data.preferences)),
        ("Network test", _network(data.network_test, redact_free_text)),
        ("Last hour", _summary(data.samples)),
        ("Sessions", [_session(session, redact_free_text) for session in data.sessions] or ["none"]),
    ]
    return "\n".join(f"{title}\n{'-' * len(title)}\n" + "\n".join(lines) + "\n" for title, lines in sections)


def _program() -> list[str]:
    lines = [
        f"era5dl {era5dl.__version__}",
        f"Python {sys.version.split()[0]} ({platform.python_implementation()})",
        f"system {platform.system()} {platform.release()} {platform.machine()}",
        f"MD5 {'with SIMD' if is_simd_available() else 'with hashlib'}",
        f"written {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
    ]
    return lines + [f"{name} {_version(name)}" for name in LIBRARIES]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _connection(preferences: Preferences) -> list[str]:
    """Describe the proxy and the certificates that are used, and where they are set."""
    try:
        settings = preferences.to_settings()
        proxy = proxy_for(endpoint_of(settings), settings.proxy)
        used = f"{_address(proxy.url)}, set in {proxy.source}" if proxy else "none"
    except UsageError as error:
        used = f"cannot be used: {error.kind}"
    source = TrustStore(preferences.ca_bundle or None).source
    trusted = f"those of one file alone, set in {source}" if source else "the system's and the bundled ones"
    return [f"proxy: {used}", f"certificates trusted: {trusted}"]


def _settings(preferences: Preferences) -> list[str]:
    """Return numbers, switches and choices as they are, but only the kind of a text."""
    changed = []
    for one in fields(preferences):
        value = getattr(preferences, one.name)
        if one.name not in _PRIVATE and value != one.default:
            safe = not isinstance(value, str) or one.name in (*CHOICES, "workers", "rate_limit")
            changed.append(f"{one.name} = {value if safe else _kind(one.name, value)}")
    return changed or ["none"]


_PRIVATE = ("selection", "geometry")
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,2}-\d")


def _kind(name: str, value: str) -> str:
    """Return the kind of a text: "http://<host>:3128", "<path>", "us-west-2" or "another one"."""
    if name in ("proxy", "endpoint_url"):
        return _address(value)
    if name in ("folder", "ca_bundle"):
        return "<path>"
    return value if name == "region" and _REGION.fullmatch(value) else "another one"


def _address(url: str) -> str:
    """Return an address without its host, unless that is the default bucket or this computer."""
    if url.rstrip("/") == address_of(Settings()):
        return url
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host = parts.hostname if parts.hostname in ("localhost", "127.0.0.1", "::1") else "<host>"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "<address>"
    return f"{parts.scheme + '://' if parts.scheme in _SCHEMES else ''}{host}{port}"


_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def _network(found: NetworkTest | None, redact_free_text: Callable[[str], str]) -> list[str]:
    if found is None:
        return ["not run"]
    lines = []
    for one in fields(found):
        value = getattr(found, one.name)
        if one.name in ("endpoint", "proxy") and value:
            value = _address(value)
        elif one.name == "addresses":
            value = ", ".join("IPv6" if ":" in address else "IPv4" for address in value) or "none"
        elif isinstance(value, str):
            value = redact_free_text(value)
        elif not (value is None or isinstance(value, (bool, int, float, Timing))):
            value = redact_free_text(str(value))
        lines.append(f"{one.name} = {value}")
    return lines


def _summary(samples: Sequence[Sample]) -> list[str]:
    if not samples:
        return ["nothing sampled"]
    last = samples[-1]
    memory = [sample.process.rss for sample in samples]
    lines = [
        f"samples: {len(samples)}, over {last.at - samples[0].at:.0f} s",
        f"memory: {format_size(min(memory))} to {format_size(max(memory))}",
        f"open files: at most {max((s.process.open_files or 0 for s in samples), default=0)}",
        f"retries: {sum(s.retries for s in samples)}, throttles: {sum(s.throttles for s in samples)}",
    ]
    if last.traffic is not None:
        lines.append(f"answers: {last.traffic.answers}, faults: {last.traffic.faults}")
        lines.append(f"waited for the network {last.traffic.waited:.0f} s, busy {last.traffic.busy:.0f} s")
    return lines


def _history(samples: Sequence[Sample]) -> str:
    """Return the metrics as CSV, a line every 10 s."""
    lines = [
        "at,speed,established,in_flight,workers,rss,open_files,threads,retries,throttles,first_byte_p50,first_byte_p95"
    ]
    for s in samples[::5]:
        p = s.process
        cells: Iterable[object] = (
            f"{s.at - samples[-1].at:.0f}",
            f"{s.speed:.0f}",
            p.established,
            s.in_flight,
            s.workers,
            p.rss,
            p.open_files,
            p.threads,
            s.retries,
            s.throttles,
            s.first_byte_p50,
            s.first_byte_p95,
        )
        lines.append(
            ",".join("" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
        )
    return "\n".join(lines)


def _session(session: SessionSummary, redact_free_text: Callable[[str], str]) -> str:
    return (
        f"{session.id} {session.status.value}: {session.done_files} of {session.files} files, "
        f"{session.done_bytes} of {session.total_bytes} bytes, {session.failed} failed; "
        f"{redact_free_text(session.title)}"
    )


def _homes() -> list[str]:
    found = {os.environ.get("HOME", ""), os.environ.get("USERPROFILE", "")}
    try:
        home = Path.home()
        found |= {str(home), str(home.resolve())}
    except (OSError, RuntimeError):
        pass
    return [home for home in found if len(home) > 1]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _system_proxies() -> list[str]:
    try:
        return list(urllib.request.getproxies().values())
    except (OSError, ValueError):
        return []
