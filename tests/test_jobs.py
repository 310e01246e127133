"""Tests of the list of jobs on disk: order, states, damage, and that one program at a time runs jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.days import select_days
from era5dl.errors import Denied, FolderUnusable, SessionBusy, Stopped, Unreachable, UsageError
from era5dl.jobs import JobEnd, JobList, JobState, Request, job_list, wait_for_network
from era5dl.jobs.job import settings_of_job
from era5dl.jobs.wait_for_network import retry_while_unreachable
from era5dl.selection import Selection, select_variables
from era5dl.settings import Settings
from era5dl.subset.selection import Area, Subset

MARCH = Selection(select_variables(["an.pl/t"]), select_days(start="2021-03-01", end="latest"))


@pytest.fixture
def jobs(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "state")


def request_into(folder: Path, **other: object) -> Request:
    return replace(Request(folder=folder, selection=MARCH), **other)


def numbers(jobs: JobList) -> list[int]:
    return [job.number for job in jobs.jobs()]


def test_jobs_survive_a_restart_with_all_they_need(jobs, tmp_path):
    settings = Settings(endpoint_url="http://127.0.0.1:1", bucket="other", flat=True, workers=3)
    kept = settings_of_job(settings, {"rate_limit": 5_000_000, "workers": None})
    area = Subset(area=Area(54, 73, 18, 135))
    first = jobs.add(request_into(tmp_path / "données", settings=kept, merge="year"))
    second = jobs.add(Request(folder=tmp_path, subset=area, key_count=2, settings=kept), ["a/b.nc", "ü.nc"])
    again = JobList(jobs.folder)
    assert again.jobs() == [first, second]
    assert [job.title for job in again.jobs()] == [
        "t of an.pl, 2021-03-01 to latest",
        "2 keys from a list; area 54/73/18/135",
    ]
    assert again.keys_of(second) == ["a/b.nc", "ü.nc"]
    used = first.request.apply_settings(Settings(endpoint_url="http://127.0.0.1:2", workers=7, retries=1))
    assert (used.endpoint_url, used.bucket, used.flat, used.workers) == ("http://127.0.0.1:1", "other", True, 7)
    assert (used.rate_limit, used.retries) == (5_000_000, 1)
    assert jobs.path.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    with pytest.raises(UsageError, match="password"):
        settings_of_job(settings, {"proxy": "http://me:secret@127.0.0.1:1"})


def test_jobs_are_reordered_paused_and_removed(jobs, tmp_path):
    for _ in range(4):
        jobs.add(request_into(tmp_path))
    assert [jobs.move(4, "up"), jobs.move(1, "down"), jobs.move(3, 1), jobs.move(2, 99)] == [3, 2, 1, 4]
    assert numbers(jobs) == [3, 1, 4, 2] or numbers(jobs) == [3, 4, 1, 2]
    jobs.pause(3)
    removed = jobs.remove(1)
    assert removed.number == 1 and 1 not in numbers(jobs)
    with jobs.runner() as runner:
        assert runner.next_job().number != 3, "a paused job is not run"
    jobs.resume(3)
    with jobs.runner() as runner:
        assert runner.next_job().number == 3
        for change in (jobs.remove, jobs.pause):
            with pytest.raises(UsageError, match="running"):
                change(3)
    assert jobs.add(request_into(tmp_path)).number == 5, "numbers are not used again"
    for wrong in ("left", "0", "-1", "²"):
        with pytest.raises(UsageError, match="not a place"):
            jobs.move(3, wrong)
    with pytest.raises(UsageError, match="no job 1"):
        jobs.remove(1)


def test_only_one_program_runs_jobs_and_takes_over_those_of_a_dead_one(jobs, tmp_path):
    jobs.add(request_into(tmp_path))
    code = """
import os, sys
from pathlib import Path
from era5dl.jobs import JobList
runner = JobList(Path(sys.argv[1])).runner()
print(runner.next_job().number, flush=True)
sys.stdin.read()
os._exit(9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(jobs.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"1\n"
        assert [job.state for job in jobs.jobs()] == [JobState.RUNNING]
        with pytest.raises(SessionBusy, match="is running the jobs"):
            jobs.runner()
        assert jobs.runner_name
        jobs.add(request_into(tmp_path))
        assert [job.state for job in jobs.jobs()] == [JobState.RUNNING, JobState.WAITING]
        other.communicate(b"")
    assert [job.state for job in jobs.jobs()] == [JobState.WAITING, JobState.WAITING]
    with jobs.runner() as runner:
        assert runner.next_job().number == 1
        runner.finish(JobEnd(JobState.FAILED, "no space", "Free some.", "0123456789ab", "DiskFull"))
        assert runner.next_job().number == 2
        runner.finish(JobEnd(JobState.DONE))
        assert runner.next_job() is None
    failed, done = jobs.jobs()
    assert (failed.state, failed.reason, failed.remedy) == (JobState.FAILED, "no space", "Free some.")
    assert (failed.session, failed.kind) == ("0123456789ab", "DiskFull") and failed.ended >= failed.started > 0
    assert done.state is JobState.DONE
    assert jobs.resume(1).reason == ""


def test_length_of_the_list_is_limited(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(job_list, "MAX_JOBS", 4)
    monkeypatch.setattr(job_list, "MAX_ENDED", 1)
    for _ in range(3):
        jobs.add(request_into(tmp_path))
    with jobs.runner() as runner:
        for _ in range(3):
            runner.next_job()
            runner.finish(JobEnd(JobState.DONE))
    jobs.add(request_into(tmp_path))
    assert numbers(jobs) == [3, 4], "of the jobs that have ended, the last ones are kept"
    jobs.add(request_into(tmp_path)), jobs.add(request_into(tmp_path))
    with pytest.raises(UsageError, match="jobs already"):
        jobs.add(request_into(tmp_path))


def test_an_outage_before_a_job_starts_is_waited_for(monkeypatch):
    monkeypatch.setattr(wait_for_network, "PATIENCE", 0.05)
    outcomes: list[object] = [Unreachable("down"), Unreachable("down"), "plan"]
    said: list[str] = []

    def attempt() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def retry(stopped: bool = False) -> object:
        return retry_while_unreachable(attempt, lambda _: stopped, lambda error: said.append(str(error)))

    assert retry() == "plan" and said == ["down"]
    outcomes[:] = [Unreachable()]
    with pytest.raises(Stopped):
        retry(stopped=True)
    outcomes[:] = [Denied()]
    with pytest.raises(Denied):
        retry()
    outcomes[:] = [Unreachable()] * 1_000_000
    with pytest.raises(Unreachable):
        retry()


@pytest.mark.parametrize(
    "change",
    [
        lambda body: "{",
        lambda body: "[" * 100_000,
        lambda body: body.replace("era5dl-jobs", "other"),
        lambda body: body.replace('"waiting"', '"eaten"'),
        lambda body: body.replace('"number": 1', '"number": "1"'),
        lambda body: body.replace('"bucket": "nsf-ncar-era5"', '"bucket": "../x"'),
        lambda body: body.replace('"flat": false', '"flat": false, "read_timeout": 1'),
        lambda body: body.replace('"folder": "', '"folder": "..'),
        lambda body: body.replace("an.pl/t", "an.pl/nothing"),
    ],
)
def test_damaged_list_is_kept_and_reported(jobs, tmp_path, change):
    jobs.add(request_into(tmp_path, settings=settings_of_job(Settings(), {})))
    text = jobs.path.read_text()
    jobs.path.write_text(change(text))
    assert change(text) != text
    assert jobs.jobs() == []
    assert len(jobs.notes) == 1 and "damaged" in jobs.notes[0]
    assert jobs.path.with_name("jobs.json.damaged-1").read_text() == change(text)
    assert json.loads(jobs.path.read_text())["jobs"] == []


def test_missing_or_shortened_list_of_keys_is_an_error_of_its_job(jobs, tmp_path):
    job = jobs.add(Request(folder=tmp_path, key_count=2), ["a", "b"])
    (jobs.folder / "jobs.1.keys").write_text("a\n")
    with pytest.raises(FolderUnusable, match="incomplete"):
        jobs.keys_of(job)
    jobs.remove(1)
    assert not (jobs.folder / "jobs.1.keys").exists()
    with pytest.raises(FolderUnusable, match="missing"):
        jobs.keys_of(job)


@pytest.mark.slow
def test_concurrent_programs_lose_no_job_and_run_none_twice(jobs, tmp_path):
    code = """
import sys, time
from pathlib import Path
from era5dl.errors import SessionBusy
from era5dl.jobs import JobEnd, JobList, JobState, Request
jobs = JobList(Path(sys.argv[1]))
for _ in range(5):
    jobs.add(Request(folder=Path(sys.argv[1]), key_count=1), ["key"])
end = time.monotonic() + 20
while any(job.state.is_open for job in jobs.jobs()) and time.monotonic() < end:
    try:
        with jobs.runner() as runner:
            if (job := runner.next_job()) is not None:
                print(job.number)
                time.sleep(0.01)
                runner.finish(JobEnd(JobState.DONE))
    except SessionBusy:
        time.sleep(0.01)
"""
    programs = [
        subprocess.Popen([sys.executable, "-c", code, str(jobs.folder)], stdout=subprocess.PIPE) for _ in range(3)
    ]
    ran = [int(line) for program in programs for line in program.communicate(timeout=60)[0].split()]
    assert sorted(ran) == list(range(1, 16))
    assert [job.state for job in jobs.jobs()] == [JobState.DONE] * 15
