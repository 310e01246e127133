"""Lock files: one program at a time per session, and no lock-out after a crash or kill -9."""

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
from era5dl.locks.acquire import LockUnsupported
from era5dl.locks.lock_file import LEASE, Lock, current_owner
from era5dl.locks.network_locks import are_locks_shared
from era5dl.locks.owner import STALE_AFTER, Grant, Owner, held_by_this_process

_THIS_PROCESS = Owner.this_process("0" * 16, kernel=False)
SAME_KERNEL = {"host": _THIS_PROCESS.host, "boot": _THIS_PROCESS.boot, "pids": _THIS_PROCESS.pids}
IMPORTS = "import sys; from pathlib import Path; from era5dl.locks.lock_file import Lock"
WITHOUT_FLOCK = """
import errno, era5dl.locks.acquire as m
def never(fd): raise m.LockUnsupported(errno.ENOSYS, "no locks")
m.try_lock = never
"""


@pytest.fixture(params=["flock", "exclusive creation"])
def way(request, monkeypatch) -> str:
    """How locks are acquired: with flock, or on a file system without it (such as Lustre without -o flock)."""
    if request.param == "exclusive creation":
        monkeypatch.setattr(acquire, "try_lock", lock_unsupported)
    return request.param


def lock_unsupported(fd: int) -> bool:
    raise LockUnsupported(errno.ENOSYS, "no locks")


def other_program(path: Path, way: str) -> subprocess.Popen[str]:
    """Start another program that holds the lock until `end`."""
    code = (
        IMPORTS + (WITHOUT_FLOCK if way == "exclusive creation" else "") + "\nlock = Lock.acquire(Path(sys.argv[1]))\n"
    )
    code += "print('held', flush=True); sys.stdin.read(); lock.release()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "held\n"
    return program


def end(program: subprocess.Popen[str]) -> None:
    program.communicate()


def write_lock(path: Path, *, age: float = 0.0, **changes: object) -> None:
    """Write a lock file as another program did, with its last heartbeat `age` seconds ago."""
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
    then = time.time() - age
    os.utime(path, (then, then))


def test_second_program_gets_error_naming_the_holder(tmp_path, way):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    try:
        with pytest.raises(SessionBusy, match=rf"process {program.pid} on {socket.gethostname()}, since 20"):
            Lock.acquire(path)
        assert current_owner(path).pid == program.pid
    finally:
        end(program)
    Lock.acquire(path).release()
    assert list(tmp_path.iterdir()) == []


def test_same_program_cannot_acquire_it_twice(tmp_path, way):
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.acquire(path)
    held.release()
    held.release()
    Lock.acquire(path).release()


@pytest.mark.parametrize("reaped", [True, False])
def test_lock_is_free_immediately_after_kill_9(tmp_path, way, reaped):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    os.kill(program.pid, signal.SIGKILL)
    if reaped:
        program.wait()
    else:
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # a zombie: dead and not reaped
    try:
        assert current_owner(path) is None
        Lock.acquire(path).release()
    finally:
        end(program)


def test_process_with_reused_pid_is_not_the_owner(tmp_path, way):
    path = tmp_path / "s.lock"
    write_lock(path, **SAME_KERNEL, started=12345.0)  # our own pid with another start time
    Lock.acquire(path).release()


def test_only_one_of_many_concurrent_takeovers_succeeds(tmp_path, way):
    for round_ in range(15):
        path = tmp_path / f"{round_}.lock"
        write_lock(path, **SAME_KERNEL, pid=2**22 + 1)
        ready, won, lost = threading.Barrier(6), [], []

        def take(path=path, ready=ready, won=won, lost=lost) -> None:
            ready.wait()
            try:
                won.append(Lock.acquire(path))
            except SessionBusy as exc:
                lost.append(exc)

        takers = [threading.Thread(target=take) for _ in range(6)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        holding = [held for held in won if is_still_held(held)]
        assert len(holding) == 1
        assert way == "exclusive creation" or len(won) == 1
        for held in won:
            held.release()
    assert [file.name for file in tmp_path.iterdir()] == []


def is_still_held(held: Lock) -> bool:
    try:
        held.renew()
    except SessionBusy:
        return False
    return True


def test_lock_of_other_computer_becomes_stale_after_a_minute_without_heartbeat(tmp_path, way):
    assert STALE_AFTER <= 60
    path = tmp_path / "s.lock"
    write_lock(path, age=STALE_AFTER - 30)
    with pytest.raises(SessionBusy, match=r"era5dl \(process \d+ on elsewhere.example, since 2023-11-1") as caught:
        Lock.acquire(path)
    assert "60 seconds" in caught.value.remedy
    write_lock(path, age=STALE_AFTER + 1)
    Lock.acquire(path).release()


@pytest.mark.parametrize("text", ["", None])
def test_modification_time_in_the_future_locks_out_for_a_minute_only(tmp_path, way, text):
    """Its time was set, or it was written by a computer whose clock is wrong."""
    path = tmp_path / "s.lock"
    write_lock(path, age=-3600)
    if text is not None:
        if way == "flock":
            return  # flock shows that an unreadable file has no owner
        path.write_text(text)
        os.utime(path, (time.time() + 3600,) * 2)
    with pytest.raises(SessionBusy):
        Lock.acquire(path)
    touched = path.stat().st_mtime
    assert touched < time.time() + 5, "its minute starts now"
    os.utime(path, (touched - STALE_AFTER - 1,) * 2)  # the minute passes
    Lock.acquire(path).release()


@pytest.mark.parametrize("other", [{"pids": "1"}, {"boot": "another"}, {"boot": "", "pids": ""}])
def test_pid_of_other_container_or_host_with_our_host_name_is_not_looked_up(tmp_path, way, other):
    path = tmp_path / "s.lock"
    write_lock(path, **{**SAME_KERNEL, **other}, pid=2**22 + 1, age=STALE_AFTER - 30)  # no process has that number here
    with pytest.raises(SessionBusy):
        Lock.acquire(path)
    write_lock(path, **{**SAME_KERNEL, **other}, age=STALE_AFTER + 1)
    Lock.acquire(path).release()


def test_changed_host_name_is_still_the_same_computer(tmp_path, way):
    path = tmp_path / "s.lock"
    write_lock(path, **{**SAME_KERNEL, "host": "before.example"}, pid=2**22 + 1)
    Lock.acquire(path).release()


def test_process_that_cannot_be_examined_is_judged_by_its_heartbeat(tmp_path, monkeypatch):
    """/proc can be mounted so that the processes of other users are hidden (hidepid)."""

    def hidden(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    path = tmp_path / "s.lock"
    write_lock(path, **SAME_KERNEL, pid=os.getppid(), age=STALE_AFTER - 30)
    monkeypatch.setattr(psutil, "Process", hidden)
    monkeypatch.setattr(acquire, "try_lock", lock_unsupported)
    with pytest.raises(SessionBusy):
        Lock.acquire(path)
    write_lock(path, **SAME_KERNEL, pid=os.getppid(), age=STALE_AFTER + 1)
    Lock.acquire(path).release()


def test_live_holder_on_same_computer_keeps_the_lock_without_heartbeat(tmp_path, way):
    path = tmp_path / "s.lock"
    program = other_program(path, way)
    try:
        os.kill(program.pid, signal.SIGSTOP)
        os.utime(path, (1.0, 1.0))
        with pytest.raises(SessionBusy):
            Lock.acquire(path)
    finally:
        os.kill(program.pid, signal.SIGCONT)
        end(program)


def test_heartbeat_age_is_measured_by_the_file_servers_clock(tmp_path, way, monkeypatch):
    path = tmp_path / "s.lock"
    write_lock(path)
    hour_ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_ahead)
    with pytest.raises(SessionBusy):
        Lock.acquire(path)


def test_having_flock_does_not_override_a_live_holder_on_another_computer(tmp_path):
    """On a share whose flock is local, we get it although the other computer has it too."""
    path = tmp_path / "s.lock"
    write_lock(path, kernel=True)
    with pytest.raises(SessionBusy):
        Lock.acquire(path)


def test_having_flock_does_not_override_a_live_holder_without_flock(tmp_path):
    path = tmp_path / "s.lock"
    write_lock(path, **SAME_KERNEL, pid=os.getppid(), started=psutil.Process(os.getppid()).create_time())
    with pytest.raises(SessionBusy, match=f"process {os.getppid()}"):
        Lock.acquire(path)


def test_lock_file_replaced_between_open_and_flock_is_opened_again(tmp_path, monkeypatch):
    path = tmp_path / "s.lock"
    real, moments = acquire.try_lock, iter([None, path.unlink])  # the first call probes the folder

    def delayed(fd: int) -> bool:
        (next(moments, None) or (lambda: None))()
        return real(fd)

    monkeypatch.setattr(acquire, "try_lock", delayed)
    held = Lock.acquire(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    held.release()


def test_lock_acquired_by_others_between_check_and_rename_is_restored(tmp_path, monkeypatch):
    path = tmp_path / "s.lock"
    monkeypatch.setattr(acquire, "try_lock", lock_unsupported)
    write_lock(path, age=STALE_AFTER + 30)
    real = os.rename

    def after_takeover(source: Path, target: Path) -> None:
        write_lock(path, token="f" * 16)  # a third program was faster
        real(source, target)

    monkeypatch.setattr(os, "rename", after_takeover)
    with pytest.raises(SessionBusy):
        Lock.acquire(path)
    assert json.loads(path.read_text())["token"] == "f" * 16
    assert [file.name for file in tmp_path.iterdir()] == ["s.lock"]


def test_renew_and_heartbeat_thread_touch_the_file(tmp_path, way, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_INTERVAL", 0.02)
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    os.utime(path, (1.0, 1.0))
    held.renew()
    assert time.time() - path.stat().st_mtime < 60
    held.start_heartbeat()
    for _ in range(3):
        os.utime(path, (1.0, 1.0))
        wait_until(lambda: time.time() - path.stat().st_mtime < 60)
    held.release()
    wait_until(lambda: not any(thread.name == "era5dl-heartbeat" for thread in threading.enumerate()))
    assert list(tmp_path.iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_heartbeat_stops_when_another_program_took_over(tmp_path, way, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT_INTERVAL", 0.02)
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    write_lock(path, age=30)
    touched = path.stat().st_mtime
    held.start_heartbeat()
    wait_until(lambda: not any(thread.name == "era5dl-heartbeat" for thread in threading.enumerate()))
    assert path.stat().st_mtime == touched
    held.release()


def test_holder_that_was_frozen_checks_the_lock_before_writing(tmp_path, way, monkeypatch):
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    write_lock(path)
    held.ensure_held()  # the lease has not run out: the disk is not read
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    with pytest.raises(SessionBusy, match=r"elsewhere\.example.*has taken this session over"):
        held.ensure_held()
    held.release()


def test_holder_that_was_frozen_without_losing_the_lock_continues(tmp_path, way, monkeypatch):
    held = Lock.acquire(tmp_path / "s.lock")
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    held.ensure_held()
    assert held.lapses == 1, "its object claims have to be checked again"
    held.ensure_held()
    assert held.lapses == 1
    held.release()
    monkeypatch.undo()
    with pytest.raises(SessionError, match="closed"):
        held.renew()
    assert list(tmp_path.iterdir()) == []


def test_renew_fails_after_takeover(tmp_path, way):
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    write_lock(path)
    with pytest.raises(SessionBusy, match=r"elsewhere\.example"):
        held.renew()
    held.release()
    assert path.exists()  # it belongs to the other program


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("torn {")])
def test_renew_restores_a_deleted_or_damaged_lock_file(tmp_path, way, damage):
    path = tmp_path / "s.lock"
    held = Lock.acquire(path)
    damage(path)
    if way == "exclusive creation" and path.exists():
        os.utime(path, (1.0, 1.0))
    held.renew()
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.acquire(path)
    held.release()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\0" * 300, "{", "[]", '{"pid": -1}', "[" * 20_000])
def test_unreadable_lock_file_locks_nobody_out(tmp_path, way, text):
    path = tmp_path / "s.lock"
    path.write_text(text)
    if way == "exclusive creation":
        with pytest.raises(SessionBusy, match="just started"):
            Lock.acquire(path)  # it may be one that is just being written
        os.utime(path, (1.0, 1.0))
    Lock.acquire(path).release()


def test_deleted_folder_is_not_recreated(tmp_path, way):
    home = tmp_path / "home"
    home.mkdir()
    held = Lock.acquire(home / "s.lock")
    (home / "s.lock").unlink()
    home.rmdir()
    with pytest.raises(FolderUnusable):
        held.renew()
    held.release()
    assert not home.exists()
    with pytest.raises(FolderUnusable):
        Lock.acquire(home / "s.lock")


def test_lock_is_reacquired_when_its_folder_comes_back(tmp_path, way):
    """The lock was given up while its folder was away, so the file that came back must be locked again."""
    folder = tmp_path / "out"
    folder.mkdir()
    held = Lock.acquire(folder / "s.lock")
    folder.rename(tmp_path / "away")
    with pytest.raises(FolderUnusable):
        held.renew()
    (tmp_path / "away").rename(folder)
    held.renew()
    assert held_by_this_process(held.token)
    with pytest.raises(SessionBusy, match="this program itself"):
        Lock.acquire(folder / "s.lock")
    held.release()
    assert list(folder.iterdir()) == []
    Lock.acquire(folder / "s.lock").release()


def test_symlink_at_lock_path_is_not_followed(tmp_path, way):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "s.lock").symlink_to(victim)
    with pytest.raises((FolderUnusable, SessionBusy)):
        Lock.acquire(tmp_path / "s.lock")
    assert victim.read_text() == "precious"


def test_full_disk_is_reported_and_leaves_no_lock(tmp_path, way, monkeypatch):
    def full(fd: int, owner: Owner) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskFull):
        patch.setattr(acquire, "_write_owner", full)
        Lock.acquire(tmp_path / "s.lock")
    Lock.acquire(tmp_path / "s.lock").release()


def test_error_for_missing_folder_contains_no_random_file_name(tmp_path):
    messages = set()
    for _ in range(2):
        with pytest.raises(FolderUnusable) as gone:
            Lock.acquire(tmp_path / "gone" / "s.lock")
        messages.add(str(gone.value))
    assert messages == {f"{tmp_path / 'gone' / 's.lock'}: No such file or directory"}


TASK = Grant("slurm:cluster:77_3", 1)


@pytest.mark.parametrize(
    ("grant", "epoch", "free"),
    [
        ("slurm:cluster:77_3", 0, True),
        ("slurm:cluster:77_3", 2, False),
        ("", 0, False),
        ("slurm:cluster:77_4", 0, False),
    ],
)
def test_task_given_out_again_takes_over_at_once(tmp_path, way, grant, epoch, free):
    path = tmp_path / "s.lock"
    write_lock(path, age=1, kernel=way == "flock", grant=grant, epoch=epoch)
    if not free:
        with pytest.raises(SessionBusy):
            Lock.acquire(path, grant=TASK)
        return
    held = Lock.acquire(path, grant=TASK)
    assert (current_owner(path).grant, current_owner(path).epoch) == (TASK.name, TASK.epoch)
    with pytest.raises(SessionBusy):  # the earlier program wakes up
        Lock.acquire(path, grant=Grant(TASK.name, 0))
    with pytest.raises(SessionBusy, match="this program itself"):  # the same task twice in one process
        Lock.acquire(path, grant=TASK)
    path.unlink()  # a person deletes it
    held.renew()
    assert current_owner(path).grant == TASK.name
    held.release()


@pytest.mark.parametrize(("owner", "ours", "free"), [(True, True, True), (True, False, False), (False, True, False)])
def test_flock_of_all_computers_shows_that_a_holder_elsewhere_is_gone(tmp_path, monkeypatch, owner, ours, free):
    monkeypatch.setattr(acquire, "are_locks_shared", lambda _: ours)
    path = tmp_path / "s.lock"
    write_lock(path, age=1, kernel=True, shared=owner)
    if free:
        held = Lock.acquire(path)
        assert current_owner(path).shared
        held.release()
    else:
        with pytest.raises(SessionBusy):
            Lock.acquire(path)


@pytest.mark.parametrize(
    ("mount", "shared"),
    [
        ("nfs4 server:/e rw,vers=4.2,local_lock=none", True),
        ("nfs server:/e rw,vers=3,nolock,local_lock=all", False),
        ("lustre mds@tcp:/l rw,flock,lazystatfs", True),
        ("lustre mds@tcp:/l rw,localflock", False),
        ("lustre mds@tcp:/l rw,lazystatfs", False),
        ("ext4 /dev/sda1 rw", False),
        ("gpfs gpfs0 rw", False),
    ],
)
def test_whether_locks_are_shared_is_read_from_the_mount_options(tmp_path, mount, shared):
    folder = tmp_path / "with space"
    folder.mkdir()
    point = str(folder).replace(" ", "\\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 0:9 / {point} rw,relatime shared:1 - {mount}\nbroken\n")
    assert are_locks_shared(folder / "s.lock", str(mounts)) is shared
    assert not are_locks_shared(tmp_path / "s.lock", str(mounts)), "another mount"
    assert not are_locks_shared(folder / "s.lock", str(tmp_path / "absent"))
