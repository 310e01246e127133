"""Tests of `era5dl queue`: jobs that wait, against a real S3 server."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.cli.json_output import event_names
from era5dl.days import parse_date
from tests.command_line import Command
from tests.servers.seaweed import Seaweed

DAYS = ("--variable", "an.pl/q", "--start", "1999-05-01", "--end")


@pytest.fixture(scope="module")
def objects(seaweed: Seaweed) -> Mapping[str, bytes]:
    variable, chance = find_variable("an.pl/q"), random.Random(5)
    first, last = parse_date("1999-05-01"), parse_date("1999-05-04")
    made = {key_of(variable, period): chance.randbytes(50_000) for period in periods(variable.product, first, last)}
    made["queue/listed.nc"] = b"listed"
    for key, data in made.items():
        seaweed.put(key, data)
    return made


@pytest.fixture
def command(seaweed: Seaweed, objects: Mapping[str, bytes], tmp_path: Path) -> Command:
    return Command(seaweed.endpoint_url, tmp_path / "state")


def records(text: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert {record["event"] for record in found} <= event_names()
    return found


def test_jobs_are_run_one_after_the_other_and_a_failure_does_not_stop_the_next(command, objects, tmp_path):
    blocked = tmp_path / "file"
    added = command("queue", "add", *DAYS, "1999-05-02", "--out", tmp_path / "later", "--json")
    assert added.returncode == 0, added.stderr
    assert records(added.stdout)[0]["job"] == 1 and records(added.stdout)[0]["state"] == "waiting"
    assert command("queue", "add", *DAYS, "1999-05-05", "--out", tmp_path / "first").returncode == 0
    assert command("queue", "add", *DAYS, "1999-05-01", "--out", blocked).returncode == 0
    keys = command("queue", "add", "--keys-file", "-", "--out", tmp_path / "keys", stdin="queue/listed.nc\n")
    assert keys.returncode == 0, keys.stderr
    blocked.write_text("in the way")
    assert command("queue", "move", "2", "up").returncode == 0
    assert command("queue", "pause", "4").returncode == 0
    command.environ["ERA5DL_ENDPOINT_URL"] = "http://127.0.0.1:9"  # each job has its own
    ran = command("queue", "run", "--json")
    assert ran.returncode == 1, ran.stderr
    states = {r["job"]: r["state"] for r in records(ran.stdout) if r["event"] == "job-ended"}
    assert list(states.items()) == [(2, "incomplete"), (1, "done"), (3, "failed")]
    listed = command("queue", "list", "--json")
    by_number = {r["job"]: r for r in records(listed.stdout) if r["event"] == "job"}
    assert [by_number[n]["place"] for n in (2, 1, 3, 4)] == [1, 2, 3, 4]
    assert by_number[2]["reason"] == "1 file missing in the bucket" and len(by_number[1]["session"]) == 12
    assert "not a folder" in by_number[3]["reason"]
    assert command("queue", "resume", "4").returncode == 0
    assert command("queue", "run", "--quiet").returncode == 0
    for folder, numbers in (("later", 2), ("first", 4)):
        files = {p.relative_to(tmp_path / folder).as_posix(): p for p in (tmp_path / folder).rglob("e5*/**/*.nc")}
        assert len(files) == numbers and all(path.read_bytes() == objects[key] for key, path in files.items())
    assert (tmp_path / "keys" / "queue/listed.nc").read_bytes() == b"listed"
    assert command("queue", "remove", "3").returncode == 0
    unknown = command("queue", "remove", "3")
    assert unknown.returncode == 2 and "queue list" in unknown.stderr


def test_wrong_requests_are_refused_when_they_are_added(command, tmp_path):
    for words, message in (
        ((*DAYS, "1999-04-01"), "before the start"),
        (("--variable", "an.pl/nothing", "--years", "1999"), "nothing"),
        ((*DAYS, "1999-05-02", "--proxy", "http://me:secret@127.0.0.1:1"), "password"),
        ((*DAYS, "1999-05-02", "--csv"), "--csv"),
    ):
        refused = command("queue", "add", *words, "--out", tmp_path)
        assert refused.returncode == 2 and message in refused.stderr and "secret" not in refused.stderr
    assert "No jobs" in command("queue", "list").stderr


@pytest.mark.slow
def test_interrupted_job_waits_and_continues(command, objects, tmp_path):
    command("queue", "add", *DAYS, "1999-05-04", "--out", tmp_path / "out", "--limit-rate", "50k")
    with command.started("queue", "run", "--json") as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "file-started":
                break
        busy = command("queue", "run")
        assert busy.returncode == 3 and "is running the jobs" in busy.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
    assert '"state": "waiting"' in command("queue", "list", "--json").stdout
    state = tmp_path / "state" / "jobs.json"
    state.write_text(state.read_text().replace('"rate_limit": 50000', '"rate_limit": 0'))
    assert command("queue", "run").returncode == 0
    assert len(list((tmp_path / "out").rglob("e5*/**/*.nc"))) == 4


def test_a_cds_request_becomes_a_job_for_each_selection(command, tmp_path):
    """Requests for different levels cannot be one download; what is absent is said, and gives exit code 1."""
    asked = [{"variable": ["q", "swh"], "pressure_level": 500, "date": "1999-05-01"}]
    asked.append({"variable": "t", "pressure_level": 1, "date": "1999-05-01"})
    words = ("queue", "add", "--cds", "-", "--dataset", "reanalysis-era5-pressure-levels", "--out", tmp_path / "out")
    added = command(*words, "--json", stdin=json.dumps(asked))
    assert added.returncode == 1, added.stderr
    jobs = [record for record in records(added.stdout) if record["event"] == "job"]
    assert [job["job"] for job in jobs] == [1, 2]
    assert "swh" in added.stderr
    assert len(records(command("queue", "list", "--json").stdout)) == 3  # with the end
