"""Tests of the Diagnostics page: texts of the diagnoses, charts, and the support report."""

from __future__ import annotations

import dataclasses
import socket
import tkinter as tk
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.proxy import SETTINGS, SYSTEM
from era5dl.bucket.tls_trust import SETTING
from era5dl.diagnosis.measured_bucket import Traffic
from era5dl.diagnosis.metrics import Process, Sample
from era5dl.diagnosis.network_test import NetworkTest, Timing, run_network_test
from era5dl.diagnosis.rules import Diagnosis
from era5dl.engine.concurrency import Reason
from era5dl.gui.models import support_report
from era5dl.gui.models.charts import MAX_POINTS, chart_data
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.support_report import ReportData
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks, DiagnosticsPage
from era5dl.gui.text import diagnosis_text, i18n
from era5dl.gui.text.diagnosis_text import Severity, describe, describe_diagnoses, network_test_rows
from era5dl.gui.theme.palette import DARK
from era5dl.gui.theme.theme import Theme
from era5dl.session.summary import SessionStatus, SessionSummary
from era5dl.settings import Settings
from tests.faultlab import FaultServer

pytest_plugins = ["tests.gui_screen"]

NEAR = Timing(10, 0.0924, 0.0891, 0.1012, 0.0031, 0)
GOOD = NetworkTest(
    endpoint="https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/", proxy="http://proxy.uni.example:3128",
    addresses=("10.1.2.3", "10.1.2.4", "10.1.2.5"), dns_seconds=0.0123, connect=NEAR, tls=NEAR, tls_version="TLSv1.3",
    issuer="Amazon", first_byte=NEAR, status=200, clock_ahead=0.0, throughput=34e6, sample_bytes=32_000_000,
    failed_step="", error="", proxy_source="HTTPS_PROXY",
)  # fmt: skip


def sample(at: float, **more: Any) -> Sample:
    values: dict[str, Any] = {
        "process": Process(9, 0, 90_000_000, 40, 12), "running": True, "speed": 5e6, "in_flight": 8,
        "traffic": Traffic(10, {}, 50.0, 5.0, ()), **more,
    }  # fmt: skip
    return Sample(at, **values)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("diagnosis", list(Diagnosis))
def test_every_diagnosis_has_a_text(diagnosis: Diagnosis, language: str) -> None:
    i18n.switch(language)
    try:
        said = describe(diagnosis)
    finally:
        i18n.switch("en")
    assert said.name and said.hint and said.name != said.hint
    assert said.name.isascii() == (language == "en")


def test_with_automatic_workers_nobody_is_advised_to_use_more() -> None:
    for diagnosis in Diagnosis:
        hint = describe(diagnosis, auto=True).hint
        assert "workers" not in hint.replace("--workers", ""), diagnosis
    assert "its maximum of 64 connections" in describe(Diagnosis.MORE_WORKERS, auto=True).hint
    assert "Set the workers to Auto" in describe(Diagnosis.MORE_WORKERS).hint


def test_what_automatic_concurrency_saw_is_the_diagnosis() -> None:
    seen = [
        sample(float(n), speed=30e6, traffic=Traffic(10, {}, 9.0 * n, 0.0, ()), workers_reason=Reason.NO_GAIN.value)
        for n in range(10)
    ]
    found = describe_diagnoses(seen, replace(GOOD, throughput=4e6), auto=True)[0]
    assert found.diagnosis is Diagnosis.LINK_BOUND
    assert found.hint.startswith("Auto has tried more connections")


def test_diagnoses_have_the_right_severity() -> None:
    assert describe(Diagnosis.FINE).severity is Severity.GOOD
    assert describe(Diagnosis.CERTIFICATE_REPLACED).severity is Severity.BAD
    assert describe(Diagnosis.THROTTLED).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("change", "diagnosis"),
    [
        ({}, Diagnosis.FINE),
        ({"failed_step": "dns", "status": None}, Diagnosis.OFFLINE),
        ({"failed_step": "certificate", "status": None}, Diagnosis.CERTIFICATE_REPLACED),
        ({"clock_ahead": 4000.0}, Diagnosis.CLOCK_WRONG),
        ({"dns_seconds": 4.0}, Diagnosis.DNS_SLOW),
        ({"first_byte": replace(NEAR, mean=0.4)}, Diagnosis.FAR_AWAY),
        ({"connect": replace(NEAR, lost=3)}, Diagnosis.UNSTEADY),
        ({"status": 407}, Diagnosis.PROXY_ANSWERS),
    ],
)
def test_a_network_test_leads_to_a_diagnosis(change: dict[str, Any], diagnosis: Diagnosis) -> None:
    assert describe_diagnoses([], replace(GOOD, **change))[0].diagnosis is diagnosis


def test_network_test_and_run_are_combined() -> None:
    busy = [sample(float(n), speed=30e6, traffic=Traffic(10, {}, 9.0 * n, 0.0, ())) for n in range(10)]
    assert describe_diagnoses(busy, replace(GOOD, throughput=29e6))[0].diagnosis is Diagnosis.LINK_BOUND
    assert describe_diagnoses(busy, replace(GOOD, throughput=4e6))[0].diagnosis is Diagnosis.MORE_WORKERS


def test_an_untrusted_certificate_is_diagnosed(fault_server_tls: FaultServer) -> None:
    found = run_network_test(
        Settings(endpoint_url=fault_server_tls.endpoint_url, bucket=fault_server_tls.bucket), probes=1
    )
    assert describe_diagnoses([], found)[0].diagnosis is Diagnosis.CERTIFICATE_REPLACED


def test_a_reachable_and_an_unreachable_server(fault_server: FaultServer) -> None:
    found = run_network_test(Settings(endpoint_url=fault_server.endpoint_url, bucket=fault_server.bucket), probes=3)
    assert describe_diagnoses([], found)[0].diagnosis is Diagnosis.FINE
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert (
        describe_diagnoses([], run_network_test(Settings(endpoint_url=url), probes=1))[0].diagnosis is Diagnosis.OFFLINE
    )


def test_rows_of_a_network_test() -> None:
    table = {step.name: step for step in network_test_rows(replace(GOOD, tls=replace(NEAR, lost=2)))}
    assert table["Connection"].timings == ("92.4", "89.1", "101", "3.1", "0%")
    assert table["Encryption (TLS)"].timings is not None and table["Encryption (TLS)"].timings[4] == "17%"
    assert not table["Encryption (TLS)"].good
    assert table["Name lookup (DNS)"].value == "12.3 ms · 10.1.2.3, 10.1.2.4 …"
    assert table["Throughput"].value == "34.0 MB/s on one connection (32.0 MB fetched)"
    assert table["Clock"].value == "matches the server"


def test_rows_of_a_failed_network_test() -> None:
    nothing = dataclasses.replace(
        GOOD, dns_seconds=None, connect=None, tls=None, tls_version=None, issuer=None, first_byte=None, status=None,
        clock_ahead=-7200.0, throughput=None, failed_step="dns", proxy=None,
    )  # fmt: skip
    table = {step.name: step for step in network_test_rows(nothing)}
    assert (table["Name lookup (DNS)"].value, table["Name lookup (DNS)"].good) == ("failed", False)
    assert table["Connection"].value == "not measured"
    assert (table["Clock"].value, table["Clock"].good) == ("2:00:00 behind the server", False)
    assert table["Proxy"].value == "none"


@pytest.mark.parametrize(
    ("change", "proxy", "trusted"),
    [
        ({"proxy": None}, "none", "those of the system and the bundled ones"),
        (
            {"proxy": "socks5h://127.0.0.1:7890", "proxy_source": "ALL_PROXY"},
            "socks5h://127.0.0.1:7890, set in ALL_PROXY",
            "those of the system and the bundled ones",
        ),
        (
            {"proxy_source": SETTINGS, "trust_file": "/etc/ca.pem", "trust_source": SETTING},
            "http://proxy.uni.example:3128, set in the settings",
            "only those in /etc/ca.pem, set in the settings",
        ),
        (
            {"proxy_source": SYSTEM, "trust_file": "/etc/ca.pem", "trust_source": "AWS_CA_BUNDLE"},
            "http://proxy.uni.example:3128, set in the system settings",
            "only those in /etc/ca.pem, set in AWS_CA_BUNDLE",
        ),
    ],
)
def test_proxy_and_trusted_certificates_are_shown_with_their_source(
    change: dict[str, Any], proxy: str, trusted: str
) -> None:
    table = {step.name: step for step in network_test_rows(replace(GOOD, **change))}
    assert (table["Proxy"].value, table["Trusted certificates"].value) == (proxy, trusted)


def test_a_failing_proxy_is_named() -> None:
    said = "the proxy http://proxy.uni.example:3128 (from HTTPS_PROXY) refuses the connection"
    step = network_test_rows(replace(GOOD, failed_step="proxy", error=said, connect=None))[0]
    assert (step.name, step.value, step.good) == ("Proxy", said, False)


def test_chart_lines_of_an_hour() -> None:
    taken = [
        sample(2.0 * n, retries=1, workers=8 + n // 900, first_byte_p50=0.1, first_byte_p95=0.2 + n / 1e4)
        for n in range(1800)
    ]
    hour = chart_data(taken, 3600.0)
    assert hour.span == 3600 and len(hour.speed) <= MAX_POINTS + 2
    assert {value for _, value in hour.speed} == {5e6}
    assert [hour.workers[0][1], hour.workers[-1][1]] == [8, 9]
    assert [at for at, _ in hour.memory] == sorted(at for at, _ in hour.memory)
    assert hour.retries[-1][1] == 30  # a minute
    assert hour.first_byte_p95[-1][1] == pytest.approx(0.2 + 1799 / 1e4)


def test_a_short_history_fills_the_chart() -> None:
    assert chart_data([], 5.0).span == 240
    for age, span in ((100, 240), (241, 960), (961, 3600), (9999, 3600)):
        assert chart_data([sample(0.0), sample(float(age))], float(age)).span == span


def test_suspend_leaves_a_gap_and_missing_values_are_none() -> None:
    taken = [*(sample(2.0 * n) for n in range(30)), *(sample(1000 + 2.0 * n) for n in range(30))]
    hour = chart_data(taken, 1060.0)
    assert [value for _, value in hour.speed].count(None) == 1
    assert hour.first_byte_p50 == () or all(value is None for _, value in hour.first_byte_p50)
    unknown = [sample(2.0 * n, process=Process(None, None, 0, None, 0)) for n in range(5)]
    assert not any(value for _, value in chart_data(unknown, 10.0).established)
    assert chart_data([], 5.0).speed == ()


class Scene:
    def __init__(self, root: tk.Tk) -> None:
        self.asked: list[str] = []
        self.root, self.theme = root, Theme(root)
        self.page = DiagnosticsPage(
            root,
            self.theme,
            DiagnosticsCallbacks(lambda: self.asked.append("test"), lambda: self.asked.append("report")),
        )
        self.page.pack(fill="both", expand=True)
        root.update()

    def texts(self) -> list[str]:
        return [str(cell["text"]) for cell in self.page._cells]


@pytest.fixture
def scene(root: tk.Tk) -> Scene:
    return Scene(root)


def test_buttons_call_back(scene: Scene) -> None:
    scene.page._test.invoke()
    scene.page._report.invoke()
    assert scene.asked == ["test", "report"]


def test_no_second_network_test_can_be_started(scene: Scene) -> None:
    scene.page.show_testing(True)
    scene.root.update()
    assert scene.page._test.instate(["disabled"])
    assert scene.page._progress.winfo_ismapped()
    scene.page.show_testing(False)
    scene.root.update()
    assert scene.page._test.instate(["!disabled"])
    assert not scene.page._progress.winfo_ismapped()


def test_diagnoses_appear_and_disappear(scene: Scene) -> None:
    page = scene.page
    page.show_diagnoses([describe(Diagnosis.THROTTLED), describe(Diagnosis.UNSTEADY)])
    scene.root.update()
    shown = [name["text"] for _, name, _ in page._diagnosis_rows if name.winfo_manager()]
    assert shown == ["The server asked to slow down", "The connection is unstable"]
    page.show_diagnoses([describe(Diagnosis.FINE)])
    scene.root.update()
    assert [name["text"] for _, name, _ in page._diagnosis_rows if name.winfo_manager()] == ["No problems found"]


def test_rows_and_charts_can_be_shown_repeatedly(scene: Scene) -> None:
    for _time in range(2):
        scene.page.show_steps(network_test_rows(GOOD))
        scene.page.show(chart_data([sample(2.0 * n) for n in range(100)], 200.0))
        scene.root.update()
    assert scene.texts().count("92.4") == 3
    assert "Jitter" in scene.texts()
    assert all(chart._series for chart in scene.page.charts)


def test_language_and_theme_can_change(scene: Scene) -> None:
    scene.page.show_steps(network_test_rows(GOOD))
    i18n.switch("zh_CN")
    scene.theme.use(DARK)
    scene.root.update()
    try:
        assert scene.page._test["text"] == "运行网络测试"
        assert "抖动" in scene.texts()
        assert scene.page.charts[0]["background"] == DARK.card
    finally:
        i18n.switch("en")


def test_the_report_contains_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from era5dl import log_file

    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("HTTPS_PROXY", "http://bob:hunter2@web-gate:8080")
    monkeypatch.setattr(support_report, "_user", lambda: "alice")
    monkeypatch.setattr(socket, "gethostname", lambda: "lab-pc-17.physics.example.edu")
    end = log_file.start_logging()
    log_file.logging.getLogger("era5dl").warning(
        "no route to web-gate for /home/alice/x via http://bob:hunter2@web-gate:8080"
    )
    end()
    session = SessionSummary(
        "a" * 12, Path("/mnt/secret-plan/era5"), "t of e5.oper.an.pl, 2021-02-01", 0.0, 0.0, 9, 3, 900, 300, 1, False,
        SessionStatus.INTERRUPTED,
    )  # fmt: skip
    data = ReportData(
        preferences=Preferences(
            folder="/home/alice/era5", proxy="http://carol:p%40ss@proxy.uni.example:3128",
            endpoint_url="https://mirror.internal:9000", selection='{"private": 1}', workers=12,
        ),
        network_test=replace(GOOD, error="no connection to proxy.uni.example port 3128"),
        diagnoses=(Diagnosis.THROTTLED,),
        samples=[sample(2.0 * n) for n in range(100)],
        sessions=[session],
        log=["12:00:00 t.nc: failed: /mnt/secret-plan/era5/t.nc on lab-pc-17", "hunter2 p@ss alone"],
    )  # fmt: skip
    path = tmp_path / support_report.file_name(0.0)
    support_report.write(path, data)
    with zipfile.ZipFile(path) as archive:
        text = "\n".join(archive.read(name).decode() for name in archive.namelist())
        assert sorted(archive.namelist()) == ["file-log.txt", "last-hour.csv", "report.txt", "window-log.txt"]
    for private in ("alice", "bob", "carol", "hunter2", "p@ss", "p%40ss", "web-gate", "uni.example", "mirror.internal",
                    "secret-plan", "lab-pc", "physics", "10.1.2.3", "private"):  # fmt: skip
        assert private not in text, private
    for helpful in ("workers = 12", "throttled", "t of e5.oper.an.pl, 2021-02-01", "TLSv1.3", "90000000",
                    "no route to <host>", "MD5 ",
                    "nsf-ncar-era5.s3.us-west-2.amazonaws.com", "aaaaaaaaaaaa interrupted: 3 of 9 files"):  # fmt: skip
        assert helpful in text, helpful
    assert list(tmp_path.glob("*.tmp")) == []


def test_the_report_states_the_proxy_and_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "all_proxy", "no_proxy", "NO_PROXY", "HTTPS_PROXY", "ERA5DL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/home/alice/ca.pem")

    def said(proxy: str = "") -> str:
        support_report.write(tmp_path / "r.zip", ReportData(preferences=Preferences(proxy=proxy)))
        with zipfile.ZipFile(tmp_path / "r.zip") as archive:
            text = archive.read("report.txt").decode()
        assert not any(private in text for private in ("alice", "hunter2", "gate"))
        return text

    monkeypatch.setenv("ALL_PROXY", "socks5h://alice:hunter2@gate:1080")
    assert "proxy: socks5h://<host>:1080, set in ALL_PROXY" in said()
    assert "set in AWS_CA_BUNDLE" in said()
    assert "proxy: http://127.0.0.1:3128, set in the settings" in said("http://alice:hunter2@127.0.0.1:3128")
    monkeypatch.setenv("ALL_PROXY", "quic://alice:hunter2@gate:1080")
    assert "proxy: cannot be used" in said()
    monkeypatch.delenv("ALL_PROXY")
    monkeypatch.delenv("AWS_CA_BUNDLE")
    assert "proxy: none" in said() and "the system's and the bundled ones" in said()


def test_a_report_without_a_run(tmp_path: Path) -> None:
    support_report.write(tmp_path / "r.zip", ReportData(preferences=Preferences()))
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        assert "not run" in archive.read("report.txt").decode()


def test_a_report_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "r.zip").mkdir()
    (tmp_path / "r.zip" / "full").touch()
    with pytest.raises(OSError, match=r"r\.zip"):
        support_report.write(tmp_path / "r.zip", ReportData(preferences=Preferences()))
    assert [path.name for path in tmp_path.iterdir()] == ["r.zip"]


def test_texts_and_report_do_not_import_tkinter() -> None:
    assert "tkinter" not in (vars(diagnosis_text).keys() | vars(support_report).keys())
