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
from tests.runs import LONG, running, wrong_files

pytestmark = pytest.mark.skipif(not directory_handle.SUPPORTS_DIR_FD, reason="links and handles of Unix")

SIZE = 32 << 20
DATA = {"a/large.nc": pseudo_random(1, SIZE), "b/other.nc": pseudo_random(2, 100_000)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out" / "a").mkdir(parents=True)
    return tmp_path / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody else's with files under the very names; they are as they were in the end."""
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
    """Exchanges `victim` for a link to `target` as soon as `moment` says so."""

    def __init__(self, victim: Path, target: Path, moment: Callable[[], bool]) -> None:
        self.victim, self.target, self._moment = victim, target, moment
        self.done = threading.Event()
        self.struck = False
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        give_up = time.monotonic() + LONG
        while not self.done.is_set() and time.monotonic() < give_up:
            if self._moment():
                self.victim.rename(self.victim.with_name("aside"))
                self.victim.symlink_to(self.target)
                self.struck = True
                return
            time.sleep(0.0005)

    def put_back(self) -> None:
        self.victim.unlink()
        self.victim.with_name("aside").rename(self.victim)

    def end(self) -> None:
        self.done.set()
        self._thread.join()


def is_open(name: str) -> bool:
    """Whether this program has a file open whose name ends like this."""
    return any(file.path.endswith(name) for file in psutil.Process().open_files())


def has_bytes(folder: Path, pattern: str) -> bool:
    return any(path.stat().st_blocks > 1000 for path in folder.glob(pattern))


def stored(server: FaultServer, *, part_size: int | None = None) -> None:
    for key, data in DATA.items():
        server.put(key, data, part_size=part_size)


def exchange(one: Path, other: Path) -> None:
    """Each gets the other's name, at once."""
    here = -100  # AT_FDCWD
    if ctypes.CDLL(None, use_errno=True).renameat2(here, os.fsencode(one), here, os.fsencode(other), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.parametrize("existing", ["right", "wrong"])
def test_while_an_existing_file_is_hashed(fault_server: FaultServer, out: Path, elsewhere: Path, existing: str) -> None:
    stored(fault_server)
    (out / "a" / "large.nc").write_bytes(DATA["a/large.nc"] if existing == "right" else bytes(SIZE))
    attacker = Attacker(out / "a", elsewhere, lambda: is_open("a/large.nc"))
    with running(fault_server, out, workers=2) as ran:
        ended = ran.end()
    attacker.end()
    assert attacker.struck
    assert (ended.verified, ended.failed) == (1, 1)
    (failed,) = ran.said(FileFailed)
    assert "leads out" in failed.reason
    assert failed.remedy
    assert wrong_files(out, {"b/other.nc": DATA["b/other.nc"]}) == []


@pytest.mark.parametrize("part_size", [None, 5 << 20])
def test_while_its_bytes_come(fault_server: FaultServer, out: Path, elsewhere: Path, part_size: int | None) -> None:
    stored(fault_server, part_size=part_size)
    fault_server.link = Link(speed=8_000_000)
    attacker = Attacker(out / "a", elsewhere, lambda: has_bytes(out / "a", "*.part"))
    with running(fault_server, out, workers=2) as ran:
        ran.until(lambda: attacker.struck)
        fault_server.link = Link()
        ended = ran.end()
    attacker.end()
    assert (ended.verified, ended.failed) == (1, 1)
    (failed,) = ran.said(FileFailed)
    assert "leads out" in failed.reason
    attacker.put_back()
    with running(fault_server, out, workers=2) as ran:  # and once the link is gone it comes
        assert ran.end().verified == 2
    assert wrong_files(out, DATA) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are exchanged by a call of Linux")
def test_again_and_again(fault_server: FaultServer, out: Path, elsewhere: Path) -> None:
    """At moments of chance, among them that between the last byte and the final name."""
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
            ran.end()
    finally:
        done.set()
        attacker.join()
    with running(fault_server, out, workers=4) as ran:
        assert ran.end().verified == 200
    assert wrong_files(out, many) == []


def test_our_own_folder_between_two_checkpoints(fault_server: FaultServer, out: Path, elsewhere: Path) -> None:
    stored(fault_server)
    fault_server.link = Link(speed=2_000_000)
    with running(fault_server, out, workers=2) as ran:
        ran.until(lambda: has_bytes(out / "a", "*.part"))
        attacker = Attacker(out / ".era5dl", elsewhere, lambda: True)
        ran.until(lambda: attacker.struck)
        fault_server.link = Link()
        ran.until(lambda: ran.engine.snapshot().state in (State.WAITING_FOR_DISK, State.ENDED))
        attacker.end()
        attacker.put_back()
        ended = ran.end()
    assert (ended.verified, ended.error) == (2, "")
    assert wrong_files(out, DATA) == []
    with Session.open(out) as session:
        assert session.checkpoint.ended


def test_few_descriptors_are_open(fault_server: FaultServer, out: Path) -> None:
    many = {f"a/b/c/{n}.nc": pseudo_random(n, 200_000) for n in range(100)}
    for key, data in many.items():
        fault_server.put(key, data)
    workers, most = 8, 0
    before = psutil.Process().num_fds()
    with running(fault_server, out, workers=workers) as ran:
        while not ran.engine.wait(0.002):
            most = max(most, psutil.Process().num_fds())
        assert ran.end().verified == 100
    server = 3 * workers  # its side of each connection is in this process, too
    assert most - before <= workers + 24 + server
