"""Tests of download, resume, verify and repair through the command line, against a real S3 server."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.cli.json_output import event_names
from era5dl.days import parse_date
from tests.command_line import Command
from tests.faultlab import FaultServer
from tests.servers.seaweed import Seaweed

PART = 5 * 1024 * 1024
WEEK = ("--variable", "an.pl/t", "--start", "1999-03-01", "--end", "1999-03-07")
LIST_KEYS = ("cli/big.nc", "cli/with space+é.nc", "cli/empty.nc", "cli/one.nc")


def keys_of_week() -> list[str]:
    variable = find_variable("an.pl/t")
    first, last = parse_date("1999-03-01"), parse_date("1999-03-07")
    return [key_of(variable, period) for period in periods(variable.product, first, last)]


@pytest.fixture(scope="module")
def objects(seaweed: Seaweed) -> Mapping[str, bytes]:
    """A week of one variable, and a few objects with unusual names and sizes, one of them a multipart upload."""
    chance = random.Random(4)
    made = {key: chance.randbytes(300_000) for key in keys_of_week()}
    made["cli/big.nc"] = chance.randbytes(3 * PART - 17)
    made["cli/with space+é.nc"] = chance.randbytes(1000)
    made["cli/empty.nc"] = b""
    made["cli/one.nc"] = b"1"
    for key, data in made.items():
        seaweed.put(key, data, part_size=PART if len(data) > PART else None)
    return made


@pytest.fixture
def era5dl(seaweed: Seaweed, objects: Mapping[str, bytes], tmp_path: Path) -> Command:
    return Command(seaweed.endpoint_url, tmp_path / "state")


def records(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert {record["event"] for record in found} <= event_names()
    assert [record["event"] for record in found].index("end") == len(found) - 1
    return found


def only(found: list[dict[str, Any]], event: str) -> dict[str, Any]:
    (record,) = (record for record in found if record["event"] == event)
    return record


def assert_all_there(out: Path, objects: Mapping[str, bytes], keys: list[str]) -> None:
    for key in keys:
        assert (out / key).read_bytes() == objects[key]
    assert not list(out.rglob("*.part"))


def key_list(tmp_path: Path, *keys: str) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text("\r\n".join(keys), encoding="utf-8")
    return path


def wait_for(process: subprocess.Popen[str], event: str, **fields: object) -> dict[str, Any]:
    """Return the next record of this kind that `process` writes."""
    assert process.stdout is not None
    for line in process.stdout:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event and all(record[name] == value for name, value in fields.items()):
            return record
    raise AssertionError(f"no {event}")


def test_a_download_is_complete_and_a_second_one_fetches_nothing(
    era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = era5dl.as_program("download", *WEEK, "--out", out)
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    lines = first.stderr.splitlines()
    assert lines[0] == "Planned: 7 files, 2.10 MB"
    assert lines[1].startswith("Downloading 7 files, 2.10 MB, into ")
    assert lines[-1].startswith("7 files, 2.10 MB: 7 verified; took 0:0")
    assert_all_there(out, objects, keys_of_week())

    again = era5dl("download", *WEEK, "--out", out, "--quiet")
    assert again.returncode == 0
    assert len(again.stderr.splitlines()) == 1
    assert "nothing had to be downloaded" in again.stderr

    known = only(records(era5dl("sessions", "--json").stdout), "known-session")
    assert (known["state"], known["files"], known["done_files"], known["folder"]) == ("done", 7, 7, str(out))


def test_plan_writes_nothing_and_lists_all_files(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = era5dl("plan", *WEEK[:-1], "1999-03-09", "--out", out)
    assert shown.returncode == 1
    assert "missing in the bucket: 2 files" in shown.stdout
    assert "an.pl/t: 2 files, absent" in shown.stdout
    assert "free in" in shown.stdout

    found = records(era5dl("plan", *WEEK, "--json").stdout)
    plan = only(found, "plan")
    assert (plan["files"], plan["bytes"], plan["missing"], plan["free_bytes"]) == (7, 2_100_000, 0, None)
    assert [r["key"] for r in found if r["event"] == "object"] == keys_of_week()
    assert all(r["size"] == 300_000 and r["etag"] for r in found if r["event"] == "object")
    assert only(found, "end")["exit_code"] == 0
    assert not out.exists()
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_a_list_of_keys_is_downloaded_with_json_records(
    era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    keys = key_list(tmp_path, *LIST_KEYS, "cli/gone.nc", "", "../../escape.nc")
    done = era5dl("download", "--keys-file", keys, "--out", out, "--json")
    found = records(done.stdout)
    assert done.returncode == 1
    assert_all_there(out, objects, list(LIST_KEYS))
    assert {r["key"] for r in found if r["event"] == "file-done"} == set(LIST_KEYS)
    assert {r["key"]: r["reason"] for r in found if r["event"] == "missing"}.keys() == {
        "cli/gone.nc",
        "../../escape.nc",
    }
    assert "cli/gone.nc" in done.stderr
    summary = only(found, "summary")
    assert (summary["files"], summary["missing"], summary["failed"], summary["unfinished"]) == (4, 2, 0, 0)
    last = [r for r in found if r["event"] == "progress"][-1]
    assert (last["state"], last["done_bytes"]) == ("ended", last["total_bytes"])
    assert only(found, "end")["exit_code"] == 1
    assert not (tmp_path / "escape.nc").exists()


@pytest.mark.slow
def test_keys_from_standard_input_are_saved_flat(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = era5dl("download", "--keys-file", "-", "--flat", "--out", out, stdin="cli/one.nc\ncli/empty.nc\n")
    assert done.returncode == 0, done.stderr
    assert (out / "one.nc").read_bytes() == b"1"
    assert (out / "empty.nc").read_bytes() == b""


def test_a_folder_that_cannot_be_created_is_an_error(era5dl: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = era5dl("download", *WEEK, "--out", tmp_path / "file" / "out")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_disk_without_enough_space_is_an_error(era5dl: Command, tmp_path: Path) -> None:
    era5dl.environ["ERA5DL_DISK_RESERVE"] = "500T"
    done = era5dl("download", *WEEK, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert "500 TB" in done.stderr
    assert not list((tmp_path / "out").rglob("*.nc"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)])
def test_an_interrupted_download_is_resumed(
    era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    keys = key_list(tmp_path, "cli/big.nc", "cli/one.nc")
    words = ("download", "--keys-file", keys, "--out", out, "--limit-rate", "1M", "--json")
    with era5dl.started(*words) as process:
        session = wait_for(process, "session")["session"]
        wait_for(process, "progress", state="running")
        busy = era5dl("resume", out)
        assert (busy.returncode, f"process {process.pid}" in busy.stderr) == (3, True)
        process.send_signal(number)
        asked = time.monotonic()
        rest = records(process.communicate(timeout=30)[0])
        assert time.monotonic() - asked < 2
    assert process.returncode == 130
    assert only(rest, "summary")["stopped"] is True
    assert only(rest, "end")["exit_code"] == 130
    assert not (out / "cli/big.nc").exists()
    if number not in (signal.SIGINT, signal.SIGTERM):
        return

    era5dl.environ["ERA5DL_BUCKET"] = "elsewhere"  # must be ignored: a session keeps its own bucket
    assert era5dl("resume", "zzz").returncode == 3
    resumed = era5dl("resume", session[:5] if number is signal.SIGINT else out, "--json", "--limit-rate", "0")
    assert resumed.returncode == 0, resumed.stderr
    assert ", not from Amazon." in resumed.stderr
    assert_all_there(out, objects, ["cli/big.nc", "cli/one.nc"])
    resumed_bytes = only(records(resumed.stdout), "session")["done_bytes"]
    fetched = only(records(resumed.stdout), "summary")["fetched_bytes"]
    assert resumed_bytes > 0
    # No byte on disk is fetched again; a worker may receive up to 64 KiB that another worker has just taken over
    assert resumed_bytes + fetched <= len(objects["cli/big.nc"]) + len(objects["cli/one.nc"]) + 65_536


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
@pytest.mark.parametrize("command", ["plan", "resume", "verify"])
def test_an_interrupt_does_not_wait_for_a_silent_server(era5dl: Command, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    keys = key_list(tmp_path, "cli/big.nc", "cli/one.nc")
    if command != "plan":
        assert era5dl("download", "--keys-file", keys, "--out", out).returncode == 0
    if command == "resume":
        (out / "cli/big.nc").unlink()
    if command == "verify":  # verify sends a request only for a file that does not match
        with (out / "cli/big.nc").open("r+b") as file:
            file.write(b"spoilt")
    words = ("--keys-file", keys) if command == "plan" else (out,)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with era5dl.started(command, *words, "--endpoint-url", endpoint) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()  # the request arrives and is never answered
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                asked = time.monotonic()
                stderr = process.communicate(timeout=30)[1]
        assert process.returncode == 130, stderr
        assert time.monotonic() - asked < 2
        assert "Traceback" not in stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
def test_a_second_signal_ends_the_process_at_once(era5dl: Command, tmp_path: Path) -> None:
    """The process is suspended until both signals have arrived, so that it cannot react to the first."""
    words = ("download", "--keys-file", key_list(tmp_path, "cli/big.nc"), "--out", tmp_path / "out", "--json")
    with era5dl.started(*words, "--limit-rate", "500k") as process:
        wait_for(process, "progress", state="running")
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        rest = process.communicate(timeout=30)[0]
    assert process.returncode == 130
    assert '"event": "end"' not in rest


@pytest.mark.slow
def test_a_closed_stdout_stops_the_download(era5dl: Command, tmp_path: Path) -> None:
    words = ("download", "--keys-file", key_list(tmp_path, "cli/big.nc"), "--out", tmp_path / "out", "--json")
    with era5dl.started(*words, "--limit-rate", "500k") as process:
        wait_for(process, "progress", state="running")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert "Traceback" not in stderr
    assert "BrokenPipe" not in stderr


@pytest.mark.slow
def test_verify_finds_damage_and_repair_fixes_it(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    keys = key_list(tmp_path, "cli/big.nc", "cli/one.nc", "cli/gone.nc")
    assert era5dl("download", "--keys-file", keys, "--out", out).returncode == 1  # one is missing in the bucket
    fine = era5dl("verify", out)
    assert fine.returncode == 0
    assert fine.stdout.splitlines()[-1].startswith("2 files, 15.7 MB: 2 verified;")

    big = bytearray(objects["cli/big.nc"])
    big[PART + 1000] ^= 1
    (out / "cli/big.nc").write_bytes(big)
    (out / "cli/one.nc").unlink()
    found = era5dl("verify", out, "--json")
    assert found.returncode == 1
    conditions = {r["key"]: r["condition"] for r in records(found.stdout) if r["event"] == "proven"}
    assert conditions == {"cli/big.nc": "wrong", "cli/one.nc": "absent"}

    repaired = era5dl("verify", out, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stderr
    assert_all_there(out, objects, ["cli/big.nc", "cli/one.nc"])
    assert only(records(repaired.stdout), "summary")["fetched_bytes"] <= PART + 1  # one part, and the absent file
    assert era5dl("verify", out).returncode == 0


@pytest.mark.slow
def test_verify_suggests_opaque_etags_if_no_file_matches(fault_server: FaultServer, tmp_path: Path) -> None:
    era5dl = Command(fault_server.endpoint_url, tmp_path / "state")
    fault_server.put("a.nc", b"a" * 1000, etag=f'"{7:032x}"')
    fault_server.put("b.nc", b"b" * 1000)
    fault_server.put("c.nc", b"c" * 1000)
    keys = key_list(tmp_path, "a.nc")
    assert era5dl("download", "--keys-file", keys, "--out", tmp_path / "a", "--opaque-etags").returncode == 0
    found = era5dl("verify", tmp_path / "a")
    assert (found.returncode, "--opaque-etags" in found.stderr) == (1, True)
    assert era5dl("verify", tmp_path / "a", "--opaque-etags").returncode == 0

    keys = key_list(tmp_path, "b.nc", "c.nc")
    assert era5dl("download", "--keys-file", keys, "--out", tmp_path / "bc").returncode == 0
    (tmp_path / "bc" / "c.nc").write_bytes(b"d" * 1000)
    found = era5dl("verify", tmp_path / "bc")
    assert (found.returncode, "--opaque-etags" in found.stderr) == (1, False)


@pytest.mark.slow
def test_verify_skips_files_verified_for_a_newer_session(
    era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for last in ("1999-03-02", "1999-03-07"):
        assert era5dl("download", *WEEK[:-1], last, "--out", out).returncode == 0
    done = era5dl("verify", out)
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["7 files, 2.10 MB"]


@pytest.mark.slow
def test_verify_works_without_a_session(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for key in ("cli/one.nc", "cli/with space+é.nc"):
        (out / key).parent.mkdir(parents=True, exist_ok=True)
        (out / key).write_bytes(objects[key])
    (out / "mine.nc").write_bytes(b"no object of the bucket")
    fine = era5dl("verify", out)
    assert fine.returncode == 0, fine.stderr
    assert "2 verified" in fine.stdout
    assert "1 .nc file" in fine.stderr
    (out / "cli/one.nc").write_bytes(b"2")
    wrong = era5dl("verify", out)
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("wrong: cli/one.nc: ")
    assert era5dl("verify", out, "--repair").returncode == 0
    assert (out / "cli/one.nc").read_bytes() == b"1"
    assert (out / "mine.nc").read_bytes() == b"no object of the bucket"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
def test_a_terminal_gets_the_live_display(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    keys = key_list(tmp_path, "cli/big.nc", "cli/gone.nc")
    line = era5dl.line("download", "--keys-file", keys, "--out", tmp_path / "out", "--limit-rate", "10M")
    with subprocess.Popen(line, stderr=follower, stdout=subprocess.PIPE, env={**era5dl.environ, "TERM": "xterm"}) as p:
        os.close(follower)
        shown = read_terminal(leader)
        assert p.stdout is not None
        assert p.stdout.read() == b""
    os.close(leader)
    assert p.returncode == 1
    assert "big.nc" in shown
    assert " of 15.7 MB" in shown
    assert "\x1b[?25l" in shown  # the cursor is hidden,
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # and shown again
    assert "1 verified, 1 missing in the bucket" in shown


def read_terminal(leader: int) -> str:
    data = b""
    with suppress(OSError):  # Linux says EIO when the other end is closed
        while select.select([leader], [], [], 30)[0] and (piece := os.read(leader, 65_536)):
            data += piece
    return data.decode("utf-8", "replace")


def test_diagnose_prints_the_network_test(era5dl: Command) -> None:
    done = era5dl("diagnose")
    assert done.returncode == 0, done.stderr
    assert "loss 0% of 10" in done.stdout
    assert "Everything works" in done.stdout.splitlines()[-1]


def test_a_cds_request_is_planned_and_downloaded(era5dl: Command, objects: Mapping[str, bytes], tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    asked = {"variable": ["temperature", "no_such_thing"], "date": "1999-03-01/1999-03-07"}
    request.write_text(json.dumps(asked), encoding="utf-8")
    words = ("--cds", request, "--dataset", "reanalysis-era5-pressure-levels", "--json")
    planned = era5dl("plan", *words)
    found = records(planned.stdout)
    assert [record["key"] for record in found if record["event"] == "object"] == keys_of_week()
    assert only(found, "request")["hours"] == list(range(24))
    assert planned.returncode == 1  # something that is asked for is absent
    done = era5dl("download", *words, "--out", tmp_path / "out")
    assert (done.returncode, only(records(done.stdout), "summary")["verified"]) == (1, 7)
    assert_all_there(tmp_path / "out", objects, keys_of_week())
    request.write_text(json.dumps(asked | {"variable": "swh"}), encoding="utf-8")
    nothing = era5dl("download", "--cds", request, "--out", tmp_path / "other")
    assert (nothing.returncode, (tmp_path / "other").exists()) == (1, False)
    assert "waves" in nothing.stderr


def test_a_derived_name_is_planned_as_its_sources_and_said(era5dl: Command, objects: Mapping[str, bytes]) -> None:
    planned = era5dl("plan", "--variable", "tp", "--start", "1999-03-01", "--end", "1999-03-02", "--json")
    found = records(planned.stdout)
    sources = ["fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"]
    derived = only(found, "derived")
    assert (derived["name"], derived["variables"], derived["units"]) == ("tp", sources, "m")
    assert only(found, "plan")["missing"] == 4  # two half-months of two variables, which this bucket does not have
    assert "lsp + cp" in planned.stderr
