"""What the engine does when the disk is full, read-only or gone: it waits, says so, and goes on by itself."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from era5dl.engine import disk, upkeep
from era5dl.engine.events import State, StateChanged
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import fetch_all, running, wrong_files

MB = 1_000_000


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "DISK_EVERY", 0.2)


def test_a_full_disk_pauses_and_goes_on_when_there_is_room(fault_server: FaultServer, small_disk: Path) -> None:
    data = pseudo_random(1, 6 * MB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=4 * MB)
    with running(fault_server, small_disk) as ran:
        ran.until(lambda: ran.engine.snapshot().done_bytes > 0)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:  # somebody else fills the disk
                file.write(bytes(65536))
        ran.until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_ROOM)
        assert "room" in ran.engine.snapshot().reason
        assert "DiskFull" in [event.kind for event in ran.said(StateChanged)]
        ballast.unlink()
        ended = ran.end()
    assert (ended.verified, ended.failed) == (1, 0)
    assert wrong_files(small_disk, {"a.bin": data}) == []


def test_what_cannot_fit_is_refused_before_the_first_byte(fault_server: FaultServer, small_disk: Path) -> None:
    fault_server.put("big.bin", pseudo_random(1, 12 * MB))
    ended = fetch_all(fault_server, small_disk).engine.result
    assert "too little" in ended.error
    assert ended.kind == "WillNotFit"
    assert ended.unfinished == 1
    assert not list(small_disk.rglob("*.part"))


def test_what_is_there_already_needs_no_room(fault_server: FaultServer, small_disk: Path) -> None:
    data = pseudo_random(1, 6 * MB)
    fault_server.put("a.bin", data)
    (small_disk / "a.bin").write_bytes(data)
    assert fetch_all(fault_server, small_disk).engine.result.verified == 1


def test_the_reserve_is_left_to_others(fault_server: FaultServer, small_disk: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, 4 * MB))
    assert fetch_all(fault_server, small_disk, disk_reserve=6 * MB).engine.result.error
    assert fetch_all(fault_server, small_disk, disk_reserve=MB).engine.result.verified == 1


def test_a_disk_that_is_pulled_out(fault_server: FaultServer, small_disk: Path) -> None:
    for i in range(60):
        fault_server.put(f"{i}.bin", pseudo_random(i, 50_000))
    fault_server.link = Link(speed=MB)
    with running(fault_server, small_disk, workers=1) as ran:
        ran.until(lambda: ran.engine.snapshot().verified_files >= 1)
        subprocess.run(["umount", "-l", str(small_disk)], check=True)  # the disk is pulled out: an empty folder is left
        ran.until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
        assert list(small_disk.iterdir()) == [], "nothing is written into the empty mount point"
        ran.engine.stop()
        ran.end()


def test_a_disk_that_is_plugged_in_again(fault_server: FaultServer, tmp_path: Path) -> None:
    disk, folder = tmp_path / "disk", tmp_path / "mounted"
    for made in (disk, folder):
        made.mkdir()
    data = {f"{i}.bin": pseudo_random(i, 2 * MB) for i in range(4)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=2 * MB)
    mount("--bind", disk, folder)
    try:
        with running(fault_server, folder, workers=2) as ran:
            ran.until(lambda: ran.engine.snapshot().done_bytes > MB)
            subprocess.run(["umount", "-l", str(folder)], check=True)
            ran.until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
            assert "FolderVanished" in [event.kind for event in ran.said(StateChanged)]
            mount("--bind", disk, folder)
            ended = ran.end()
        assert (ended.verified, ended.failed) == (4, 0)
        assert wrong_files(folder, data) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_disk_that_becomes_read_only(fault_server: FaultServer, tmp_path: Path) -> None:
    """A file system does that by itself when it finds an error in itself."""
    data = {f"{i}.bin": pseudo_random(i, MB) for i in range(6)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=2 * MB)
    try:
        with running(fault_server, tmp_path, workers=2) as ran:
            ran.until(lambda: ran.engine.snapshot().done_bytes > 0)
            mount("--bind", tmp_path, tmp_path)
            mount("-o", "remount,bind,ro", tmp_path)
            ran.until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
            assert "Read-only" in ran.engine.snapshot().reason
            assert "FolderUnusable" in [event.kind for event in ran.said(StateChanged)]
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)
            ended = ran.end()
        assert (ended.verified, ended.failed) == (6, 0)
        assert wrong_files(tmp_path, data) == []
    finally:
        while os.path.ismount(tmp_path):
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_quota_that_is_used_up(fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has room, but not for this user: so what is free says nothing, and only writing shows it."""
    data = pseudo_random(1, 4 * MB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=4 * MB)
    left, real = [MB], os.pwrite

    def pwrite(fd: int, what: memoryview, offset: int) -> int:
        if left[0] < len(what):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        left[0] -= len(what)
        return real(fd, what, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    for module in (upkeep, disk):
        monkeypatch.setattr(module, "is_writable", lambda _folder, amount=0: left[0] > MB)
    with running(fault_server, tmp_path) as ran:
        ran.until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_ROOM)
        assert "quota" in ran.engine.snapshot().reason
        told = len(ran.events)
        ran.engine.wait(1.0)  # the keeper looks five times
        assert len(ran.events) == told, "room for others is no room for us"
        left[0] = 100 * MB
        ended = ran.end()
    assert (ended.verified, ended.failed) == (1, 0)
    assert {event.kind for event in ran.said(StateChanged)} == {"", "DiskFull"}
    assert wrong_files(tmp_path, {"a.bin": data}) == []


def mount(*words: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a disk: {done.stderr.strip()}")
