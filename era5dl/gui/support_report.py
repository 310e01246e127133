"""The support report: what somebody who helps needs to know, and nothing about who and where you are. Tk-free.

A zip with a text about program, system, settings, network test, the last hour, the sessions, and the end of the log.
Every line of it goes through the redactor, the ones we think harmless as well.
"""

from __future__ import annotations

import getpass
import os
import platform
import socket
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import era5dl
from era5dl.engine.gauges import Sample
from era5dl.engine.verdict import Finding
from era5dl.gui.preferences import Preferences
from era5dl.logs import last_lines
from era5dl.network_test import Diagnosis
from era5dl.proof.md5 import is_side_by_side
from era5dl.redaction import Redactor
from era5dl.session import Summary
from era5dl.text import size

LIBRARIES = ("boto3", "botocore", "urllib3", "psutil", "platformdirs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes into the report."""

    preferences: Preferences
    diagnosis: Diagnosis | None = None
    findings: Sequence[Finding] = ()
    samples: Sequence[Sample] = ()
    sessions: Sequence[Summary] = ()
    log: Sequence[str] = ()  # the lines of the Log page


def file_name(now: float | None = None) -> str:
    """A name for the file: "era5dl-report-20260301-1405.zip"."""
    return time.strftime("era5dl-report-%Y%m%d-%H%M.zip", time.localtime(now))


def write(path: Path, material: Material) -> None:
    """Put the report into a zip. Raises OSError; then no half file is left."""
    redact = redactor(material)
    temp = path.with_name(path.name + ".tmp")
    try:
        with zipfile.ZipFile(temp, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("report.txt", redact(text(material)))
            archive.writestr("last-hour.csv", redact(_history(material.samples)))
            archive.writestr("window-log.txt", redact("\n".join(material.log)))
            archive.writestr("file-log.txt", redact("\n".join(last_lines(2000))))
        temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def redactor(material: Material) -> Redactor:
    """One that knows this computer, its user, and the addresses in the settings."""
    preferences = material.preferences
    environ = [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    diagnosed = [material.diagnosis.endpoint, material.diagnosis.proxy or ""] if material.diagnosis else []
    addresses = (
        [f"//{address}" for address in material.diagnosis.addresses if ":" not in address] if material.diagnosis else []
    )
    return Redactor(
        homes=_homes(),
        folders=[preferences.folder, *(session.folder for session in material.sessions)],
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


def text(material: Material) -> str:
    """The report itself, not yet redacted."""
    sections = [
        ("Program", _program()),
        ("Settings that differ from the defaults", _settings(material.preferences)),
        ("Findings", [finding.value for finding in material.findings] or ["none"]),
        ("Network test", _network(material.diagnosis)),
        ("Last hour", _summary(material.samples)),
        ("Sessions", [_session(session) for session in material.sessions] or ["none"]),
    ]
    return "\n".join(f"{title}\n{'-' * len(title)}\n" + "\n".join(lines) + "\n" for title, lines in sections)


def _program() -> list[str]:
    lines = [
        f"era5dl {era5dl.__version__}",
        f"Python {sys.version.split()[0]} ({platform.python_implementation()})",
        f"system {platform.system()} {platform.release()} {platform.machine()}",
        f"MD5s {'side by side' if is_side_by_side() else 'one by one'}",
        f"written {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
    ]
    return lines + [f"{name} {_version(name)}" for name in LIBRARIES]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _settings(preferences: Preferences) -> list[str]:
    private = ("selection", "geometry")
    changed = [
        f"{field.name} = {getattr(preferences, field.name)}"
        for field in fields(preferences)
        if field.name not in private and getattr(preferences, field.name) != field.default
    ]
    return changed or ["none"]


def _network(found: Diagnosis | None) -> list[str]:
    if found is None:
        return ["not run"]
    return [f"{field.name} = {getattr(found, field.name)}" for field in fields(found)]


def _summary(samples: Sequence[Sample]) -> list[str]:
    if not samples:
        return ["nothing sampled"]
    last = samples[-1]
    lines = [
        f"samples: {len(samples)}, over {last.at - samples[0].at:.0f} s",
        f"memory: {size(min(s.process.rss for s in samples))} to {size(max(s.process.rss for s in samples))}",
        f"open files: at most {max((s.process.open_files or 0 for s in samples), default=0)}",
        f"retries: {sum(s.retries for s in samples)}, throttles: {sum(s.throttles for s in samples)}",
    ]
    if last.traffic is not None:
        lines.append(f"answers: {last.traffic.answers}, faults: {last.traffic.faults}")
        lines.append(f"waited for the network {last.traffic.waited:.0f} s, busy {last.traffic.busy:.0f} s")
    return lines


def _history(samples: Sequence[Sample]) -> str:
    """The ring as a table, a line every 10 s."""
    names = "at,speed,established,in_flight,rss,open_files,threads,retries,throttles,first_byte_p50,first_byte_p95"
    lines = [names]
    for s in samples[::5]:
        p = s.process
        cells: Iterable[object] = (
            f"{s.at - samples[-1].at:.0f}",
            f"{s.speed:.0f}",
            p.established,
            s.in_flight,
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


def _session(session: Summary) -> str:
    return (
        f"{session.id} {session.state.value}: {session.done_files} of {session.files} files, "
        f"{session.done_bytes} of {session.total_bytes} bytes, {session.failed} failed; {session.title}"
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
