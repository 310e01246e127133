"""Tests of downloads that are divided into blocks: `era5dl prepare`, `work`, `gather` and `sbatch`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.cluster.batch_tasks import blocks_of_task, grant_of_task, parse_share
from era5dl.errors import BlocksBusy, NodeUnfit, SessionDamaged, UsageError
from era5dl.planner import Plan
from era5dl.session import Session, list_sessions
from era5dl.session.blocks import MAX_BLOCKS, cut, find_run
from tests.command_line import call_main
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import leftovers, settings_for, wrong_files

MB = 1_000_000
FILES = 8


class Cluster:
    """Objects in a bucket, and the command line for a folder."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server, self.out = server, folder / "out put"
        self.objects = {f"a/{n}.grb": pseudo_random(f"{n}", MB) for n in range(FILES)}
        for n, (key, data) in enumerate(self.objects.items()):
            server.put(key, data, part_size=MB // 2 if n % 2 else None)
        self.keys = folder / "keys.txt"
        self.keys.write_text("\n".join(self.objects))
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
            "ERA5DL_ENDPOINT_URL": server.endpoint_url,
            "ERA5DL_BUCKET": server.bucket,
            "ERA5DL_DISK_RESERVE": "0",
            "ERA5DL_WORKERS": "2",
        }

    def run(self, *words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        return call_main(words, {**self.environ, **environ})

    def start(self, *words: str | Path, **environ: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "era5dl", *map(str, words)]
        return subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**self.environ, **environ}
        )

    def prepare(self, block: str = "2M") -> str:
        done = self.run("prepare", "--keys-file", self.keys, "--out", self.out, "--block", block, "--json")
        assert done.returncode == 0, done.stderr
        (run,) = (record for record in map(json.loads, done.stdout.splitlines()) if record["event"] == "run")
        assert run["blocks"] == FILES // int(block[:-1])
        return str(run["run"])

    def download(self) -> subprocess.CompletedProcess[str]:
        return self.run("download", "--keys-file", self.keys, "--out", self.out)

    def is_correct(self) -> bool:
        return wrong_files(self.out, self.objects) == [] and leftovers(self.out) == []

    @property
    def payload(self) -> int:
        return self.server.stats().payload


@pytest.fixture
def cluster(fault_server: FaultServer, tmp_path: Path) -> Cluster:
    return Cluster(fault_server, tmp_path)


def test_blocks_on_several_computers_are_one_session_afterwards(cluster: Cluster) -> None:
    cluster.prepare()
    first = cluster.run("work", cluster.out, "--block", "1")
    assert first.returncode == 0, first.stderr
    assert cluster.payload == 2 * MB
    some = cluster.run("gather", cluster.out, "--json")
    assert some.returncode == 75
    gathered = json.loads(some.stdout.splitlines()[-2])
    assert (gathered["remaining"], gathered["verified"], gathered["done_bytes"]) == (3, 2, 2 * MB)
    assert [session.done_files for session in list_sessions(cluster.out)] == [2], "one session, that of the whole plan"
    for share in ("1/2", "2/2"):
        assert cluster.run("work", cluster.out, "--share", share).returncode == 0
    assert cluster.run("work", cluster.out).returncode == 0, "all blocks are complete"
    assert cluster.run("gather", cluster.out, "--watch").returncode == 0
    assert cluster.is_correct()
    assert cluster.payload == FILES * MB
    assert cluster.run("prepare", "--keys-file", cluster.keys, "--out", cluster.out).returncode == 0
    assert len(find_run(cluster.out).spans) == 4, "the cut stays"
    done = cluster.download()
    assert done.returncode == 0
    assert cluster.payload == FILES * MB, "nothing was fetched again"
    assert not list(cluster.out.glob(".era5dl/*/")), "the blocks are now part of the session"
    cluster.objects["a/1.grb"] = cluster.objects["a/1.grb"][:-1] + b"?"
    (cluster.out / "a/1.grb").write_bytes(cluster.objects["a/1.grb"])
    assert cluster.run("verify", cluster.out, "--repair").returncode == 0
    assert cluster.payload == FILES * MB + MB // 2, "only the damaged part: its MD5s were recorded by the block"


def test_ordinary_download_continues_interrupted_blocks(cluster: Cluster) -> None:
    """Including the bytes of unfinished files, and not while a computer works on a block."""
    run_id = cluster.prepare("4M")
    cluster.server.link = Link(speed=150_000)
    program = cluster.start("work", cluster.out, "--block", "1")
    wait_until(lambda: cluster.payload > MB)
    busy = cluster.download()
    assert busy.returncode == 3
    assert f"(process {program.pid} on " in busy.stderr
    assert "gather DIR --watch" in busy.stderr
    program.send_signal(signal.SIGTERM)
    output, _ = program.communicate(timeout=20)
    assert program.returncode == 130, output
    assert f"era5dl work '{cluster.out}' --run {run_id}" in output
    cluster.server.link = Link()
    sent = cluster.payload
    assert list(cluster.out.glob("a/*.part"))
    done = cluster.download()
    assert done.returncode == 0, done.stderr
    assert cluster.is_correct()
    assert cluster.payload - sent < FILES * MB - MB // 2, "bytes of the block were used"


def wait_until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.slow
def test_what_a_download_had_finished_is_not_fetched_by_blocks(cluster: Cluster) -> None:
    cluster.server.link = Link(speed=500_000)
    program = cluster.start("download", "--keys-file", cluster.keys, "--out", cluster.out)
    wait_until(lambda: len(list(cluster.out.glob("a/*.grb"))) >= 2)
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=20)
    cluster.server.link = Link()
    finished = len(list(cluster.out.glob("a/*.grb")))
    cluster.prepare()
    sent = cluster.payload
    assert cluster.run("work", cluster.out).returncode == 0
    assert cluster.payload - sent <= (FILES - finished) * MB
    assert cluster.run("gather", cluster.out).returncode == 0
    assert wrong_files(cluster.out, cluster.objects) == []


def test_computer_without_the_folder_downloads_nothing_and_creates_nothing(cluster: Cluster) -> None:
    run_id = cluster.prepare()
    away = cluster.out.parent / "not mounted"
    for folder in (away, away.parent):
        done = cluster.run("work", folder)
        assert done.returncode == 3
        assert "is not the folder of a prepared run" in done.stderr
        assert "Mount the shared folder" in done.stderr
    assert not away.exists()
    with pytest.raises(NodeUnfit):
        find_run(cluster.out, "0" * 12)
    assert cluster.run("work", cluster.out, "--run", run_id, "--block", "4").returncode == 2
    assert cluster.payload == 0


@pytest.mark.parametrize("text", ["", "{}", '{"format": "era5dl-run", "version": 1, "plan_digest": "x", "blocks": []}'])
def test_damaged_run_file_is_an_error_with_a_remedy(cluster: Cluster, text: str) -> None:
    run_id = cluster.prepare()
    file = cluster.out / ".era5dl" / run_id / "run.json"
    good = json.loads(file.read_text())
    file.write_text(text)
    with pytest.raises(SessionDamaged) as caught:
        find_run(cluster.out)
    assert "era5dl prepare" in caught.value.remedy
    for spans in ([[0, 8], [8, 9]], [[0, 3], [4, 8]], [[0, 0], [0, 8]], [[0, 7]], [[0, -8]], [["0", 8]], [0, 8]):
        file.write_text(json.dumps({**good, "blocks": spans}))
        with pytest.raises(SessionDamaged):
            find_run(cluster.out)
    assert cluster.download().returncode == 0, "the download itself is not damaged"


def test_frozen_computer_whose_task_was_given_out_again_cannot_save(cluster: Cluster) -> None:
    cluster.prepare()
    run = find_run(cluster.out)
    settings = settings_for(cluster.server)
    frozen = Session.begin_block(run, 0, settings, grant_of_task(run.id, 0, {"SLURM_ARRAY_JOB_ID": "7"}))
    lock = json.loads((cluster.out / ".era5dl" / f"{run.block_ids[0]}.lock").read_text())
    assert lock["grant"].startswith("slurm::7_")
    with pytest.raises(BlocksBusy):
        Session.open(cluster.out, run.id)
    frozen.close()


def plan_with(sizes: list[int]) -> Plan:
    return Plan(
        {"keys": "x", "count": len(sizes)}, tuple(ObjectInfo(f"{n}", size, "e") for n, size in enumerate(sizes))
    )


def test_cut_makes_contiguous_blocks_of_about_equal_bytes() -> None:
    assert cut(plan_with([5] * 6), 10) == ((0, 2), (2, 4), (4, 6))
    assert cut(plan_with([1, 100, 1, 1, 1]), 10) == ((0, 2), (2, 5))
    assert cut(plan_with([0, 0]), 10) == ((0, 2),)
    assert cut(plan_with([])) == ()
    many = cut(plan_with([1000] * 120_000), 1)
    assert len(many) <= MAX_BLOCKS
    assert {last - first for first, last in many} == {120}
    assert len(cut(plan_with([10**9] * 2000))) == 125, "16 GB"
    assert len(cut(plan_with([10**8] * 640))) == 64
    assert len(cut(plan_with([10**5] * 40))) == 4, "1 MB"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, [3]),
        ({"PBS_ARRAY_INDEX": "2"}, [2]),
        ({"SGE_TASK_ID": "undefined"}, list(range(10))),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, [1, 5, 9]),
        ({}, list(range(10))),
    ],
)
def test_batch_system_says_which_blocks_a_task_has(environ: dict[str, str], expected: list[int]) -> None:
    assert blocks_of_task(10, environ) == expected
    assert blocks_of_task(10, environ, 7) == [7]
    assert blocks_of_task(10, environ, None, "2/3") == [1, 4, 7]


def test_wrong_numbers_of_blocks_are_refused() -> None:
    for text in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/9999999999999999"):
        with pytest.raises(UsageError):
            parse_share(text)
    for number in (-1, 10):
        with pytest.raises(UsageError, match="There is no block"):
            blocks_of_task(10, {}, number)
    with pytest.raises(UsageError):
        blocks_of_task(10, {"LSB_JOBINDEX": "10"})


def test_grant_of_a_task_counts_its_restarts() -> None:
    environ = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}
    grant = grant_of_task("run", 3, environ)
    assert (grant.name, grant.epoch) == ("slurm::7_3:run:3", 2)
    assert grant_of_task("run", 3, {**environ, "SLURM_JOB_ID": "10"}) == grant, "each task has a number of its own"
    assert grant_of_task("run", 3, {}).name == ""


@pytest.mark.slow
def test_tasks_of_the_slurm_script_download_everything(cluster: Cluster, tmp_path: Path) -> None:
    """Without SLURM: each task is run by hand. One is ended before its time limit, and queued again."""
    cluster.prepare()
    printed = cluster.run("sbatch", cluster.out, "--at-once", "4", "--time", "12:00:00", "--limit-rate", "100M")
    assert printed.returncode == 0, printed.stderr
    for line in ("#SBATCH --array=0-3%4", "#SBATCH --time=12:00:00", "#SBATCH --signal=B:TERM@60", "#SBATCH --requeue"):
        assert f"{line}\n" in printed.stdout
    assert "--limit-rate 25000000" in printed.stdout
    script = tmp_path / "job.sh"
    script.write_text(printed.stdout)
    queued = tmp_path / "queued"
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> "{queued}"\nexit 1\n')  # 1: do not wait for the end of the job
    scontrol.chmod(0o755)

    def task(number: int, restarts: int = 0) -> subprocess.Popen[bytes]:
        slurm = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": f"{number}", "SLURM_RESTART_COUNT": f"{restarts}"}
        path = f"{scontrol.parent}:{os.environ['PATH']}"
        return subprocess.Popen(["bash", str(script)], env={**cluster.environ, **slurm, "PATH": path})

    cluster.server.link = Link(speed=100_000)
    ended = task(2)
    wait_until(lambda: cluster.payload > MB // 2)
    ended.send_signal(signal.SIGTERM)
    assert ended.wait(30) == 130
    assert queued.read_text() == "requeue 7_2\n"
    cluster.server.link = Link()
    tasks = [task(number, restarts=number == 2) for number in range(4)]
    assert [one.wait(60) for one in tasks] == [0, 0, 0, 0]
    assert cluster.run("gather", cluster.out).returncode == 0
    assert cluster.is_correct()
    assert cluster.payload <= FILES * MB + MB // 2


@pytest.mark.parametrize("wrong", [["--time", "soon"], ["--time", "1:00\n#SBATCH --x"], ["--at-once", "0"]])
def test_script_options_that_slurm_would_not_accept_are_refused(cluster: Cluster, wrong: list[str]) -> None:
    cluster.prepare()
    done = cluster.run("sbatch", cluster.out, "--at-once", "4", "--time", "60", *wrong)
    assert done.returncode == 2
    assert done.stdout == ""
