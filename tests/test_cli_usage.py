"""Tests of the command line: help, wrong usage, exit codes, stdout and stderr. No server.

Tests of what the process does with streams, variables and its exit code start one (`run`); the others call `main`.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import era5dl
from era5dl.cli import json_output
from era5dl.cli.json_output import event_names
from era5dl.errors import Era5Error
from tests.command_line import call_main


def run(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `era5dl WORDS` with a clean environment."""
    return subprocess.run(
        [sys.executable, "-m", "era5dl", *words],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env={**clean_environment(), "PYTHONIOENCODING": "utf-8", **environ},
    )


def called(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `era5dl WORDS` in this process with a clean environment."""
    return call_main(words, {**clean_environment(), **environ}, stdin)


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that change the program's settings or Python's buffering."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ERA5DL_", "PYTHONUNBUF"))}


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_help_mentions_commands_exit_codes_and_variables() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("ERA5", "products", "resume", "diagnose", "130", "ERA5DL_ENDPOINT_URL", "HTTPS_PROXY", "Ctrl-C"):
        assert word in done.stdout
    assert done.stderr == ""


def test_without_a_command_the_help_is_printed_to_stderr() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert run("--help").stdout in done.stderr
    assert done.stderr.endswith("era5dl: error: the following arguments are required: COMMAND\n")
    assert "exit codes:" not in run("fetch").stderr


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"era5dl {era5dl.__version__}\n"


@pytest.mark.parametrize("code", ["import era5dl", "from era5dl.cli.main import main; main(['--help'])"])
def test_help_imports_no_slow_module(code: str) -> None:
    heavy = {"boto3", "botocore", "urllib3", "rich", "h5py", "numpy", "platformdirs", "psutil", "ssl", "logging"}
    script = f"import sys\n{code}\nprint(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required"),
        (("fetch",), "invalid choice"),
        (("download", "--variable", "2t", "--years", "2020"), "--out"),
        (("plan",), "Nothing is selected"),
        (("plan", "--variable", "2t"), "day"),
        (("plan", "--variable", "2t", "--start", "2021-02-30", "--end", "2021-03-01"), "2021-02-30"),
        (("plan", "--variable", "2t", "--start", "2021-03-01"), "--end"),
        (("plan", "--variable", "2t", "--years", "20x0"), "20x0"),
        (("plan", "--variable", "nonsense", "--years", "2020"), "nonsense"),
        (("plan", "--variable", "2t", "--years", "2020", "--limit-rate", "fast"), "5M"),
        (("plan", "--variable", "2t", "--years", "2020", "--limit-rate", "0.5"), "0.5M is 500,000 bytes per second"),
        (("plan", "--variable", "2t", "--years", "2020", "--limit-rate", "8h,1M"), "08:00,1M 20:00,off"),
        (("plan", "--variable", "2t", "--years", "2020", "--workers", "0"), "from 1 to 256, or auto"),
        (("plan", "--variable", "2t", "--years", "2020", "--workers", "many"), "1 to 256, or auto"),
        (("plan", "--variable", "2t", "--years", "2020", "--months", "13"), "a range such as 1-12"),
        (("plan", "--variable", "2t", "--years", "20"), "four digits, such as 2020"),
        (("plan", "--variable", "2t", "--years", "2020", "--months", "2", "--days", "30"), "that these months have"),
        (("plan", "--variable", "2t", "--year", "2020"), "--year 2020 (did you mean --years?)"),
        (("download", "--variables=2t", "--out", "x", "--month", "2"), "(did you mean --variable, --months?)"),
        (("plan", "--variable", "2t", "--whatever", "2020"), "--whatever 2020\n"),
        (("plan", "--variable", "2t", "--years", "2020", "--work", "1"), "--work"),
        (("plan", "--variable", "2t", "--years", "2020", "--ca-bundle", "/no/such"), "/no/such"),
        (("plan", "--keys-file", "/no/such"), "cannot be read"),
        (("plan", "--keys-file", "-", "--variable", "2t"), "--variable"),
        (("plan", "--keys-file", "-"), "empty"),
        (("plan", "--preset", "wfr", "--years", "2020"), "wrf"),
    ],
)
def test_invalid_usage_has_exit_code_2_and_a_reason(words: tuple[str, ...], said: str) -> None:
    done = called(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("plan", "--json"), ("plan", "--jason", "--json"), ("sessions", "--json", "x")])
def test_with_json_the_last_record_is_end(words: tuple[str, ...]) -> None:
    done = called(*words)
    last = records(done.stdout)[-1]
    assert (last["event"], last["exit_code"], done.returncode) == ("end", 2, 2)
    assert last["error"]


@pytest.mark.slow
def test_an_unreachable_endpoint_has_exit_code_3(tmp_path: Path) -> None:
    done = run("plan", "--keys-file", "-", "--endpoint-url", "http://127.0.0.1:1", stdin="a/b.nc\n")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2].startswith("era5dl: ")
    assert "Traceback" not in done.stderr


def test_an_unusable_folder_is_reported_before_planning(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for out, reason in ((file, "is unusable"), (file / "sub", "cannot be created")):
        words = ("download", "--keys-file", "-", "--out", str(out), "--endpoint-url", "http://127.0.0.1:1")
        done = called(*words, stdin="a/b.nc\n")
        assert done.returncode == 3
        assert "Looking up" not in done.stderr
        assert f"{out} {reason}: {file} is not a folder" in done.stderr
    assert [*tmp_path.iterdir()] == [file]


def test_flags_override_environment_variables() -> None:
    words = ("diagnose", "--json")
    told = records(called(*words, ERA5DL_ENDPOINT_URL="http://127.0.0.1:1").stdout)[0]
    assert told["endpoint"] == "http://127.0.0.1:1/nsf-ncar-era5/"
    flag = records(
        called(*words, "--endpoint-url", "http://127.0.0.1:2", ERA5DL_ENDPOINT_URL="http://x.invalid").stdout
    )[0]
    assert flag["endpoint"] == "http://127.0.0.1:2/nsf-ncar-era5/"


def test_a_traceback_is_printed_only_when_debugging() -> None:
    assert "Traceback" in called("plan", ERA5DL_DEBUG="1").stderr
    assert "Traceback" not in called("plan", ERA5DL_DEBUG="0").stderr


def test_products_and_variables_are_listed() -> None:
    assert "an.pl" in called("products").stdout
    done = called("variables", "2t", "--product", "an.sfc")
    assert done.returncode == 0
    assert "128_167_2t" in done.stdout
    assert "mx2t" not in done.stdout
    found = records(called("variables", "--json").stdout)
    assert len([record for record in found if record["event"] == "variable"]) == 224
    assert len([r for r in records(called("products", "--json").stdout) if r["event"] == "product"]) == 8
    assert called("variables", "--product", "nope").returncode == 2


def test_every_json_event_is_documented() -> None:
    assert {"product", "variable", "end"} <= event_names()
    said = {
        str(record["event"])
        for record in records(called("products", "--json").stdout + called("variables", "--json").stdout)
    }
    assert said <= event_names()


@pytest.mark.slow
def test_a_closed_stdout_is_not_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        for words in (["variables"], ["variables", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "era5dl", *words],
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=clean_environment(),
                timeout=60,
            )
            assert done.returncode == 0
            assert b"Traceback" not in done.stderr
            assert b"BrokenPipe" not in done.stderr


def test_unknown_sessions_and_folders_are_reported(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    assert called("sessions", ERA5DL_STATE_DIR=state).returncode == 0
    done = called("resume", "0123456789ab", ERA5DL_STATE_DIR=state)
    assert done.returncode == 3
    assert "no session 0123456789ab" in done.stderr
    assert called("resume", str(tmp_path), ERA5DL_STATE_DIR=state).returncode == 3
    assert called("verify", str(tmp_path / "nowhere"), ERA5DL_STATE_DIR=state).returncode == 3
    assert called("verify", str(tmp_path), ERA5DL_STATE_DIR=state).returncode == 2
    assert not (tmp_path / ".era5dl").exists()


def test_control_characters_in_arguments_do_not_reach_the_terminal() -> None:
    done = called("variables", "\x1b[2Jboo\u202e")
    assert "\x1b" not in done.stderr + done.stdout
    assert "\u202e" not in done.stderr + done.stdout
    assert "boo" in done.stderr


@pytest.mark.slow
def test_characters_outside_the_terminals_encoding_are_escaped() -> None:
    done = run("diagnose", "--endpoint-url", "http://é.invalid", PYTHONIOENCODING="ascii")
    assert done.returncode == 3
    assert "UnicodeEncodeError" not in done.stderr
    assert "http://\\xe9.invalid" in done.stdout


def test_a_reader_that_has_ended_is_recognised_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows reports "invalid argument" instead of a broken pipe."""
    monkeypatch.setattr(json_output, "READER_GONE", errno.EINVAL)
    with pytest.raises(BrokenPipeError), json_output.stdout_errors():
        raise OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(Era5Error, match="No space"), json_output.stdout_errors():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_cds_says_what_a_request_is_here(tmp_path: Path) -> None:
    script = tmp_path / "request.py"
    call = "c.retrieve('reanalysis-era5-single-levels', {'variable': ['2t', 'tp'], 'date': '2021-01-01/2021-01-02'})"
    script.write_text(call, encoding="utf-16")  # as PowerShell's `>` writes it
    done = called("cds", str(script), "--json")
    found = records(done.stdout)
    assert {record["event"] for record in found} <= event_names()
    assert [record["event"] for record in found] == ["request", "item", "item", "warning", "warning", "end"]
    assert found[0]["dates"] == {"start": "2021-01-01", "end": "2021-01-02"}
    assert found[2]["variables"] == ["fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"]
    assert (done.returncode, found[-1]["exit_code"]) == (0, 0)
    shown = called("cds", str(script))
    assert "an.sfc/2t" in shown.stdout
    assert f"download --cds {script}" in shown.stderr


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('{"variable": "mwp", "date": "2021-01-01", "time": 0}', 1, ("absent", "waves")),
        ('{"variable": "2t", "date": "2021-01-01", "time": 0', 2, ("Line 1", "^")),
        ("nothing", 2, ("no CDS request",)),
        ('{"variable": "2t", "date": "2021-02-29"}', 2, ("no 2021-02-29", "has 28 days")),
    ],
)
def test_cds_exit_codes(text: str, code: int, words: tuple[str, ...]) -> None:
    done = called("cds", "-", "--dataset", "reanalysis-era5-single-levels", stdin=text)
    assert done.returncode == code
    for word in words:
        assert word in done.stdout + done.stderr


def test_cds_refuses_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd\x00\xd8" * 9)
    (tmp_path / "long").write_bytes(b" " * (5 << 20))
    for name, reason in (("binary", "not a text file"), ("long", "larger than"), ("none", "cannot be read")):
        done = called("cds", str(tmp_path / name))
        assert done.returncode == 2
        assert reason in done.stderr
    for flags in (["--variable", "2t"], ["--keys-file", "-"], ["--area", "1/2/0/3"]):
        done = called("plan", "--cds", str(tmp_path / "none"), *flags)
        assert (done.returncode, "cannot be combined" in done.stderr) == (2, True)
