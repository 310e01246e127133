"""One program at a time on a session, and nobody locked out by a dead one."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from era5dl.errors import DiskFull, FolderUnusable, SessionBusy, SessionError
from era5dl.locks import acquire
from era5dl.locks import lock_file as lock_module
from era5dl.locks.acquire import is_ours
from era5dl.locks.lock_file import LEASE, Lock, holder
from era5dl.locks.os_lock import Unsupported
from era5dl.locks.owner import SILENCE, Owner

_ME = Owner.this_process("0" * 16, kernel=False)
HERE = {"host": _ME.host, "boot": _ME.boot, "pids": _ME.pids}
HOLD = "import sys; from pathlib import Path; from era5dl.locks.lock_file import Lock"
UNSUPPORTED = """
import errno, era5dl.locks.acquire as m
def never(fd): raise m.Unsupported(errno.ENOSYS, "no locks")
m.try_lock = never
"""


@pytest.fixture(params=["kernel", "by name"])
def way(request, monkeypatch) -> str:
    """With the kernel's locks, and on a file system that has none (such as Lustre without -o flock)."""
    if request.param == "by name":
        monkeypatch.setattr(acquire, "try_lock", no_locks)
    return request.param


def no_locks(fd: int) -> bool:
    raise Unsupported(errno.ENOSYS, "no locks")


def other_program(path: Path, way: str) -> subprocess.Popen[str]:
    """Another program that holds the lock until it is ended."""
    code = HOLD + (UNSUPPORTED if way == "by name" else "") + "\nlock = Lock.take(Path(sys.argv[1]))\n"
    code += "print('held', flush=True); sys.stdin.read(); lock.release()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "held\n"
    return program


def end(program: subprocess.Popen[str]) -> None:
    program.communicate()


def claim(path: Path, *, silent: float = 0.0, **changes: object) -> None:
    """A lock file as another program wrote it, `silent` seconds ago."""
    owner = {
        "pid": os.getpid(),
        "host": "elsewhere.example",
        "started": 1.0,
        "since": 1_700_000_000.0,
        "program": "era5dl",
        "token": "0123456789abcdef",
        "kernel": False,
    }
    path.write_text(json.dumps({**owner, **changes}))
    then = time.time() - silent
    os.utime(path, (then, then))


def test_a_second_program_is_told_who_holds_it(tmp_path, way):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    try:
        with pytest.raises(SessionBusy, match=rf"process {program.pid} on {socket.gethostname()}, since 20"):
            Lock.take(path)
        assert holder(path).pid == program.pid
    finally:
        end(program)
    Lock.take(path).release()
    assert list(tmp_path.iterdir()) == []


def test_the_same_program_cannot_open_it_twice_either(tmp_path, way):
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.take(path)
    held.release()
    held.release()
    Lock.take(path).release()


@pytest.mark.parametrize("waited_for", [True, False])
def test_after_kill_9_the_next_one_takes_over_at_once(tmp_path, way, waited_for):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    os.kill(program.pid, signal.SIGKILL)
    if waited_for:
        program.wait()
    else:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has collected it
    try:
        assert holder(path) is None
        Lock.take(path).release()
    finally:
        end(program)


def test_a_process_that_was_given_the_dead_ones_number_is_not_the_owner(tmp_path, way):
    path = tmp_path / "s.lock"
    claim(path, **HERE, started=12345.0)  # our own pid, but another beginning
    Lock.take(path).release()


def test_of_many_takers_of_a_dead_lock_one_wins(tmp_path, way):
    for round_ in range(15):
        path = tmp_path / f"{round_}.lock"
        claim(path, **HERE, pid=2**22 + 1)
        ready, won, lost = threading.Barrier(6), [], []

        def take(path=path, ready=ready, won=won, lost=lost) -> None:
            ready.wait()
            try:
                won.append(Lock.take(path))
            except SessionBusy as exc:
                lost.append(exc)

        takers = [threading.Thread(target=take) for _ in range(6)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        holding = [held for held in won if still_mine(held)]
        assert len(holding) == 1
        assert way == "by name" or len(won) == 1
        for held in won:
            held.release()
    assert [file.name for file in tmp_path.iterdir()] == []


def still_mine(held: Lock) -> bool:
    try:
        held.confirm()
    except SessionBusy:
        return False
    return True


def test_another_computers_lock_counts_for_a_minute_without_a_touch(tmp_path, way):
    assert SILENCE <= 60
    path = tmp_path / "s.lock"
    claim(path, silent=SILENCE - 30)
    with pytest.raises(SessionBusy, match=r"era5dl \(process \d+ on elsewhere.example, since 2023-11-1") as caught:
        Lock.take(path)
    assert "60 seconds" in caught.value.remedy
    claim(path, silent=SILENCE + 1)
    Lock.take(path).release()


@pytest.mark.parametrize("text", ["", None])
def test_a_touch_in_the_future_locks_out_for_a_minute_and_not_for_ever(tmp_path, way, text):
    """Somebody set the time of the file, or the clock of whoever wrote it was wrong."""
    path = tmp_path / "s.lock"
    claim(path, silent=-3600)
    if text is not None:
        if way == "kernel":
            return  # there an unreadable file is nobody's
        path.write_text(text)
        os.utime(path, (time.time() + 3600,) * 2)
    with pytest.raises(SessionBusy):
        Lock.take(path)
    touched = path.stat().st_mtime
    assert touched < time.time() + 5, "from now on its minute runs"
    os.utime(path, (touched - SILENCE - 1,) * 2)  # that minute goes by
    Lock.take(path).release()


@pytest.mark.parametrize("other", [{"pids": "1"}, {"boot": "another"}, {"boot": "", "pids": ""}])
def test_a_process_number_of_another_container_or_host_of_our_name_is_not_looked_up(tmp_path, way, other):
    path = tmp_path / "s.lock"
    claim(path, **{**HERE, **other}, pid=2**22 + 1, silent=SILENCE - 30)  # nobody has that number here
    with pytest.raises(SessionBusy):
        Lock.take(path)
    claim(path, **{**HERE, **other}, silent=SILENCE + 1)
    Lock.take(path).release()


def test_a_host_name_that_changed_makes_no_other_computer(tmp_path, way):
    path = tmp_path / "s.lock"
    claim(path, **{**HERE, "host": "before.example"}, pid=2**22 + 1)
    Lock.take(path).release()


def test_a_process_that_may_not_be_looked_at_counts_by_its_touches(tmp_path, monkeypatch):
    """/proc can be mounted so that other users' processes are not seen (hidepid)."""

    def hidden(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    path = tmp_path / "s.lock"
    claim(path, **HERE, pid=os.getppid(), silent=SILENCE - 30)
    monkeypatch.setattr(psutil, "Process", hidden)
    monkeypatch.setattr(acquire, "try_lock", no_locks)
    with pytest.raises(SessionBusy):
        Lock.take(path)
    claim(path, **HERE, pid=os.getppid(), silent=SILENCE + 1)
    Lock.take(path).release()


def test_a_living_holder_is_respected_by_the_same_computer_however_long_it_is_silent(tmp_path, way):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    try:
        os.kill(program.pid, signal.SIGSTOP)
        os.utime(path, (1.0, 1.0))
        with pytest.raises(SessionBusy):
            Lock.take(path)
    finally:
        os.kill(program.pid, signal.SIGCONT)
        end(program)


def test_silence_is_measured_by_the_file_servers_clock(tmp_path, way, monkeypatch):
    path = tmp_path / "s.lock"
    claim(path)
    hour_ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_ahead)
    with pytest.raises(SessionBusy):
        Lock.take(path)


def test_the_kernels_lock_of_another_computer_is_trusted_only_as_far_as_it_reaches(tmp_path):
    """On a share whose locks are local we get the lock although the other computer has it, too."""
    path = tmp_path / "s.lock"
    claim(path, kernel=True)
    with pytest.raises(SessionBusy):
        Lock.take(path)


def test_a_living_holder_without_the_kernels_lock_is_respected_by_one_that_has_it(tmp_path):
    path = tmp_path / "s.lock"
    claim(path, **HERE, pid=os.getppid(), started=psutil.Process(os.getppid()).create_time())
    with pytest.raises(SessionBusy, match=f"process {os.getppid()}"):
        Lock.take(path)


def test_a_lock_file_exchanged_between_opening_and_locking_is_not_taken_for_the_real_one(tmp_path, monkeypatch):
    path = tmp_path / "s.lock"
    real, moments = acquire.try_lock, iter([None, path.unlink])  # the first is the trial of the folder

    def slow(fd: int) -> bool:
        (next(moments, None) or (lambda: None))()
        return real(fd)

    monkeypatch.setattr(acquire, "try_lock", slow)
    held = Lock.take(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    held.release()


def test_a_lock_taken_between_our_look_and_our_rename_is_put_back(tmp_path, monkeypatch):
    path = tmp_path / "s.lock"
    monkeypatch.setattr(acquire, "try_lock", no_locks)
    claim(path, silent=SILENCE + 30)
    real = os.rename

    def late(source: Path, target: Path) -> None:
        claim(path, token="f" * 16)  # a third program was quicker
        real(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(SessionBusy):
        Lock.take(path)
    assert json.loads(path.read_text())["token"] == "f" * 16
    assert [file.name for file in tmp_path.iterdir()] == ["s.lock"]


def test_saving_and_the_heartbeat_are_signs_of_life(tmp_path, way, monkeypatch):
    monkeypatch.setattr(lock_module, "BEAT", 0.02)
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    os.utime(path, (1.0, 1.0))
    held.confirm()
    assert time.time() - path.stat().st_mtime < 60
    held.keep_alive()
    for _ in range(3):
        os.utime(path, (1.0, 1.0))
        until(lambda: time.time() - path.stat().st_mtime < 60)
    held.release()
    until(lambda: not any(thread.name == "era5dl-heartbeat" for thread in threading.enumerate()))
    assert list(tmp_path.iterdir()) == []


def until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_the_heartbeat_does_not_keep_alive_what_another_program_took_over(tmp_path, way, monkeypatch):
    monkeypatch.setattr(lock_module, "BEAT", 0.02)
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    claim(path, silent=30)
    touched = path.stat().st_mtime
    held.keep_alive()
    until(lambda: not any(thread.name == "era5dl-heartbeat" for thread in threading.enumerate()))
    assert path.stat().st_mtime == touched
    held.release()


def test_a_holder_that_was_frozen_looks_before_it_writes(tmp_path, way, monkeypatch):
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    claim(path)
    held.assure()  # nobody can have taken it over so soon: no need to look
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    with pytest.raises(SessionBusy, match=r"elsewhere\.example.*has taken this session over"):
        held.assure()
    held.release()


def test_a_holder_that_was_frozen_and_lost_nothing_goes_on(tmp_path, way, monkeypatch):
    held = Lock.take(tmp_path / "s.lock")
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    held.assure()
    assert held.lapses == 1, "its claims are to be looked at again"
    held.assure()
    assert held.lapses == 1
    held.release()
    monkeypatch.undo()
    with pytest.raises(SessionError, match="closed"):
        held.confirm()
    assert list(tmp_path.iterdir()) == []


def test_the_owner_finds_out_that_it_was_taken_over(tmp_path, way):
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    claim(path)
    with pytest.raises(SessionBusy, match=r"elsewhere\.example"):
        held.confirm()
    held.release()
    assert path.exists()  # it is the other one's


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_text("torn {")])
def test_a_lock_file_that_somebody_deleted_or_tore_is_made_again(tmp_path, way, harm):
    path = tmp_path / "s.lock"
    held = Lock.take(path)
    harm(path)
    if way == "by name" and path.exists():
        os.utime(path, (1.0, 1.0))
    held.confirm()
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.take(path)
    held.release()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\0" * 300, "{", "[]", '{"pid": -1}', "[" * 20_000])
def test_a_lock_file_that_says_nothing_locks_nobody_out(tmp_path, way, text):
    path = tmp_path / "s.lock"
    path.write_text(text)
    if way == "by name":
        with pytest.raises(SessionBusy, match="just begun"):
            Lock.take(path)  # it may be one that is being written
        os.utime(path, (1.0, 1.0))
    Lock.take(path).release()


def test_a_folder_that_is_gone_is_not_made_again(tmp_path, way):
    home = tmp_path / "home"
    home.mkdir()
    held = Lock.take(home / "s.lock")
    (home / "s.lock").unlink()
    home.rmdir()
    with pytest.raises(FolderUnusable):
        held.confirm()
    held.release()
    assert not home.exists()
    with pytest.raises(FolderUnusable):
        Lock.take(home / "s.lock")


def test_a_folder_that_comes_back_brings_its_lock_back(tmp_path, way):
    """While it was away the lock was let go: what came back with our name in it must be held again."""
    folder = tmp_path / "out"
    folder.mkdir()
    held = Lock.take(folder / "s.lock")
    folder.rename(tmp_path / "away")
    with pytest.raises(FolderUnusable):
        held.confirm()
    (tmp_path / "away").rename(folder)
    held.confirm()
    assert is_ours(held.token)
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.take(folder / "s.lock")
    held.release()
    assert list(folder.iterdir()) == []
    Lock.take(folder / "s.lock").release()


def test_a_link_under_the_locks_name_is_not_followed(tmp_path, way):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "s.lock").symlink_to(victim)
    with pytest.raises((FolderUnusable, SessionBusy)):
        Lock.take(tmp_path / "s.lock")
    assert victim.read_text() == "precious"


def test_a_full_disk_is_said_and_leaves_no_lock_behind(tmp_path, way, monkeypatch):
    def full(fd: int, token: str, *, kernel: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskFull):
        patch.setattr(acquire, "_sign", full)
        Lock.take(tmp_path / "s.lock")
    Lock.take(tmp_path / "s.lock").release()


def test_what_is_said_of_a_folder_that_is_gone_has_no_random_name_in_it(tmp_path):
    said = set()
    for _ in range(2):
        with pytest.raises(FolderUnusable) as gone:
            Lock.take(tmp_path / "gone" / "s.lock")
        said.add(str(gone.value))
    assert said == {f"{tmp_path / 'gone' / 's.lock'}: No such file or directory"}
