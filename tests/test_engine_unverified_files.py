"""Tests of files that are checked but not verified: every interface lists them at the end of each run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import era5dl
from era5dl.bucket.s3 import S3Bucket
from era5dl.cli.plain_display import MAX_NAMES, MAX_REASONS, checked_lines
from era5dl.engine.events import FileDone, Outcome, RunEnded
from era5dl.engine.prepare import NO_MD5
from era5dl.engine.progress import FileState
from era5dl.engine.reporting import CHECKED_EARLIER, CheckedFiles, CheckedGroup, group_by_reason
from era5dl.gui.models.log import LogModel
from era5dl.gui.text import summary_text
from era5dl.gui.text.event_text import LogLevel
from era5dl.planner import plan_keys
from tests.faultlab import FaultServer
from tests.runs import settings_for

KEYS = [f"one/{name}.txt" for name in "abcd"]
LINE = f"3 files are checked, not verified: {NO_MD5} (one/a.txt; one/b.txt; one/c.txt)"


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    """A server with three objects whose ETag cannot be an MD5, and one whose ETag is."""
    for key in KEYS[:3]:
        fault_server.put(key, key.encode() * 1000, etag='"no-md5"')
    fault_server.put(KEYS[3], b"d" * 1000)
    return fault_server


def command(server: FaultServer, name: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "era5dl", name, *map(str, words), "--endpoint-url", server.endpoint_url],
        capture_output=True, text=True, encoding="utf-8", timeout=60,
    )  # fmt: skip


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    records = [json.loads(line) for line in done.stdout.splitlines()]
    (found,) = [record for record in records if record["event"] == "summary"]
    return dict(found)


@pytest.mark.slow
def test_the_command_line_lists_checked_files_also_when_quiet_and_in_later_runs(
    server: FaultServer, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("\n".join(KEYS), encoding="utf-8")
    words = ("--keys-file", keys, "--out", tmp_path / "out")
    first = command(server, "download", *words, "--quiet", "--json")
    assert first.returncode == 0
    assert LINE in first.stderr.splitlines()
    assert summary(first)["checked"] == 3
    (group,) = summary(first)["checked_because"]
    assert (group["reason"], group["files"], sorted(group["keys"])) == (NO_MD5, 3, KEYS[:3])

    second = command(server, "download", *words, "--json")
    assert summary(second)["checked_because"] == [{"reason": CHECKED_EARLIER, "files": 3, "keys": KEYS[:3]}]
    assert f"3 files are checked, not verified: {CHECKED_EARLIER} (one/a.txt; one/b.txt; one/c.txt)" in second.stderr

    proven = command(server, "verify", tmp_path / "out", "--quiet")
    assert LINE in proven.stderr.splitlines()


def test_the_python_result_lists_checked_files(server: FaultServer, tmp_path: Path) -> None:
    settings = settings_for(server)
    made = plan_keys(KEYS, S3Bucket(settings))
    result = era5dl.download(made, tmp_path, settings=settings)
    assert result.complete
    assert dict(result.checked_because) == dict.fromkeys(KEYS[:3], NO_MD5)
    again = era5dl.download(made, tmp_path, settings=settings)
    assert dict(again.checked_because) == dict.fromkeys(KEYS[:3], CHECKED_EARLIER)


def test_only_files_in_state_checked_are_listed() -> None:
    """A file that was checked, then replaced and verified, is not listed."""
    heard = CheckedFiles()
    for index in range(3):
        heard.record(FileDone(index, KEYS[index], 1, "", Outcome.CHECKED, NO_MD5, adopted=False))
    states = bytes([FileState.CHECKED, FileState.VERIFIED, FileState.FAILED, FileState.CHECKED])
    assert heard.reasons(states) == {0: NO_MD5, 3: CHECKED_EARLIER}
    assert group_by_reason({}, KEYS) == []


def test_only_a_few_of_many_are_named() -> None:
    many = CheckedGroup("odd", tuple(f"x/{number}.nc" for number in range(1000)))
    (line,) = checked_lines([many])
    assert line.startswith("1,000 files are checked, not verified: odd (x/0.nc; ")
    assert line.endswith(f" and {1000 - MAX_NAMES:,} more)")
    lines = checked_lines([CheckedGroup(f"reason {number}", ("a.nc",)) for number in range(MAX_REASONS + 7)])
    assert len(lines) == MAX_REASONS + 1
    assert lines[0] == "1 file is checked, not verified: reason 0 (a.nc)"
    assert lines[-1].startswith("7 files more")


def test_the_window_lists_checked_files_in_the_message_and_in_the_log() -> None:
    earlier, odd = CheckedGroup(CHECKED_EARLIER, ("z.nc",)), CheckedGroup("odd", ("y.nc",))
    groups = [CheckedGroup(NO_MD5, tuple(KEYS)), earlier, odd]
    assert summary_text.not_verified_files(groups) == (
        "4 files are checked but not verified (one/a.txt; one/b.txt; one/c.txt …). The server's ETag is not an MD5. "
        "1 file is checked but not verified (z.nc). Checked in an earlier run. 1 more for other reasons."
    )
    assert summary_text.not_verified_files([]) == ""
    log = LogModel()
    for key in KEYS[:2]:
        log.handle_event(FileDone(0, key, 5, "", Outcome.CHECKED, NO_MD5, adopted=False))
    log.handle_event(RunEnded(verified=0, checked=3, failed=0, unfinished=0, stopped=False, error="", remedy=""))
    assert [line.text for line in log.lines(LogLevel.WARNING)] == [
        "2 files are checked but not verified (one/a.txt; one/b.txt). The server's ETag is not an MD5.",
        "1 file is checked but not verified. Checked in an earlier run.",
    ]
    log.handle_event(
        RunEnded(verified=3, checked=0, failed=0, unfinished=0, stopped=False, error="", remedy="")
    )  # the end of another run
    assert len(log.lines(LogLevel.WARNING)) == 2
