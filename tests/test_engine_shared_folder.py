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
PATIENCE = 120.0
NO_FLOCK = """
import errno
def never(fd): raise acquire.LockUnsupported(errno.ENOSYS, "no locks")
acquire.try_lock = never
"""
SHORT_LEASE = "lock_file.HEARTBEAT_INTERVAL, lock_file.LEASE = 0.2, 1.0"  # seconds: frozen after one, not after 30
SEAM = "import sys\nfrom era5dl.locks import acquire, lock_file\n{}\nfrom era5dl.cli import main\nsys.exit(main())"


class Program:
    """`era5dl download` of these keys, as a process of its own."""

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
        self._out = (lab.folder / f"{name}.said").open("w+")
        self.process = subprocess.Popen(
            [*within, sys.executable, *how, "download", "--keys-file", str(listed), "--out", str(lab.out)],
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
        )

    @property
    def said(self) -> str:
        return Path(self._out.name).read_text()

    def send(self, sign: signal.Signals) -> None:
        self.process.send_signal(sign)

    def ends_well(self) -> None:
        assert self.process.wait(PATIENCE) == 0, self.said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()


class Lab:
    """Objects in a bucket behind a slow line, and programs that want them in one folder."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server, self.folder, self.out = server, folder, folder / "out"
        self.objects: dict[str, bytes] = {}
        self.programs: list[Program] = []

    def furnish(self, files: int, size: int, *, speed: int | None = None, opaque: bool = False) -> list[str]:
        for number in range(files):
            key = f"{number % 3}/{number}.{'grb' if opaque else 'nc'}"  # these are no HDF5
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

    def wait_until(self, reached: Callable[[], object]) -> None:
        give_up = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < give_up, [program.said for program in self.programs]
            time.sleep(0.01)

    def claims(self) -> list[Path]:
        return [path for path in self.out.glob(".era5dl/*.claim") if len(path.stem) == 64]

    def lock_of(self, program: Program) -> Path | None:
        for path in self.out.glob(".era5dl/*.lock"):
            if f'"pid": {program.process.pid},' in path.read_text():
                return path
        return None

    def fetching(self, program: Program) -> bool:
        """Whether this program has claimed something, and bytes come."""
        lock = self.lock_of(program)
        return lock is not None and any(lock.stem in claim.read_text() for claim in self.claims()) and self.payload > 0

    def all_right(self) -> None:
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
@pytest.mark.parametrize("seam", ["", NO_FLOCK], ids=["flock", "no flock"])
@pytest.mark.parametrize("programs", [2, 3])
def test_each_object_is_fetched_once(lab: Lab, programs: int, seam: str) -> None:
    keys = lab.furnish(12, 3 * MB, speed=1 * MB)
    started = [lab.start(f"{n}", keys[n:] + keys[:n], seam=seam) for n in range(programs)]
    for program in started:
        program.ends_well()
    lab.all_right()
    assert lab.payload <= 1.1 * lab.total


@pytest.mark.slow
def test_where_no_md5_proves_them_each_object_is_fetched_once_too(lab: Lab) -> None:
    """Whoever waited adopts such a file because the other session has recorded it: so that must have been done."""
    keys = lab.furnish(12, 3 * MB, speed=1 * MB, opaque=True)
    started = [lab.start("first", keys), lab.start("second", keys[::-1])]
    for program in started:
        program.ends_well()
    lab.all_right()
    assert lab.payload <= 1.1 * lab.total


def test_the_same_session_twice_is_refused_as_ever(lab: Lab) -> None:
    keys = lab.furnish(4, 2 * MB, speed=1 * MB)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first))
    second = lab.start("second", keys)
    assert second.process.wait(PATIENCE) == 3
    assert "is working on this session" in second.said
    first.ends_well()
    lab.all_right()


@pytest.mark.slow
def test_what_is_only_claimed_is_waited_for_and_said_once(lab: Lab) -> None:
    keys = lab.furnish(3, 8 * MB, speed=1 * MB)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 3)
    second = lab.start("second", keys[:2])
    lab.wait_until(lambda: "waiting for another session" in second.said)
    assert f"2 files are being fetched by another session: era5dl (process {first.process.pid} on" in second.said
    first.ends_well()
    second.ends_well()
    lab.all_right()
    assert second.said.count("waiting for another session: ") == 1
    assert lab.payload <= 1.1 * lab.total


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_whoever_waits_can_be_stopped_at_once(lab: Lab, sign: signal.Signals) -> None:
    keys = lab.furnish(2, 20 * MB, speed=1 * MB)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 2)
    second = lab.start("second", keys[:1])
    lab.wait_until(lambda: "waiting for another session" in second.said)
    asked = time.monotonic()
    second.send(sign)
    assert second.process.wait(PATIENCE) == 130
    assert time.monotonic() - asked < 5


@pytest.mark.slow
@pytest.mark.parametrize("seam", ["", NO_FLOCK], ids=["flock", "no flock"])
def test_after_kill_9_the_other_takes_over_at_once(lab: Lab, seam: str) -> None:
    keys = lab.furnish(6, 4 * MB, speed=1 * MB)
    first = lab.start("first", keys, seam=seam)
    lab.wait_until(lambda: lab.fetching(first))
    second = lab.start("second", keys[::-1], seam=seam)
    lab.wait_until(lambda: lab.fetching(second))
    first.send(signal.SIGKILL)
    first.process.wait()
    killed = time.monotonic()
    second.ends_well()
    assert time.monotonic() - killed < STALE_AFTER - 20, "that its process is gone is known at once"
    assert wrong_files(lab.out, lab.objects) == []
    assert lab.claims() == []
    third = lab.start("first", keys, seam=seam)
    third.ends_well()
    lab.all_right()


def test_claims_of_the_dead_are_swept(lab: Lab) -> None:
    keys = lab.furnish(6, 4 * MB, speed=1 * MB)
    first = lab.start("first", keys)
    lab.wait_until(lambda: lab.fetching(first))
    first.send(signal.SIGKILL)
    first.process.wait()
    assert lab.claims() != []
    lab.server.put("else.nc", b"something else")
    lab.start("second", ["else.nc"]).ends_well()
    assert lab.claims() == []


@pytest.mark.slow
def test_a_stopped_owner_is_taken_over_and_finds_out_when_it_wakes(lab: Lab) -> None:
    """For the others its minute is over as soon as the time of its last touch is set back."""
    keys = lab.furnish(3, 6 * MB, speed=1 * MB)
    first = lab.start("first", keys, seam=SHORT_LEASE)
    lab.wait_until(lambda: lab.fetching(first) and len(lab.claims()) == 3)
    first.send(signal.SIGSTOP)
    lock = lab.lock_of(first)
    assert lock is not None
    silent = time.time() - STALE_AFTER - 5
    os.utime(lock, (silent, silent))
    second = lab.start("second", keys[::-1])
    second.ends_well()
    assert wrong_files(lab.out, lab.objects) == []
    stamps = {key: ((lab.out / key).stat().st_ino, (lab.out / key).stat().st_mtime_ns) for key in keys}
    before = lab.payload
    first.send(signal.SIGCONT)
    first.ends_well()
    lab.all_right()
    assert lab.payload - before < lab.total / 2, "it does not fetch what is there"
    assert "left to another session: 0/0.nc: " in first.said
    assert stamps == {key: ((lab.out / key).stat().st_ino, (lab.out / key).stat().st_mtime_ns) for key in keys}


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to make namespaces")
@pytest.mark.parametrize("world", [["--uts"], ["--uts", "--pid", "--fork", "--mount-proc"]], ids=["host", "container"])
def test_hosts_of_other_names_and_containers_of_one_name_share_a_folder(lab: Lab, world: list[str]) -> None:
    """A container's process numbers mean nothing outside: that there is no such process here makes nobody dead."""
    keys = lab.furnish(6, 4 * MB, speed=1 * MB)
    name = "another" if world == ["--uts"] else os.uname().nodename
    within = ["unshare", *world, "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
    first = lab.start("first", keys, within=within)
    lab.wait_until(lambda: lab.claims() and lab.payload)
    second = lab.start("second", keys[::-1])
    first.ends_well()
    second.ends_well()
    lab.all_right()
    assert lab.payload <= 1.1 * lab.total


def planted_claims(lab: Lab, keys: list[str]) -> Path:
    """Claims of a session on another computer on these objects. Returns its lock."""
    home = lab.out / ".era5dl"
    home.mkdir(parents=True)
    owner = Owner(4711, "elsewhere.example", 1.0, 1_700_000_000.0, "era5dl", "f" * 16, kernel=False)
    (home / f"{'0' * 12}.lock").write_text(json.dumps(dataclasses.asdict(owner)))
    for key in keys:
        name = hashlib.sha256(key.casefold().encode()).hexdigest()
        (home / f"{name}.claim").write_text(json.dumps({"session": "0" * 12, "token": "f" * 16}))
    return home / f"{'0' * 12}.lock"


def test_while_others_fetch_it_can_be_paused_and_when_they_are_gone_it_goes_on(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(shared_folder, "RECHECK_EVERY", (0.05, 0.1))
    keys = lab.furnish(3, 100_000)
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
    assert states.count(State.WAITING_FOR_SESSION) <= 4, "it is said when it begins, not at each look"
    lab.all_right()


def test_more_objects_of_others_than_are_begun_at_once_do_not_keep_it_from_the_rest(lab: Lab) -> None:
    keys = lab.furnish(60, 1000)
    lock = planted_claims(lab, keys[:50])
    with running(lab.server, lab.out, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_files == 10)
        os.utime(lock, (time.time() - STALE_AFTER - 1,) * 2)
        ran.wait_for_end()
    lab.all_right()


def test_two_engines_of_one_process_share_a_folder(lab: Lab) -> None:
    lab.furnish(6, 2 * MB, speed=1 * MB)
    plan = plan_of(S3Bucket(settings_for(lab.server)))
    backwards = Plan({"prefix": "backwards"}, plan.objects[::-1])
    with running(lab.server, lab.out, plan=plan) as one, running(lab.server, lab.out, plan=backwards) as two:
        assert one.wait_for_end().verified == two.wait_for_end().verified == 6
    lab.all_right()
    assert lab.payload <= 1.1 * lab.total
