"""Tests of the log file (rotation, no secrets) and of redaction."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl import log_file
from era5dl.redaction import REDACTED, Redactor, redact_secrets

log = logging.getLogger("era5dl")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "state" / "logs" / "era5dl.log"
    end = log_file.start_logging(file)
    yield file
    end()


def test_a_line_has_time_level_name_and_message(path: Path) -> None:
    log.info("begun")
    (line,) = path.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO    era5dl: begun", line)


def test_libraries_log_to_the_file_and_not_to_the_terminal(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("urllib3.connectionpool").warning("Connection pool is full")
    logging.getLogger("botocore.httpsession").warning("something")
    logging.getLogger("urllib3.connectionpool").debug("GET / HTTP/1.1")
    assert "Connection pool is full" in path.read_text()
    assert "something" in path.read_text()
    assert "GET /" not in path.read_text()
    assert capfd.readouterr() == ("", "")


def test_stopping_restores_the_loggers(tmp_path: Path) -> None:
    before = {
        name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in ("era5dl", "urllib3")
    }
    log_file.start_logging(tmp_path / "x.log")()
    assert before == {name: (logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in before}


def test_secrets_are_redacted_in_messages_and_tracebacks(path: Path) -> None:
    log.warning("proxy %s", "http://me:hunter2@proxy.example:3128")
    try:
        raise OSError("cannot connect to http://me:hunter2@proxy.example:3128")
    except OSError:
        log.exception("failed")
    text = path.read_text()
    assert "hunter2" not in text
    assert text.count(f"http://{REDACTED}@proxy.example:3128") == 3  # the message, the line of source, the error
    assert "Traceback" in text


def test_a_message_cannot_add_a_line(path: Path) -> None:
    log.info("key %s", "a\n2026-01-01T00:00:00Z ERROR   era5dl: forged\x1b[31m")
    assert len(path.read_text().splitlines()) == 1
    assert "\x1b" not in path.read_text()


@pytest.mark.slow
def test_the_file_is_rotated(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log_file, "MAX_BYTES", 5000)
    small = tmp_path / "small.log"
    end = log_file.start_logging(small)
    for number in range(2000):
        log.info("line %d", number)
    end()
    files = sorted(tmp_path.glob("small.log*"))
    assert len(files) == 1 + log_file.OLD_FILES
    assert all(file.stat().st_size <= 5000 for file in files)
    assert log_file.last_lines(1, small)[0].endswith("line 1999")


def test_a_file_that_cannot_be_rotated_keeps_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MAX_BYTES", 500)
    file = tmp_path / "x.log"
    (tmp_path / "x.log.1").mkdir()  # stands in the way, as an open file does on Windows
    (tmp_path / "x.log.1" / "full").touch()
    (tmp_path / "x.log.2").mkdir()
    (tmp_path / "x.log.2" / "full").touch()
    end = log_file.start_logging(file)
    for number in range(100):
        log.info("line %d", number)
    end()
    assert log_file.last_lines(1, file)[0].endswith("line 99")


def test_a_missing_log_folder_is_not_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    end = log_file.start_logging(tmp_path / "file" / "x.log")
    logging.getLogger("urllib3").warning("unheard")
    end()
    assert capfd.readouterr() == ("", "")
    assert log_file.last_lines(5, tmp_path / "none.log") == []


def test_no_file_is_created_without_messages(tmp_path: Path) -> None:
    log_file.start_logging(tmp_path / "logs" / "x.log")()
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_logs_to_the_file(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from era5dl.cli import main

    def run(*_given: object) -> int:
        logging.getLogger("urllib3.connectionpool").warning("Connection pool is full")
        return 0

    monkeypatch.setattr(main, "_run", run)
    assert main.main(["sessions"]) == 0
    assert capfd.readouterr() == ("", "")
    assert "pool is full" in log_file.last_lines()[-1]
    assert not any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger("urllib3").handlers)


NASTY = [
    ("http://user:pass@proxy:3128", "pass"),
    ("HTTP://USER:PASS@PROXY:3128", "PASS"),
    ("socks5h://u:pa%40ss@h:1", "pa%40ss"),
    ("http://u:p@ss/w:rd@h:1/path", "p@ss/w:rd"),
    ("https_proxy=u:secret1@host:8080", "secret1"),
    ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("{'Proxy-Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    ("headers: authorization=Bearer abc.def.ghi", "abc.def.ghi"),
    ("Cookie: session=deadbeef; other=1", "deadbeef"),
    ("set-cookie: a=deadbeef", "deadbeef"),
    ('"proxy_password": "hunter2"', "hunter2"),
    ("aws_secret_access_key = AbC/123+x", "AbC/123+x"),
    ("https://b.s3.amazonaws.com/k?X-Amz-Signature=0123abcd&x=1", "0123abcd"),
    ("X-Amz-Security-Token=FwoGZX", "FwoGZX"),
    ("password='two words'", "two words"),
    ("two http://a:one1@h and http://b:two2@h", "one1"),
    ("two http://a:one1@h and http://b:two2@h", "two2"),
]


@pytest.mark.parametrize(("text", "secret"), NASTY)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact_secrets(text)
    assert REDACTED in redact_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc: the MD5 does not match",
        "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/?list-type=2&prefix=e5",
        "412 Precondition Failed, ETag \"0123-72\"",
        "12:34:56 three words: and more",
    ],
)  # fmt: skip
def test_harmless_text_is_not_redacted(text: str) -> None:
    assert redact_secrets(text) == text


@given(st.text(st.characters(codec="ascii", exclude_characters=" \t\r\n\x0b\x0c\"'<>\x1c\x1d\x1e\x1f"), min_size=4))
def test_any_password_is_redacted(password: str) -> None:
    shown = redact_secrets(f"proxy http://person:{password}@proxy.example.org:3128 refused")
    assert shown.startswith(f"proxy http://{REDACTED}@") and shown.endswith("proxy.example.org:3128 refused")


ME = Redactor(
    homes=["/home/alice", "C:\\Users\\Alice Smith"],
    folders=["/mnt/projects/secret-plan", "\\\\nas\\group$\\era5"],
    user="alice",
    machine="lab-pc-17.physics.example.edu",
    urls=["http://alice:p@ss%21@proxy.example.edu:3128", "https://mirror.internal:9000", "10.0.0.9:8080"],
)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("/home/alice/era5/x.nc", "alice"),
        ("/home/alicia/data", "alicia"),
        ("/data/home/bob/x", "bob"),
        ("file:///Users/Carol/Desktop", "Carol"),
        (r"C:\Users\Alice Smith\era5", "Smith"),
        (r'{"folder": "C:\\Users\\Alice Smith\\era5"}', "Smith"),
        ("c:/users/dave/x", "dave"),
        (r"D:\Documents and Settings\erin\x", "erin"),
        ("/mnt/projects/secret-plan/e5/x.nc", "secret-plan"),
        (r"\\nas\group$\era5\x.nc", "nas"),
        (r"\\fileserver\share\x", "fileserver"),
        ("no connection to proxy.example.edu port 3128", "proxy.example"),
        ("Failed to resolve 'Proxy.Example.EDU'", "Example"),
        ("HTTPSConnectionPool(host='mirror.internal', port=9000)", "mirror"),
        ("on lab-pc-17: refused", "lab-pc"),
        ("lab-pc-17.physics.example.edu", "physics"),
        ("another.host.example.org answered", "example"),
        ("http://10.0.0.9:8080/x", "10.0.0.9"),
        ("connect to 192.168.1.44 failed", "192.168"),
        ("addresses = ('2001:db8::17', 'fe80::1%eth0')", "db8"),
        ("mail alice.smith@example.org", "smith"),
        ("password p@ss! seen alone", "p@ss!"),
        ("p@ss%21 seen alone", "p@ss%21"),
        ("user alice has", "alice"),
        ("http://x:y@other.example.net:1/", "other"),
        ("http://x:y@other.example.net:1/", "x:y"),
    ],
)
def test_names_of_people_computers_and_folders_are_redacted(text: str, gone: str) -> None:
    assert gone.lower() not in ME(text).lower(), ME(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/ 200",
        "http://127.0.0.1:9000 localhost ::1",
        "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc",
        "t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28",
        "2026-03-01T14:05:06Z WARNING urllib3.connectionpool: pool is full",
        "era5dl 0.1.0, Python 3.11.7, boto3 1.44.5",
        "a malice of chalices: not a name",
    ],
)
def test_useful_text_is_not_redacted(text: str) -> None:
    assert ME(text) == text


def test_unusual_home_folders_and_names_are_tolerated() -> None:
    odd = Redactor(homes=["/", "", "."], folders=[""], user="", machine="", urls=["", "http://[::1", "::::"])
    assert odd("a/b c.d /x") == "a/b c.d /x"
    assert Redactor(user="root", homes=["/root"])("the root certificate in /root/x") == "the root certificate in ~/x"


@given(st.text(max_size=300))
def test_redaction_never_fails(text: str) -> None:
    assert isinstance(ME(text), str)
