"""Tests of races: another user replaces a folder by a link during a download, at the worst moments.

Nothing is created or changed outside the chosen folder, and the files in it are right in the end.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from era5dl.engine.events import FileFailed, State
from era5dl.folder import directory_handle
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import TIMEOUT, running, wrong_files

pytestmark = pytest.mark.skipif(not directory_handle.SUPPORTS_DIR_FD, reason="links and handles of Unix")

SIZE = 32 << 20
DATA = {"a/large.nc": pseudo_random(1, SIZE), "b/other.nc": pseudo_random(2, 100_000)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out" / "a").mkdir(parents=True)
    return tmp_path / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Create another folder with files of the same names, and check in the end that they have not changed."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    for name in ("large.nc", "precious"):
        (home / name).write_bytes(b"mine")
        os.utime(home / name, (1, 1))
    yield home
    assert sorted(path.name for path in home.iterdir()) == ["large.nc", "precious"]
    for path in home.iterdir():
        assert (path.read_bytes(), path.stat().st_mtime) == (b"mine", 1)


class Attacker:
    """Replaces the folder `victim` by a link to `target` as soon as `is_time` is true."""

    def __init__(self, victim: Path, target: Path, is_time: Callable[[], bool]) -> None:
        self.victim, self.target, self._is_time = victim, target, is_time
        self.done = threading.Event()
        self.replaced = False
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        give_up = time.monotonic() + TIMEOUT
        while not self.done.is_set() and time.monotonic() < give_up:
            if self._is_time():
                self.victim.rename(self.victim.with_name("aside"))
                self.victim.symlink_to(self.target)
                self.replaced = True
                return
            time.sleep(0.0005)

    def restore(self) -> None:
        self.victim.unlink()
        self.victim.with_name("aside").rename(self.victim)

    def stop(self) -> None:
        self.done.set()
        self._thread.join()


def is_open(name: str) -> bool:
    """Return whether this program has a file open whose path ends with `name`."""
    return any(file.path.endswith(name) for file in psutil.Process().open_files())


def has_bytes(folder: Path, pattern: str) -> bool:
    return any(path.stat().st_blocks > 1000 for path in folder.glob(pattern))


def store(server: FaultServer, *, part_size: int | None = None) -> None:
    for key, data in DATA.items():
        server.put(key, data, part_size=part_size)


def exchange(one: Path, other: Path) -> None:
    """Exchange the names of two files atomically."""
    here = -100  # AT_FDCWD
    if ctypes.CDLL(None, use_errno=True).renameat2(here, os.fsencode(one), here, os.fsencode(other), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.parametrize("existing", ["right", "wrong"])
def test_folder_replaced_while_an_existing_file_is_hashed(
    fault_server: FaultServer, out: Path, elsewhere: Path, existing: str
) -> None:
    store(fault_server)
    (out / "a" / "large.nc").write_bytes(DATA["a/large.nc"] if existing == "right" else bytes(SIZE))
    attacker = Attacker(out / "a", elsewhere, lambda: is_open("a/large.nc"))
    with running(fault_server, out, workers=2) as ran:
        ended = ran.wait_for_end()
    attacker.stop()
    assert attacker.replaced
    assert (ended.verified, ended.failed) == (1, 1)
    (failed,) = ran.events_of(FileFailed)
    assert "leads out" in failed.reason
    assert failed.remedy
    assert wrong_files(out, {"b/other.nc": DATA["b/other.nc"]}) == []


@pytest.mark.slow
@pytest.mark.parametrize("part_size", [None, 5 << 20])
def test_folder_replaced_while_bytes_are_received(
    fault_server: FaultServer, out: Path, elsewhere: Path, part_size: int | None
) -> None:
    store(fault_server, part_size=part_size)
    fault_server.link = Link(speed=8_000_000)
    attacker = Attacker(out / "a", elsewhere, lambda: has_bytes(out / "a", "*.part"))
    with running(fault_server, out, workers=2) as ran:
        ran.wait_until(lambda: attacker.replaced)
        fault_server.link = Link()
        ended = ran.wait_for_end()
    attacker.stop()
    assert (ended.verified, ended.failed) == (1, 1)
    (failed,) = ran.events_of(FileFailed)
    assert "leads out" in failed.reason
    attacker.restore()
    with running(fault_server, out, workers=2) as ran:  # when the link is gone, the file is fetched
        assert ran.wait_for_end().verified == 2
    assert wrong_files(out, DATA) == []


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 exists on Linux only")
def test_folder_replaced_repeatedly(fault_server: FaultServer, out: Path, elsewhere: Path) -> None:
    """At random moments, some of them between the last byte and the final name."""
    many = {f"a/{n}.nc": pseudo_random(n, 50_000) for n in range(200)}
    for key, data in many.items():
        fault_server.put(key, data)
    done = threading.Event()

    (out / "link").symlink_to(elsewhere)

    def swap() -> None:
        while not done.is_set():
            exchange(out / "a", out / "link")
            exchange(out / "a", out / "link")
            time.sleep(0.002)

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        with running(fault_server, out, workers=4) as ran:
            ran.wait_for_end()
    finally:
        done.set()
        attacker.join()
    with running(fault_server, out, workers=4) as ran:
        assert ran.wait_for_end().verified == 200
    assert wrong_files(out, many) == []


@pytest.mark.slow
def test_own_folder_replaced_between_two_checkpoints(fault_server: FaultServer, out: Path, elsewhere: Path) -> None:
    store(fault_server)
    fault_server.link = Link(speed=2_000_000)
    with running(fault_server, out, workers=2) as ran:
        ran.wait_until(lambda: has_bytes(out / "a", "*.part"))
        attacker = Attacker(out / ".era5dl", elsewhere, lambda: True)
        ran.wait_until(lambda: attacker.replaced)
        fault_server.link = Link(speed=100_000)  # a checkpoint fails before the last byte arrives
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
        attacker.stop()
        attacker.restore()
        fault_server.link = Link()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.error) == (2, "")
    assert wrong_files(out, DATA) == []
    with Session.open(out) as session:
        assert session.checkpoint.ended


@pytest.mark.slow
def test_number_of_open_descriptors_is_limited(fault_server: FaultServer, out: Path) -> None:
    many = {f"a/b/c/{n}.nc": pseudo_random(n, 200_000) for n in range(100)}
    for key, data in many.items():
        fault_server.put(key, data)
    workers, peak = 8, 0
    before = psutil.Process().num_fds()
    with running(fault_server, out, workers=workers) as ran:
        while not ran.engine.wait(0.002):
            peak = max(peak, psutil.Process().num_fds())
        assert ran.wait_for_end().verified == 100
    server = 3 * workers  # the server's side of each connection is in this process too
    assert peak - before <= workers + 24 + server
