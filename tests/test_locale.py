"""Tests of locales without Unicode: file names that cannot be written are reported with a remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faultlab import FaultServer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere file names are Unicode")

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF_8 = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
NAMES = ("a/é.txt", "ü/plain.txt", "a/plain.txt")


def python(*words: object, **environ: str) -> tuple[int, str]:
    """Return the exit code, and the whole output."""
    clean = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_CTYPE", "PYTHONIOENCODING")}
    done = subprocess.run(
        [sys.executable, *map(os.fspath, map(_word, words))],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, env={**clean, **environ},
    )  # fmt: skip
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace")


def _word(word: object) -> str | os.PathLike[str]:
    return word if isinstance(word, os.PathLike) else str(word)


def era5dl(*words: object, **environ: str) -> tuple[int, str]:
    return python("-m", "era5dl", *words, **environ)


@pytest.fixture
def where(fault_server: FaultServer, tmp_path: Path) -> list[object]:
    for name in NAMES:
        fault_server.put(name, name.encode() * 100)
    keys = tmp_path / "keys"
    keys.write_text("\n".join(NAMES), encoding="utf-8")
    return ["--keys-file", keys, "--endpoint-url", fault_server.endpoint_url]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["out", "o\u00e9"])
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_only_files_with_unencodable_names_fail_with_a_remedy(
    where: list[object], tmp_path: Path, folder: str, json: tuple[str, ...]
) -> None:
    out = tmp_path / folder
    code, said = era5dl("download", *where, *json, "--out", out, **ASCII, ERA5DL_STATE_DIR=str(tmp_path / "st\u00e9"))
    assert code == 1, said
    assert "internal error" not in said
    assert "UnicodeEncodeError" not in said
    assert said.count("PYTHONUTF8=1") >= 2
    assert (out / "a/plain.txt").is_file()
    code, said = era5dl("verify", out, *where[2:], **ASCII)
    assert code == 1, said
    assert "PYTHONUTF8=1" in said
    assert era5dl("download", *where, "--out", out, **UTF_8)[0] == 0
    assert [(out / name).is_file() for name in NAMES] == [True] * 3


@pytest.mark.slow
def test_a_session_in_a_folder_with_an_unencodable_name(where: list[object], tmp_path: Path) -> None:
    state = {"ERA5DL_STATE_DIR": str(tmp_path / "state")}
    out = tmp_path / "o\u00e9"
    assert era5dl("download", *where, "--out", out, **UTF_8, **state)[0] == 0
    code, said = era5dl("sessions", **ASCII, **state)
    assert code == 0, said
    session = said.splitlines()[1].split()[0]
    code, said = era5dl("resume", session, *where[2:], **ASCII, **state)
    assert code == 3, said
    assert "PYTHONUTF8=1" in said
    assert "This is a bug" not in said


def test_an_unencodable_folder_in_the_python_api(where: list[object], tmp_path: Path) -> None:
    script = """
import sys, era5dl
from era5dl.bucket.s3 import S3Bucket
from era5dl.planner import plan_keys
settings = era5dl.Settings(endpoint_url=sys.argv[1])
plan = plan_keys(["a/plain.txt"], S3Bucket(settings))
try:
    era5dl.download(plan, sys.argv[2] + "/\\xe9", settings=settings)
except era5dl.errors.FolderUnusable as error:
    print(error.remedy)
"""
    code, said = python("-c", script, where[3], tmp_path, **ASCII)
    assert code == 0, said
    assert "PYTHONUTF8=1" in said


@pytest.mark.slow
def test_the_resume_command_can_be_copied(where: list[object], tmp_path: Path) -> None:
    out = tmp_path / "o\u00e9"
    code, said = era5dl("download", *where, "--out", out, **ASCII)
    assert code == 1
    (line,) = [line for line in said.splitlines() if "era5dl resume" in line]
    assert "\\u" not in line
    assert "\ufffd" not in line
    session = line.split("era5dl resume ")[1].split()[0]
    assert era5dl("resume", session, *where[2:], **ASCII)[0] == 1
