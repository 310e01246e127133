"""Tests of messages to the pages: internal errors, support report, language switch, verification results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from era5dl.diagnosis.network_test import NetworkTest, Timing
from era5dl.engine.verify_files import FileCondition, FileReport
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo
from era5dl.gui.backend.service import NETWORK_TEST
from era5dl.gui.backend.sessions import VERIFYING
from era5dl.gui.text import i18n
from tests.gui_driver import Window

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

NEAR = Timing(10, 0.01, 0.009, 0.012, 0.001, 0)
FOUND = NetworkTest(
    endpoint="http://127.0.0.1:9/", proxy="", addresses=("127.0.0.1",), dns_seconds=0.01, connect=NEAR, tls=None,
    tls_version="", issuer="", first_byte=NEAR, status=200, clock_ahead=0.0, throughput=3e6, sample_bytes=32_000_000,
    failed_step="", error="", proxy_source="HTTPS_PROXY",
)  # fmt: skip


@pytest.fixture
def window(open_window: Callable[..., Window], tmp_path: Path) -> Window:
    return open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)


def test_a_crash_of_a_verification_is_shown_on_the_sessions_page(window: Window) -> None:
    page = window.app.pages.sessions
    window.app.actions.show_sessions()
    window.app.handle(messages.VerifyProgressed("a" * 12, 3, 10))
    window.root.update()
    assert page._verification.winfo_ismapped()
    window.app.handle(messages.TaskCrashed(VERIFYING, ErrorInfo.of(ValueError("a bug"))))
    window.root.update()
    assert not page._verification.winfo_ismapped()
    assert "ValueError: a bug" in page._banner.text
    assert any("a bug" in line.text for line in window.app.controllers.monitoring.log.lines())


def test_a_crash_of_the_network_test_is_shown_and_enables_the_button(window: Window) -> None:
    page = window.app.pages.diagnostics
    page.show_testing(True)
    assert page._test.instate(["disabled"])
    window.app.handle(messages.TaskCrashed(NETWORK_TEST, ErrorInfo.of(ValueError("a bug"))))
    assert page._test.instate(["!disabled"])
    assert page._test["text"] == "Run network test"
    assert "ValueError: a bug" in page._banner.text


def test_a_crash_in_the_network_test_task_reaches_the_page(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_settings: object) -> NetworkTest:
        raise ValueError("a bug")

    monkeypatch.setattr("era5dl.gui.backend.service.run_network_test", broken)
    window.app.controllers.monitoring.test_network()
    window.wait_until(lambda: "a bug" in window.app.pages.diagnostics._banner.text)
    assert window.app.pages.diagnostics._test.instate(["!disabled"])


def test_results_of_the_network_test_follow_the_language(window: Window) -> None:
    window.app.handle(messages.NetworkTested(FOUND))
    page = window.app.pages.diagnostics
    assert "Connection" in [str(cell["text"]) for cell in page._cells]
    window.app.controllers.preferences.use_language("zh_CN")
    try:
        texts = [str(cell["text"]) for cell in page._cells]
        assert i18n.translate("Connection") in texts
        assert "Connection" not in texts
    finally:
        window.app.controllers.preferences.use_language("en")


def test_the_page_shows_where_the_report_is_or_why_it_could_not_be_saved(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "tkinter.filedialog.asksaveasfilename"
    page = window.app.pages.diagnostics
    target = tmp_path / "report.zip"
    monkeypatch.setattr(asked, lambda **_options: str(target))
    page._report.invoke()
    assert target.is_file()
    assert str(target) in page._banner.text
    monkeypatch.setattr(asked, lambda **_options: str(tmp_path / "nowhere" / "report.zip"))
    page._report.invoke()
    assert "could not be saved" in page._banner.text


def test_verified_and_checked_files_are_counted_separately(window: Window, tmp_path: Path) -> None:
    found = (FileCondition.VERIFIED, FileCondition.CHECKED, FileCondition.CHECKED)
    examined = tuple(FileReport(place, "k", one) for place, one in enumerate(found))
    window.app.handle(messages.VerifyFinished("a" * 12, tmp_path, examined))
    text = window.app.pages.sessions._banner.text
    assert "1 file verified" in text
    assert "2 files checked" in text
    window.app.handle(
        messages.VerifyFinished("a" * 12, tmp_path, (*examined, FileReport(3, "k", FileCondition.ABSENT)))
    )
    assert "1 file is missing" in window.app.pages.sessions._banner.text
