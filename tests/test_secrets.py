"""Tests of passwords: given to their proxy, and to no terminal, record, log or file."""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Unreachable, UsageError
from era5dl.gui.models.preferences import Preferences, load, save
from era5dl.gui.models.settings_form import read
from era5dl.log_file import start_logging
from era5dl.redaction import redact_url
from era5dl.session import FailedObject, Session
from era5dl.session.index import remember
from era5dl.session.resume_file import backup_path
from era5dl.session.resume_format import render
from era5dl.settings import Settings
from tests.command_line import call_main
from tests.session_samples import objects, plan_of

SECRET = "zQ9vuLt7"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "how", "debug"),
    [
        ("diagnose", "ERA5DL_PROXY", ""),
        ("diagnose", "HTTPS_PROXY", ""),
        ("plan", "mistyped", "1"),
        ("plan", "no port", ""),
    ],
)
def test_no_command_prints_or_stores_a_proxy_password(tmp_path: Path, command: str, how: str, debug: str) -> None:
    with socket.socket() as closed:  # bound but not listening, so that connections are refused
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        address = {
            "mistyped": f"htp://user:{SECRET}@127.0.0.1:{port}",
            "no port": f"http://user:{SECRET}@127.0.0.1:port",
        }.get(how, f"http://user:{SECRET}@127.0.0.1:{port}")
        variable = how if how.endswith("PROXY") else "ERA5DL_PROXY"
        said = _run(tmp_path, {variable: address, "ERA5DL_DEBUG": debug}, command)
    assert said.returncode != 0 or command == "diagnose"
    assert SECRET not in said.stdout + said.stderr
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_exception_contains_a_proxy_password(scheme: str) -> None:
    """Not even in the traceback, which ERA5DL_DEBUG shows and users send to others."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"{scheme}://user:{SECRET}@127.0.0.1:{closed.getsockname()[1]}"
        for endpoint in ("https://s3.example.invalid", "http://s3.example.invalid"):
            bucket = S3Bucket(Settings(proxy=proxy, endpoint_url=endpoint, connect_timeout=1, read_timeout=1))
            with pytest.raises(Unreachable) as refused:
                bucket.head("a")
            assert SECRET not in "".join(traceback.format_exception(refused.value))


def _run(folder: Path, settings: dict[str, str], command: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environ |= {"ERA5DL_STATE_DIR": str(folder), "ERA5DL_CONNECT_TIMEOUT": "1", **settings}
    words = ["plan", "--keys-file", "-"] if command == "plan" else ["diagnose", "--json"]
    return call_main([*words, "--endpoint-url", "https://s3.example.invalid"], environ, stdin="e5.oper.an.pl/a.nc\n")


MISTYPED = [
    "htp://user:{0}@127.0.0.1:3128",
    "http//user:{0}@127.0.0.1:3128",
    "http:/user:{0}@127.0.0.1:3128",
    "http:user:{0}@127.0.0.1:3128",
    "user:{0}@127.0.0.1:port",
    "http://user:{0}/x@127.0.0.1",
    "http://user:{0}#x@127.0.0.1",
    "http://user:a {0} b@127.0.0.1",
    'http://user:"{0}@127.0.0.1:x',
    "http://user:a@{0}@127.0.0.1:x",
    "http://user:{0}",
    "http://user:{0}127.0.0.1:3128",
    "://:{0}@",
    "@{0}@",
]


@pytest.mark.parametrize("text", MISTYPED)
def test_a_mistyped_proxy_is_shown_without_its_password(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Settings(proxy=text.format(SECRET))
    assert SECRET not in str(refused.value) + refused.value.remedy
    with pytest.raises(UsageError) as refused:
        Settings.from_environment({"ERA5DL_PROXY": text.format(SECRET)})
    assert SECRET not in str(refused.value) + refused.value.remedy
    assert SECRET not in redact_url(text.format(SECRET))


def test_settings_do_not_show_the_password_of_a_proxy() -> None:
    assert SECRET not in repr(Settings(proxy=f"http://user:{SECRET}@127.0.0.1:1"))
    with pytest.raises(UsageError) as refused:
        Settings(proxy=f"http://user:{SECRET}@127.0.0.1:1".encode())  # type: ignore[arg-type]
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(Preferences(proxy=f"http://user:{SECRET}@127.0.0.1:1"))


ENDPOINTS = [
    "http://user:{0}@127.0.0.1:1",
    "http://{0}@127.0.0.1:1",
    "http://user:{0}/@127.0.0.1:1",
    "http://127.0.0.1:1/user:{0}@x",
    "http://127.0.0.1:1/?X-Amz-Signature={0}",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", ENDPOINTS)
@pytest.mark.parametrize("how", ["flag", "environment", "window", "misspelt flag"])
def test_an_endpoint_with_a_login_is_refused_and_not_stored(tmp_path: Path, text: str, how: str) -> None:
    url = text.format(SECRET)
    environ = {"ERA5DL_STATE_DIR": str(tmp_path / "state"), "ERA5DL_DEBUG": "1"}
    words = ["download", "--keys-file", "-", "--out", str(tmp_path / "out")]
    program = "era5dl"
    if how == "flag":
        words += ["--endpoint-url", url]
    elif how == "misspelt flag":
        words += [f"--enpoint-url={url}"]
    else:
        environ["ERA5DL_ENDPOINT_URL"] = url
    if how == "window":
        if "?" in url:
            pytest.skip("shown in the window, where it can be corrected")
        program, words = "era5dl.gui", []
    said = subprocess.run(
        [sys.executable, "-m", program, *words],
        input="e5.oper.an.pl/a.nc\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, **environ},
    )
    assert said.returncode == 2
    assert SECRET not in said.stdout + said.stderr
    assert how == "misspelt flag" or "@" in said.stderr or "such as" in said.stderr
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("name", ["endpoint_url", "proxy"])
def test_the_settings_dialog_refuses_an_endpoint_with_a_login(name: str) -> None:
    url = f"http://user:{SECRET}@127.0.0.1:1"
    made, problems = read({name: url}, Preferences())
    assert bool(problems) is (name == "endpoint_url")
    assert made.endpoint_url == ""
    assert SECRET not in str(problems)


def test_preferences_of_earlier_versions_lose_the_login_of_an_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "window.json"
    file.write_text(f'{{"endpoint_url": "http://user:{SECRET}@127.0.0.1:1"}}')
    file.chmod(0o644)
    found = load(file)
    assert found.endpoint_url == "http://127.0.0.1:1"
    assert save(found, file)
    assert SECRET not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 or os.name == "nt"


def test_a_resume_file_of_earlier_versions_loses_the_login_of_its_endpoint(tmp_path: Path) -> None:
    settings = Settings(endpoint_url="http://127.0.0.1:1")
    made = plan_of(objects(3))
    with Session.begin(tmp_path, made, settings) as session:
        info = replace(session.info, endpoint_url=f"http://user:{SECRET}@127.0.0.1:1")
        file = tmp_path / ".era5dl" / f"{session.id}.json"
        for path in (file, backup_path(file)):
            path.write_bytes(render(info, session.checkpoint, made.objects, 1.0))
    assert SECRET in file.read_text()
    with Session.open(tmp_path) as session:
        assert session.info.endpoint_url == "http://127.0.0.1:1"
        assert any("password" in note and SECRET not in note for note in session.notes)
    for path in (tmp_path / ".era5dl").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path


def test_reasons_are_stored_without_secrets(tmp_path: Path) -> None:
    made = plan_of(objects(3))
    with Session.begin(tmp_path, made, Settings()) as session:
        reason = f"cannot reach http://user:{SECRET}@127.0.0.1:1"
        failure = FailedObject(0, made.objects[0].key, reason, reason, 1.0)
        session.save(replace(session.checkpoint, failures=(failure,)))
        assert SECRET not in (tmp_path / ".era5dl" / f"{session.id}.json").read_text()


@pytest.mark.skipif(os.name == "nt", reason="rights of Unix")
def test_private_files_are_readable_only_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if an earlier version, or the umask, has created them with wider permissions."""
    state = tmp_path / "state"
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(state))
    before = os.umask(0)
    try:
        for again in range(2):
            remember(f"{again:012x}", tmp_path, "a title", 1.0)
            assert save(Preferences(proxy=f"http://user:{SECRET}@127.0.0.1:1"))
            end = start_logging()
            logging.getLogger("era5dl").warning("a line")
            end()
            folders = [state, state / "logs"]
            files = [path for path in state.rglob("*") if path.is_file()]
            assert {path.name for path in files} >= {"sessions.json", "window.json", "era5dl.log"}
            rights = {path: stat.S_IMODE(path.stat().st_mode) for path in (*files, *folders)}
            assert rights == {**dict.fromkeys(files, 0o600), **dict.fromkeys(folders, 0o700)}
            (state / "logs" / "era5dl.log.1").touch()
            for path in (*files, *folders, state / "logs" / "era5dl.log.1"):
                path.chmod(0o777 if path.is_dir() else 0o666)
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="rights of Unix")
def test_a_folder_with_other_files_keeps_its_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path))
    (tmp_path / "somebody's").touch()
    tmp_path.chmod(0o755)
    remember("0" * 12, tmp_path, "a title", 1.0)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "sessions.json").stat().st_mode) == 0o600
