"""Tests of the support report: no name of a computer, folder or person, and no control characters.

Of free texts it contains only words that the program knows.
"""

from __future__ import annotations

import json
import logging
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl import log_file
from era5dl.diagnosis.network_test import NetworkTest, Timing
from era5dl.errors import SessionBusy
from era5dl.gui.backend.messages import ErrorInfo
from era5dl.gui.models import support_report
from era5dl.gui.models.log import LogModel
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.report_vocabulary import redact_unknown_words
from era5dl.gui.models.support_report import ReportData
from era5dl.gui.text.event_text import LogLevel
from era5dl.session import Session, list_sessions
from era5dl.session.resume_format import render
from era5dl.settings import Settings
from tests.session_samples import objects, plan_of

NEAR = Timing(10, 0.02, 0.019, 0.03, 0.001, 0)
GOOD = NetworkTest(
    endpoint="https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/", proxy=None, addresses=("10.1.2.3", "fe80::1"),
    dns_seconds=0.01, connect=NEAR, tls=NEAR, tls_version="TLSv1.3", issuer="Amazon", first_byte=NEAR, status=200,
    clock_ahead=0.0, throughput=34e6, sample_bytes=32_000_000, failed_step="", error="",
)  # fmt: skip
HOSTS = ("marielaptop", "gw", "node-17", "atmos3", "RESEARCHBOX", "f3a9c1b7d4e2", "计算机名")
FOLDERS = (
    "/scratch/grp4242/wetter",
    "/wetterdaten",
    "C:\\Wetter\\daten",
    "\\\\nas7\\teilen\\x",
    "/mnt/Mein Ordner/x y",
)
PLACES = ("grp4242", "wetter", "nas7", "teilen", "Ordner")
SENTENCES = (
    "era5dl (process 4711 on {host}, since 2026-11-27 10:00:00) is working on this session",
    "no connection to {host} port 3128: Connection refused",
    "the name {host} cannot be resolved: Name or service not known",
    "Failed to resolve '{host}' ([Errno -2] Name or service not known)",
    "HTTPSConnectionPool(host='{host}', port=9000): Max retries exceeded with url: /x (Caused by ...)",
    "proxy http://{host}:3128 refused",
    "proxy {host}:3128 refused",
    "{host} said no",
    "said by {host}",
)


def report(folder: Path, data: ReportData) -> str:
    path = folder / "report.zip"
    support_report.write(path, data)
    with zipfile.ZipFile(path) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


def planted_session(folder: Path, title: str) -> None:
    """Create a session with a lock of another computer, as another person may have sent it."""
    made = plan_of(objects(3))
    with Session.begin(folder, made, Settings()) as session:
        path = folder / ".era5dl" / f"{session.id}.json"
        info = replace(session.info, title=title)
    path.write_bytes(render(info, session.checkpoint, made.objects, time.time()))
    owner = {
        "pid": 4711, "host": "marielaptop", "started": 1.0, "since": 1.7e9, "program": "wetterprogramm",
        "token": "0" * 16, "kernel": False,
    }  # fmt: skip
    path.with_suffix(".lock").write_text(json.dumps(owner))


@pytest.mark.parametrize("host", HOSTS)
def test_the_report_contains_no_computer_name(tmp_path: Path, host: str) -> None:
    end = log_file.start_logging()
    for sentence in SENTENCES:
        logging.getLogger("era5dl").warning(sentence.format(host=host))
        logging.getLogger("urllib3").warning(sentence.format(host=host))
    end()
    book = LogModel()
    for sentence in SENTENCES:
        book.add(LogLevel.ERROR, sentence.format(host=host))
    text = report(
        tmp_path,
        ReportData(
            preferences=Preferences(
                proxy=f"http://u:p@{host}:3128", endpoint_url=f"https://{host}:9000", bucket=host, region=host
            ),
            network_test=replace(GOOD, endpoint=f"https://{host}/b", proxy=f"socks5h://{host}:1",
                              error=f"{host} said no", issuer=host),
            log=tuple(line.text for line in book.lines()),
        ),
    )  # fmt: skip
    assert host.casefold() not in text.casefold()
    assert "is working on this session" in text
    assert "cannot be resolved: Name or service not known" in text
    assert "proxy = http://<host>:3128" in text


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_report_contains_no_folder_from_error_messages(tmp_path: Path, folder: str) -> None:
    said = [f"no space left on the disk that holds {folder}", f"'{folder}' has vanished", f"[Errno 13] at '{folder}/y'"]
    end = log_file.start_logging()
    for line in said:
        logging.getLogger("era5dl").error(line)
    end()
    text = report(
        tmp_path,
        ReportData(
            preferences=Preferences(folder=folder, ca_bundle=folder + "/ca.pem"),
            network_test=replace(GOOD, error=said[0]),
            log=said,
        ),
    )
    for place in PLACES:
        assert place.casefold() not in text.casefold()
    assert "no space left on the disk that holds" in text


def test_the_report_contains_no_lock_owner_and_no_control_characters(tmp_path: Path) -> None:
    out = tmp_path / "out"
    planted_session(out, "\x1b]0;owned\x07\x1b[31mMarie's data of hidden.example\x9b2J\r\n\u202eleft")
    with pytest.raises(SessionBusy) as busy:
        Session.open(out)
    trouble = ErrorInfo.of(busy.value)
    text = report(
        tmp_path,
        ReportData(preferences=Preferences(), sessions=list_sessions(out), log=[trouble.detail, str(busy.value)]),
    )
    for private in ("marielaptop", "wetterprogramm", "Marie", "hidden", "owned"):
        assert private.casefold() not in text.casefold(), private
    assert all(line.isprintable() for line in text.split("\n"))
    assert "3 files" in text


def test_error_details_contain_no_control_characters() -> None:
    trouble = ErrorInfo.of(SessionBusy("era5dl (process 1 on \x1b[2Jhost\r\u202e) works\nsecond line"))
    assert trouble.detail.split("\n")[1] == "second line"
    assert all(line.isprintable() for line in trouble.detail.split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28 (with gaps)",
        "2026-03-01T14:05:06Z WARNING urllib3.connectionpool: Connection pool is full, discarding connection",
        "FileFailed(index=3, key='e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc'",
        "the connection ended 1,234 bytes too early; 1.5 MB/s, 20 ms, 3x",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "certificate verify failed: self-signed certificate in certificate chain",
        "No space left on device",
        "已暂停",
    ],
)
def test_useful_words_are_kept(text: str) -> None:
    assert redact_unknown_words(text) == text
