"""Tests of several sessions in one folder: each object is downloaded once, and a dead session blocks nobody."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import shared_folder
from era5dl.engine.events import State, StateChanged
from era5dl.locks.owner import STALE_AFTER, Owner
from era5dl.planner import Plan
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import leftovers, plan_of, running, settings_for, wrong_files

MB = 1_000_000
SLOW = 40_000  # bytes per second and connection: nothing is finished before the test lets it
PATIENCE = 120.0
NO_FLOCK = """
import errno
def never(fd): raise acquire.LockUnsupported(errno.ENOSYS, "no locks")
acquire.try_lock = never
"""
SHORT_LEASE = "lock_file.HEARTBEAT_INTERVAL, lock_file.LEASE = 0.2, 1.0"  # seconds: frozen after one, not after 30
SEAM = "import sys\nfrom era5dl.locks import acquire, lock_file\n{}\nfrom era5dl.cli.main import main\nsys.exit(main())"


class Program:
    """A process that runs `era5dl download` of these keys."""

    def __init__(self, lab: Lab, name: str, keys: list[str], *, seam: str = "", within: list[str]) -> None:
        listed = lab.folder / f"{name}.txt"
        listed.write_text("\n".join(keys))
        settings = {
            "ERA5DL_STATE_DIR": str(lab.folder / "state"),
            "ERA5DL_DISK_RESERVE": "0",
            "ERA5DL_WORKERS": "4",
            "ERA5DL_ENDPOINT_URL": lab.server.endpoint_url,
            "ERA5DL_BUCKET": lab.server.bucket,
        }
        how = ["-c", SEAM.format(seam)] if seam else ["-m", "era5dl"]
        self._out = (lab.folder / f"{name}.output").open("w+")
        self.process = subprocess.Popen(
            [*within, sys.executable, *how, "download", "--keys-file", str(listed), "--out", str(lab.out)],
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
        )

    @property
    def output(self) -> str:
        return Path(self._out.name).read_text()

    def send(self, sign: signal.Signals) -> None:
        self.process.send_signal(sign)

    def succeeds(self) -> None:
        assert self.process.wait(PATIENCE) == 0, self.output

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()


class Lab:
    """Objects in a bucket behind a slow link, and programs that download them into one folder."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server, self.folder, self.out = server, folder, folder / "out"
        self.objects: dict[str, bytes] = {}
        self.programs: list[Program] = []

    def put_objects(self, files: int, size: int, *, speed: int | None = None, opaque: bool = False) -> list[str]:
        for number in range(files):
            key = f"{number % 3}/{number}.{'grb' if opaque else 'nc'}"  # not HDF5
            self.objects[key] = pseudo_random(key, size)
            etag = f'"opaque-{number}"' if opaque else None
            self.server.put(key, self.objects[key], part_size=MB if number % 2 and not opaque else None, etag=etag)
        self.server.link = Link(latency=0.02, speed=speed)
        return list(self.objects)

    def start(self, name: str, keys: list[str], *, seam: str = "", within: list[str] | None = None) -> Program:
        program = Program(self, name, keys, seam=seam, within=within or [])
        self.programs.append(program)
        return program

    @property
    def total(self) -> int:
        return sum(map(len, self.objects.values()))

    @property
    def payload(self) -> int:
        return self.server.stats().payload

    def wait_until(self, condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, [program.output for program in self.programs]
            time.sleep(0.01)

    def claims(self) -> list[Path]:
        return [path for path in self.out.glob(".era5dl/*.claim") if len(path.stem) == 64]

    def lock_of(self, program: Program) -> Path | None:
        for path in self.out.glob(".era5dl/*.lock"):
            if f'"pid": {program.process.pid},' in path.read_text():
                return path
        return None

    def fetching(self, program: Program) -> bool:
        """Whether this program has claimed an object, and bytes are received."""
        lock = self.lock_of(program)
        return lock is not None and any(lock.stem in claim.read_text() for claim in self.claims()) and self.payload > 0

    def all_files_are_correct(self) -> None:
        assert wrong_files(self.out, self.objects) == []
        assert leftovers(self.out) == []
        assert list(self.out.glob(".era5dl/*.claim*")) == []


@pytest.fixture
def lab(fault_server: FaultServer, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(fault_server, tmp_path)
    yield made
    for program in made.programs:
        program.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("programs", "seam"), [(2, ""), (3, ""), (2, NO_FLOCK)], ids=["2-flock", "3-flock", "2-no flock"]
)
def test_each_object_is_fetched_once(lab: Lab, programs: int, seam: str) -> None:
    keys = lab.put_objects(12, 2 * MB, speed=MB // 2)
    started = [lab.start(f"{n}", keys[n:] + keys[:n], seam=seam) for n in range(programs)]
    for program in started:
        program.succeeds()
    lab.all_files_are_correct()
    assert lab.payload <= 1.1 * lab.total


@pytest.mark.slow
def test_each_object_without_an_md5_is_fetched_once(lab: Lab) -> None:
    """The waiting session accepts such a file only because the other session has recorded it in its resume file."""
    keys = lab.put_objects(12, 2 * MB, speed=MB // 2, opaque=True)
    started = [lab.start("first", keys), lab.start("second", keys[::-1])]
    for program in started:
        program.succeeds()
    lab.all_files_are_correct()
    assert lab.payload <= 1.1 * lab.total


@pytest.mark.slow
def test_a_session_cannot_be_opened_twice(lab: Lab) -> None:
    keys = lab.put_objects(4, 2 * MB, speed=SLOW)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first))
    second = lab.start("second", keys)
    assert second.process.wait(PATIENCE) == 3
    assert "is working on this session" in second.output
    lab.server.link = Link(latency=0.02, speed=2 * MB)
    first.succeeds()
    lab.all_files_are_correct()


@pytest.mark.slow
def test_waiting_for_claimed_objects_is_reported_once(lab: Lab) -> None:
    keys = lab.put_objects(3, 2 * MB, speed=SLOW)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 3)
    second = lab.start("second", keys[:2])
    lab.wait_until(lambda: "waiting for another session" in second.output)
    lab.server.link = Link(latency=0.02, speed=2 * MB)
    assert f"2 files are being fetched by another session: era5dl (process {first.process.pid} on" in second.output
    first.succeeds()
    second.succeeds()
    lab.all_files_are_correct()
    assert second.output.count("waiting for another session: ") == 1
    assert lab.payload <= 1.1 * lab.total


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_waiting_session_can_be_stopped_at_once(lab: Lab, sign: signal.Signals) -> None:
    keys = lab.put_objects(2, 4 * MB, speed=SLOW)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 2)
    second = lab.start("second", keys[:1])
    lab.wait_until(lambda: "waiting for another session" in second.output)
    asked = time.monotonic()
    second.send(sign)
    assert second.process.wait(PATIENCE) == 130
    assert time.monotonic() - asked < 5


@pytest.mark.slow
@pytest.mark.parametrize("seam", ["", NO_FLOCK], ids=["flock", "no flock"])
def test_after_kill_9_the_other_session_takes_over_at_once(lab: Lab, seam: str) -> None:
    keys = lab.put_objects(6, 2 * MB, speed=SLOW)
    first = lab.start("first", keys, seam=seam)
    lab.wait_until(lambda: lab.fetching(first))
    second = lab.start("second", keys[::-1], seam=seam)
    lab.wait_until(lambda: lab.fetching(second))
    first.send(signal.SIGKILL)
    first.process.wait()
    killed = time.monotonic()
    lab.server.link = Link(latency=0.02, speed=2 * MB)
    second.succeeds()
    assert time.monotonic() - killed < STALE_AFTER - 20, "the end of its process is noticed at once"
    assert wrong_files(lab.out, lab.objects) == []
    assert lab.claims() == []
    third = lab.start("first", keys, seam=seam)
    third.succeeds()
    lab.all_files_are_correct()


@pytest.mark.slow
def test_claims_of_dead_sessions_are_removed(lab: Lab) -> None:
    keys = lab.put_objects(6, 2 * MB, speed=SLOW)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first))
    first.send(signal.SIGKILL)
    first.process.wait()
    assert lab.claims() != []
    lab.server.put("else.nc", b"something else")
    lab.start("second", ["else.nc"]).succeeds()
    assert lab.claims() == []


@pytest.mark.slow
def test_a_frozen_session_is_taken_over_and_notices_it_when_it_resumes(lab: Lab) -> None:
    """Setting back the time of the last heartbeat makes it stale for the others at once."""
    keys = lab.put_objects(3, 6 * MB, speed=1 * MB)
    first = lab.start("first", keys, seam=SHORT_LEASE)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 3)
    first.send(signal.SIGSTOP)
    lock = lab.lock_of(first)
    assert lock is not None
    silent = time.time() - STALE_AFTER - 5
    os.utime(lock, (silent, silent))
    second = lab.start("second", keys[::-1])
    second.succeeds()
    assert wrong_files(lab.out, lab.objects) == []
    stamps = {key: ((lab.out / key).stat().st_ino, (lab.out / key).stat().st_mtime_ns) for key in keys}
    before = lab.payload
    first.send(signal.SIGCONT)
    first.succeeds()
    lab.all_files_are_correct()
    assert lab.payload - before < lab.total / 2, "it does not fetch existing files again"
    assert "left to another session: 0/0.nc: " in first.output
    assert stamps == {key: ((lab.out / key).stat().st_ino, (lab.out / key).stat().st_mtime_ns) for key in keys}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to make namespaces")
@pytest.mark.parametrize("world", [["--uts"], ["--uts", "--pid", "--fork", "--mount-proc"]], ids=["host", "container"])
def test_other_hosts_and_containers_of_the_same_name_share_a_folder(lab: Lab, world: list[str]) -> None:
    """Process numbers of a container mean nothing outside it: a process that does not exist here is not dead."""
    keys = lab.put_objects(6, 4 * MB, speed=1 * MB)
    name = "another" if world == ["--uts"] else os.uname().nodename
    within = ["unshare", *world, "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
    first = lab.start("first", keys, within=within)
    lab.wait_until(lambda: lab.claims() and lab.payload)
    second = lab.start("second", keys[::-1])
    first.succeeds()
    second.succeeds()
    lab.all_files_are_correct()
    assert lab.payload <= 1.1 * lab.total


def planted_claims(lab: Lab, keys: list[str]) -> Path:
    """Make claims on these objects by a session on another computer. Return its lock."""
    home = lab.out / ".era5dl"
    home.mkdir(parents=True)
    owner = Owner(4711, "elsewhere.example", 1.0, 1_700_000_000.0, "era5dl", "f" * 16, kernel=False)
    (home / f"{'0' * 12}.lock").write_text(json.dumps(dataclasses.asdict(owner)))
    for key in keys:
        name = hashlib.sha256(key.casefold().encode()).hexdigest()
        (home / f"{name}.claim").write_text(json.dumps({"session": "0" * 12, "token": "f" * 16}))
    return home / f"{'0' * 12}.lock"


def test_a_waiting_run_can_be_paused_and_continues_when_the_claims_are_stale(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(shared_folder, "RECHECK_EVERY", (0.05, 0.1))
    keys = lab.put_objects(3, 100_000)
    lock = planted_claims(lab, keys[:2])
    with running(lab.server, lab.out) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_SESSION)
        snapshot = ran.engine.snapshot()
        assert snapshot.reason.startswith(
            "2 files are being fetched by another session: era5dl (process 4711 on elsewh"
        )
        assert snapshot.active == ()
        assert snapshot.in_flight == 0
        assert snapshot.done_files == 1
        ran.engine.pause()
        assert ran.engine.snapshot().state is State.PAUSED
        ran.engine.resume()
        assert ran.engine.snapshot().state is State.WAITING_FOR_SESSION
        ran.engine.hold([0])
        ran.wait_until(lambda: ran.engine.snapshot().reason.startswith("1 file is being"))
        ran.engine.release([0])
        ran.wait_until(lambda: ran.engine.snapshot().reason.startswith("2 files are"))
        os.utime(lock, (time.time() - STALE_AFTER - 1,) * 2)
        assert ran.wait_for_end().verified == 3
    states = [event.state for event in ran.events_of(StateChanged)]
    assert states.count(State.WAITING_FOR_SESSION) <= 4, "it is reported when it begins, not at each check"
    lab.all_files_are_correct()


@pytest.mark.slow
def test_more_claimed_objects_than_max_transfers_do_not_block_the_rest(lab: Lab) -> None:
    keys = lab.put_objects(60, 1000)
    lock = planted_claims(lab, keys[:50])
    with running(lab.server, lab.out, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_files == 10)
        os.utime(lock, (time.time() - STALE_AFTER - 1,) * 2)
        ran.wait_for_end()
    lab.all_files_are_correct()


def test_two_engines_of_one_process_share_a_folder(lab: Lab) -> None:
    lab.put_objects(6, 2 * MB, speed=1 * MB)
    plan = plan_of(S3Bucket(settings_for(lab.server)))
    backwards = Plan({"prefix": "backwards"}, plan.objects[::-1])
    with running(lab.server, lab.out, plan=plan) as one, running(lab.server, lab.out, plan=backwards) as two:
        assert one.wait_for_end().verified == two.wait_for_end().verified == 6
    lab.all_files_are_correct()
    assert lab.payload <= 1.1 * lab.total
