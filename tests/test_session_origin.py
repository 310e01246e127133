"""Tests of consent: a session that names another server than the settings is used only after a yes to that server.

The yes is a flag, an answer at the terminal, or a dialog of the window. Without it no connection is made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import OtherEndpoint
from era5dl.gui.backend import messages
from era5dl.gui.backend.service import BackendService
from era5dl.session import Session, list_sessions
from era5dl.session.origin import address_of, check_origin
from era5dl.session.resume_format import render
from era5dl.settings import Settings
from tests.faultlab import FaultServer, pseudo_random
from tests.gui_driver import Window
from tests.runs import plan_of, settings_for, wrong_files
from tests.session_samples import objects as example_objects
from tests.session_samples import plan_of as plan_of_objects
from tests.test_gui_service import MessageCollector

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

DATA = {f"{n}.bin": pseudo_random(n, 100_000) for n in range(2)}
UNUSED_ADDRESS = "http://127.0.0.1:9"  # in the settings; no server listens there


@pytest.fixture
def foreign_session(fault_server: FaultServer, tmp_path: Path) -> Path:
    """Create a folder with a session of the test server, as another person may have sent it."""
    for key, data in DATA.items():
        fault_server.put(key, data)
    settings = settings_for(fault_server)
    bucket = S3Bucket(settings)
    with Session.begin(tmp_path / "out", plan_of(bucket), settings):
        pass
    bucket.drop_idle_connections()
    fault_server.reset_stats()
    return tmp_path / "out"


def era5dl(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ERA5DL_")}
    return subprocess.run(
        [sys.executable, "-m", "era5dl", *map(str, words)],
        env=clean | {"ERA5DL_STATE_DIR": os.environ["ERA5DL_STATE_DIR"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("configured", [None, UNUSED_ADDRESS])
@pytest.mark.parametrize("command", ["resume", "verify"])
def test_without_consent_no_connection_is_made(
    foreign_session: Path, fault_server: FaultServer, command: str, configured: str | None
) -> None:
    environ = {"ERA5DL_ENDPOINT_URL": configured} if configured else {}
    (foreign_session / "0.bin").write_bytes(b"x" * 100_000)
    refused = era5dl(command, foreign_session, "--json", **environ)
    assert refused.returncode == 3
    assert f"come from {fault_server.endpoint_url}" in refused.stderr
    assert f"--allow-endpoint {fault_server.endpoint_url}" in refused.stderr
    assert json.loads(refused.stdout.splitlines()[-1])["exit_code"] == 3
    assert not fault_server.stats().connections
    other = era5dl(command, foreign_session, "--allow-endpoint", UNUSED_ADDRESS, **environ)
    assert other.returncode == 3
    assert not fault_server.stats().connections


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--allow-endpoint", "--endpoint-url", "ERA5DL_ENDPOINT_URL"])
def test_a_server_in_the_settings_needs_no_consent(foreign_session: Path, fault_server: FaultServer, how: str) -> None:
    url = fault_server.endpoint_url
    if how.startswith("--"):
        done = era5dl("resume", foreign_session, how, url + "/", ERA5DL_DISK_RESERVE="0")
    else:
        done = era5dl("resume", foreign_session, **{how: url}, ERA5DL_DISK_RESERVE="0")
    assert done.returncode == 0, done.stderr
    assert wrong_files(foreign_session, DATA) == []


@pytest.mark.slow
def test_suggested_command_names_the_server(foreign_session: Path, fault_server: FaultServer) -> None:
    url = fault_server.endpoint_url
    fault_server.script(*["access-denied"] * 50)
    failed = era5dl("resume", foreign_session, "--allow-endpoint", url, "--retries", 0, ERA5DL_DISK_RESERVE="0")
    assert failed.returncode in (1, 3), failed.stderr
    (suggestion,) = [line for line in failed.stderr.splitlines() if "era5dl resume" in line]
    assert suggestion.endswith(f"--allow-endpoint {url}")
    fault_server.calm()
    assert era5dl("resume", foreign_session, *suggestion.split()[-2:], ERA5DL_DISK_RESERVE="0").returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="terminals of Unix")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 3), ("\n", 3), ("\x04", 3)])
def test_user_at_a_terminal_is_asked(foreign_session: Path, fault_server: FaultServer, answer: str, code: int) -> None:
    import pty

    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "era5dl", "resume", str(foreign_session), "--quiet"],
        env={**os.environ, "ERA5DL_DISK_RESERVE": "0", "ERA5DL_ENDPOINT_URL": ""},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    output = b""
    while b"[y/N]" not in output:
        output += os.read(master, 4096)
    assert fault_server.endpoint_url.encode() in output
    assert not fault_server.stats().connections
    os.write(master, answer.encode())
    try:
        while more := os.read(master, 4096):
            output += more
    except OSError:  # the other end is gone
        pass
    os.close(master)
    assert process.wait(60) == code, output
    assert bool(fault_server.stats().connections) is (code == 0)


def test_backend_asks_for_consent_and_then_resumes(foreign_session: Path, fault_server: FaultServer) -> None:
    settings = Settings(disk_reserve=0)
    service = BackendService()
    collector = MessageCollector(service)
    (known,) = list_sessions(foreign_session)
    service.runs.open_session(foreign_session, None, settings)
    asked = collector.wait_for(messages.ConsentRequired)
    assert asked == messages.ConsentRequired(known.id, foreign_session, fault_server.endpoint_url)
    service.sessions.verify(foreign_session, known.id, settings)
    assert collector.wait_for(messages.ConsentRequired).verifying
    assert not fault_server.stats().connections
    service.trust_server(asked.address)
    service.runs.open_session(foreign_session, known.id, settings)
    assert collector.wait_for(messages.RunFinished).result.verified == 2
    service.close()


@pytest.mark.slow
def test_window_asks_for_consent(
    open_window: Callable[..., Window], foreign_session: Path, fault_server: FaultServer
) -> None:
    window = open_window(out=foreign_session.parent / "elsewhere", folder=foreign_session)
    window.wait_until(lambda: window.app.dialogs.consent)
    question = window.app.dialogs.consent
    assert question is not None
    # "No" has the focus, so that a key press meant for something else does not give consent.
    window.wait_until(lambda: window.root.focus_get() is question.no)
    question.no.invoke()
    window.root.update()
    assert not window.app.service.runs.busy
    assert not fault_server.stats().connections
    window.app.controllers.download.resume_session(foreign_session, None)
    window.wait_until(lambda: window.app.dialogs.consent is not question)
    assert window.app.dialogs.consent is not None
    window.app.dialogs.consent.yes.invoke()
    window.wait_until(lambda: "2 files downloaded" in window.page.banner.text)
    assert wrong_files(foreign_session, DATA) == []
    window.close()


def test_changed_server_needs_new_consent(tmp_path: Path) -> None:
    """Consent is given to a server, not to a session."""
    made = plan_of_objects(example_objects(3))
    agreed = replace(Settings(), endpoint_url=UNUSED_ADDRESS)
    with Session.begin(tmp_path, made, agreed) as session:
        changed = replace(session.info, endpoint_url="http://127.0.0.1:10")
        path = tmp_path / ".era5dl" / f"{session.id}.json"
        path.write_bytes(render(changed, session.checkpoint, made.objects, time.time()))
    service = BackendService()
    service.trust_server(UNUSED_ADDRESS)
    collector = MessageCollector(service)
    service.runs.open_session(tmp_path, session.id, Settings())
    assert collector.wait_for(messages.ConsentRequired).address == "http://127.0.0.1:10"


AMAZON = Settings()
MIRROR = Settings(endpoint_url="https://mirror.example:443")


@pytest.mark.parametrize(
    ("session", "configured", "allowed", "agreed"),
    [
        (AMAZON, AMAZON, (), True),
        (AMAZON, MIRROR, (), True),  # the default bucket
        (MIRROR, AMAZON, (), False),
        (MIRROR, replace(MIRROR, endpoint_url="HTTPS://Mirror.example/"), (), True),
        (MIRROR, replace(MIRROR, endpoint_url="http://mirror.example:443"), (), False),
        (replace(MIRROR, bucket="other"), MIRROR, (), True),  # an endpoint is one server with all its buckets
        (replace(AMAZON, bucket="other"), AMAZON, (), False),  # at Amazon anybody can create a bucket
        (replace(AMAZON, bucket="other"), replace(AMAZON, bucket="other"), (), True),
        (replace(AMAZON, region="eu-west-1"), AMAZON, (), False),
        (MIRROR, AMAZON, ("https://mirror.example",), True),
        (MIRROR, AMAZON, ("https://mirror.example.evil.test",), False),
        (MIRROR, AMAZON, ("https://mirror.example:444",), False),
        (MIRROR, AMAZON, ("https://evil.test@mirror.example",), True),  # the host decides
        (MIRROR, AMAZON, ("https://mirror.example@evil.test",), False),
        (MIRROR, AMAZON, ("http://[", ""), False),
    ],
)
def test_servers_that_are_allowed(
    session: Settings, configured: Settings, allowed: tuple[str, ...], agreed: bool
) -> None:
    if agreed:
        check_origin(session, configured, allowed)
        return
    with pytest.raises(OtherEndpoint) as refused:
        check_origin(session, configured, allowed)
    assert refused.value.address == address_of(session)
    assert address_of(session) in refused.value.remedy
