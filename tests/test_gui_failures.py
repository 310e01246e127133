"""Tests of the banners: what holds a download up, what happens next, and that they disappear."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from era5dl.engine import disk
from era5dl.engine.events import State
from era5dl.gui.models import preferences
from tests.faultlab import Certificates, Fault, FaultServer, Link
from tests.gui_driver import Window, options, two_days, wrong

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

SLOWLY = 150_000  # bytes a second: 2.4 MB take a while


def begun(open_window: Callable[..., Window], server: FaultServer, out: Path) -> Window:
    """Return a window during a download of two days of two variables."""
    server.link = Link(speed=SLOWLY)
    window = open_window(**options(server, out))
    window.plan("an.pl/t", "an.pl/u")
    window.app.actions.start()
    window.wait_until(lambda: (s := window.app.service.runs.snapshot()) is not None and s.done_bytes > 100_000)
    return window


def state(window: Window) -> State | None:
    snapshot = window.app.service.runs.snapshot()
    return None if snapshot is None else snapshot.state


def wait_for_banner_and_recovery(window: Window, *words: str, end: Callable[[], object]) -> None:
    """Wait for a banner with all of these words, call `end`, and wait until the run continues without banner."""
    window.wait_until(lambda: all(word in window.page.banner.text for word in words))
    assert "resumes automatically" in window.page.banner.text
    window.wait_until(lambda: words[0] in str(window.page.totals._left["text"]))
    end()
    window.wait_until(lambda: state(window) is State.RUNNING and not window.page.banner.text)


def finish(window: Window, server: FaultServer, out: Path, objects: dict[str, bytes]) -> None:
    server.link = Link()
    window.wait_until(lambda: "downloaded and verified" in window.page.banner.text)
    wanted = {key: data for key, data in objects.items() if "_v." not in key}
    assert wrong(out, wanted) == []


def test_a_full_disk_is_explained_and_the_run_continues_afterwards(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(disk, "CHECK_EVERY", 0.2)
    window = begun(open_window, fault_server, small_disk)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:  # another program fills the disk
            file.write(bytes(65536))
    wait_for_banner_and_recovery(window, "Waiting for disk space", "Free some space", end=ballast.unlink)
    finish(window, fault_server, small_disk, objects)


def test_a_login_page_is_explained_and_the_run_continues_afterwards(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    window = begun(open_window, fault_server, tmp_path)
    fault_server.script(Fault("login-page", times=None, on=("get", "head")))
    fault_server.cut_connections()
    wait_for_banner_and_recovery(window, "Waiting for the network", "login page", end=fault_server.calm)
    finish(window, fault_server, tmp_path, objects)


def test_an_outage_is_explained_and_the_run_continues_afterwards(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    window = begun(open_window, fault_server, tmp_path)
    fault_server.outage(1.5)
    wait_for_banner_and_recovery(window, "Waiting for the network", "Nothing is lost", end=lambda: None)
    finish(window, fault_server, tmp_path, objects)


@pytest.mark.parametrize("kind", ["expired", "stranger"])
def test_an_invalid_certificate_is_explained(open_window: Callable[..., Window], tmp_path: Path, kind: str) -> None:
    """The certificate is valid at first; then the server presents an expired one, or one of an unknown authority."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    right = _certificates(ca_file, authority.issue_cert("127.0.0.1"))
    wrong_ones = {
        "expired": authority.issue_cert("127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=1)),
        "stranger": trustme.CA().issue_cert("127.0.0.1"),
    }
    preferences.save(replace(preferences.load(), ca_bundle=str(ca_file)))
    with FaultServer(certificates=right) as server:
        objects = two_days(server)
        window = begun(open_window, server, tmp_path / "era5")

        def restore() -> None:
            server.certificates = right

        server.certificates = _certificates(ca_file, wrong_ones[kind])
        server.cut_connections()
        wait_for_banner_and_recovery(window, "Waiting for a trusted certificate", "date and time", end=restore)
        finish(window, server, tmp_path / "era5", objects)
        window.close()


def _certificates(ca_file: Path, issued: trustme.LeafCert) -> Certificates:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return Certificates(ca_file, context)
