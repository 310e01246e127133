"""Tests of a full, read-only or missing disk: the engine waits, reports it and resumes by itself."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from era5dl.engine import disk, maintenance, worker
from era5dl.engine.events import FileFailed, FileRestarted, FileRetrying, State, StateChanged
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import VerificationResult, verify_part_file
from era5dl.errors import UnsafeKey
from era5dl.folder import part_file
from era5dl.folder.disk_errors import to_disk_error
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import EngineRun, fetch_all, running, wrong_files

MB = 1_000_000


@pytest.fixture(autouse=True)
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "CHECK_EVERY", 0.2)


def test_a_full_disk_suspends_the_run_until_there_is_space(fault_server: FaultServer, small_disk: Path) -> None:
    data = pseudo_random(1, 6 * MB)
    fault_server.put("a.bin", data)
    fault_server.link = Link(speed=4 * MB)
    with running(fault_server, small_disk) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:  # another program fills the disk
                file.write(bytes(65536))
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_ROOM)
        assert "no space left" in ran.engine.snapshot().reason
        assert "DiskFull" in [event.kind for event in ran.events_of(StateChanged)]
        ballast.unlink()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (1, 0)
    assert wrong_files(small_disk, {"a.bin": data}) == []


def test_a_run_that_cannot_fit_fails_before_the_first_byte(fault_server: FaultServer, small_disk: Path) -> None:
    fault_server.put("big.bin", pseudo_random(1, 12 * MB))
    ended = fetch_all(fault_server, small_disk).engine.result
    assert "too little" in ended.error
    assert ended.kind == "WillNotFit"
    assert ended.unfinished == 1
    assert not list(small_disk.rglob("*.part"))


def test_existing_files_need_no_space(fault_server: FaultServer, small_disk: Path) -> None:
    data = pseudo_random(1, 6 * MB)
    fault_server.put("a.bin", data)
    (small_disk / "a.bin").write_bytes(data)
    assert fetch_all(fault_server, small_disk).engine.result.verified == 1


def test_the_disk_reserve_stays_free(fault_server: FaultServer, small_disk: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, 4 * MB))
    assert fetch_all(fault_server, small_disk, disk_reserve=6 * MB).engine.result.error
    assert fetch_all(fault_server, small_disk, disk_reserve=MB).engine.result.verified == 1


def test_a_disk_that_is_unplugged(fault_server: FaultServer, small_disk: Path) -> None:
    for i in range(60):
        fault_server.put(f"{i}.bin", pseudo_random(i, 50_000))
    fault_server.link = Link(speed=MB)
    with running(fault_server, small_disk, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().verified_files >= 1)
        subprocess.run(["umount", "-l", str(small_disk)], check=True)  # the disk is unplugged: an empty folder remains
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
        assert list(small_disk.iterdir()) == [], "nothing is written into the empty mount point"
        ran.engine.stop()
        ran.wait_for_end()


@pytest.mark.slow
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
            ran.wait_until(lambda: ran.engine.snapshot().verified_files >= 1)
            subprocess.run(["umount", "-l", str(folder)], check=True)
            ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
            next(disk.glob("*.bin")).unlink()  # finished files are audited again, too
            assert "FolderVanished" in [event.kind for event in ran.events_of(StateChanged)]
            mount("--bind", disk, folder)
            ended = ran.wait_for_end()
        assert (ended.verified, ended.failed) == (4, 0)
        assert wrong_files(folder, data) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_disk_that_becomes_read_only(fault_server: FaultServer, tmp_path: Path) -> None:
    """File systems do that when they detect an internal error."""
    data = {f"{i}.bin": pseudo_random(i, MB) for i in range(6)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=2 * MB)
    try:
        with running(fault_server, tmp_path, workers=2) as ran:
            ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 0)
            mount("--bind", tmp_path, tmp_path)
            mount("-o", "remount,bind,ro", tmp_path)
            ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
            assert "Read-only" in ran.engine.snapshot().reason
            assert "FolderUnusable" in [event.kind for event in ran.events_of(StateChanged)]
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)
            ended = ran.wait_for_end()
        assert (ended.verified, ended.failed) == (6, 0)
        assert wrong_files(tmp_path, data) == []
    finally:
        while os.path.ismount(tmp_path):
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_an_exceeded_quota(fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has space, but not for this user: free space says nothing, and only writing shows the quota."""
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
    for module in (maintenance, disk):
        monkeypatch.setattr(module, "is_writable", lambda _folder, amount=0: left[0] > MB)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_ROOM)
        assert "quota" in ran.engine.snapshot().reason
        reported = len(ran.events)
        ran.engine.wait(1.0)  # the disk monitor checks five times
        assert len(ran.events) == reported, "free space beyond the quota does not count"
        left[0] = 100 * MB
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (1, 0)
    assert {event.kind for event in ran.events_of(StateChanged)} == {"", "DiskFull"}
    assert wrong_files(tmp_path, {"a.bin": data}) == []


# --- the folder and the part files during a run -----------------------------------------------------------------------


@pytest.fixture
def four(fault_server: FaultServer) -> dict[str, bytes]:
    """Four objects that take some seconds to download."""
    data = {f"{i}.bin": pseudo_random(i, 2 * MB) for i in range(4)}
    for key, body in data.items():
        fault_server.put(key, body, part_size=MB // 2 if key == "3.bin" else None)
    fault_server.link = Link(speed=MB)
    return data


def waited(ran: EngineRun) -> list[StateChanged]:
    return [event for event in ran.events_of(StateChanged) if event.state is State.WAITING_FOR_DISK]


@pytest.mark.slow
def test_part_files_that_are_truncated_repeatedly(
    fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]
) -> None:
    with running(fault_server, tmp_path, workers=2) as ran:
        for share in (0.2, 0.3):
            ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 4 * share * MB)  # noqa: B023
            for path in tmp_path.glob("*.part"):
                os.truncate(path, 300_000)
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(tmp_path, four) == []
    assert any("truncated" in event.reason for event in ran.events_of(FileRestarted))


@pytest.mark.slow
def test_a_disk_that_returns_without_its_unsynced_bytes(
    fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]
) -> None:
    """Bytes hashed on arrival do not count then, also those of objects without a worker at that moment."""
    disk, folder = tmp_path / "disk", tmp_path / "mounted"
    for made in (disk, folder):
        made.mkdir()
    mount("--bind", disk, folder)
    try:
        with running(fault_server, folder, workers=2) as ran:
            ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 2 * MB)
            ran.engine.pause()
            ran.wait_until(lambda: ran.engine._run.aborts == {})
            subprocess.run(["umount", "-l", str(folder)], check=True)
            ran.wait_until(lambda: ran.engine._run.outage.is_disk)
            lost = [lose(path) for path in disk.glob("*.part")]
            assert lost
            mount("--bind", disk, folder)
            ran.engine.resume()
            ended = ran.wait_for_end()
        assert (ended.verified, ended.failed) == (4, 0)
        assert wrong_files(folder, four) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_disk_that_vanishes_just_before_the_final_name_is_given(
    fault_server: FaultServer, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder, verify_part_file = pseudo_random(1, MB), tmp_path / "mounted", worker.verify_part_file
    fault_server.put("a.bin", data)

    def then_replace(transfer: Transfer, *rest: Any) -> Any:
        found = verify_part_file(transfer, *rest)
        monkeypatch.setattr(worker, "verify_part_file", verify_part_file)
        shutil.copytree(folder, small_disk, dirs_exist_ok=True)
        for path in small_disk.glob("*.part"):
            lose(path)
        mount("--bind", small_disk, folder)
        return found

    monkeypatch.setattr(disk, "CHECK_EVERY", 60.0)  # otherwise the disk monitor may notice first
    monkeypatch.setattr(worker, "verify_part_file", then_replace)
    try:
        with running(fault_server, folder, workers=1) as ran:
            ran.wait_until(lambda: waited(ran) != [] or ran.engine.result is not None)
            monkeypatch.setattr(disk, "CHECK_EVERY", 0.2)
            ended = ran.wait_for_end()
        assert [event.kind for event in waited(ran)] == ["DiskAway"]
        assert (ended.verified, ended.failed) == (1, 0)
        assert wrong_files(folder, {"a.bin": data}) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def lose(path: Path) -> None:
    """Overwrite the bytes with zeros without changing inode number and times."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(10_000))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
def test_a_folder_that_is_moved_away_and_put_back(
    fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]
) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    with running(fault_server, folder, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        folder.rename(elsewhere)
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
        ran.engine.wait(1.5)  # checkpoints become due meanwhile
        elsewhere.rename(folder)
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(folder, four) == []
    (reported,) = waited(ran)
    assert reported.kind == "FolderVanished"
    assert reported.reason.startswith(f"the folder {folder} has been deleted or moved. Put the folder back")


@pytest.mark.slow
@pytest.mark.parametrize("instead", [False, True])
def test_a_folder_that_does_not_come_back_ends_the_run(
    fault_server: FaultServer,
    tmp_path: Path,
    four: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    instead: bool,
) -> None:
    monkeypatch.setattr(disk, "VANISHED_LIMIT", 1.0)
    folder = tmp_path / "out"
    with running(fault_server, folder, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        folder.rename(tmp_path / "elsewhere")
        if instead:
            folder.mkdir()
        ended = ran.wait_for_end()
    assert ended.kind == "FolderVanished"
    assert ("replaced by another folder" if instead else "deleted or moved") in ended.error
    assert ended.remedy == disk.REMEDY_VANISHED
    assert len(waited(ran)) == 1
    assert not instead or list(folder.iterdir()) == []


def delete_at_once(folder: Path) -> None:
    """Delete a folder in which a run creates files meanwhile, which `rmtree` alone cannot."""
    shutil.rmtree(folder.rename(folder.with_name("deleted")))


@pytest.mark.slow
def test_the_session_folder_is_recreated(fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]) -> None:
    home = tmp_path / ".era5dl"
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > MB)
        delete_at_once(home)
        ran.wait_until(
            lambda: ran.session.exists_on_disk and any(home.glob("*.plan.jsonl")) and any(home.glob("*.lock"))
        )
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(tmp_path, four) == []
    assert waited(ran) == []
    with Session.open(tmp_path) as session:
        assert session.checkpoint.verified.total() == 4


@pytest.mark.slow
def test_read_back_finds_foreign_writes(fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]) -> None:
    """While the engine has the file open, its modification time says nothing."""
    with running(fault_server, tmp_path, workers=2, read_back=True) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 2 * MB)
        spoilt = 0
        for path in tmp_path.glob("*.part"):
            with path.open("r+b") as file:
                spoilt += file.write(b"a foreign hand")
        assert spoilt
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(tmp_path, four) == []
    assert any(event.kind == "ProofError" for event in ran.events_of(FileRetrying))


@pytest.mark.slow
def test_foreign_writes_during_a_pause_are_found_without_read_back(
    fault_server: FaultServer, tmp_path: Path, four: dict[str, bytes]
) -> None:
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 2 * MB)
        ran.engine.pause()
        ran.wait_until(lambda: ran.engine._run.aborts == {})
        for path in tmp_path.glob("*.part"):
            with path.open("r+b") as file:
                file.write(b"a foreign hand")
        ran.engine.resume()
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(tmp_path, four) == []


def test_only_the_object_that_has_outgrown_the_disk_fails(fault_server: FaultServer, small_disk: Path) -> None:
    data = {f"{i}.bin": pseudo_random(i, MB) for i in range(4)}
    for key, body in data.items():
        fault_server.put(key, body)
    fault_server.link = Link(speed=MB)
    with running(fault_server, small_disk, workers=2) as ran:
        fault_server.put("3.bin", pseudo_random("grown", 20 * MB))  # the plan is made, and this object comes last
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (3, 1)
    assert wrong_files(small_disk, data) == ["3.bin"]
    (failed,) = ran.events_of(FileFailed)
    assert failed.kind == "WillNotFit"
    assert "has grown from 1.00 MB to 20.0 MB" in failed.reason
    assert [event for event in ran.events_of(StateChanged) if event.kind] == []


def mount(*words: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a disk: {done.stderr.strip()}")


def test_no_final_name_in_a_folder_replaced_after_verification(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in another folder may have the name, size and time of the part file, but other bytes."""
    data = pseudo_random(1, MB)
    fault_server.put("a.bin", data)
    out, moved = tmp_path / "out", tmp_path / "moved"
    exchanges: list[int] = []

    def replacing(transfer: Transfer, *rest: Any) -> VerificationResult | None:
        proof = verify_part_file(transfer, *rest)
        if not exchanges:
            exchanges.append(1)
            out.rename(moved)
            out.mkdir()
            (part,) = moved.glob("*.part")
            impostor = out / part.name
            impostor.write_bytes(pseudo_random(2, MB))
            os.utime(impostor, ns=(part.stat().st_atime_ns, part.stat().st_mtime_ns))
        return proof

    monkeypatch.setattr(worker, "verify_part_file", replacing)
    with running(fault_server, out) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK or (out / "a.bin").exists())
        assert not (out / "a.bin").exists()
        delete_at_once(out)
        moved.rename(out)
        assert ran.wait_for_end().verified == 1
    assert wrong_files(out, {"a.bin": data}) == []


def test_an_internal_error_in_the_audit_ends_the_run(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_server.put("a.bin", pseudo_random(1, 1000))
    fetch_all(fault_server, tmp_path)

    def broken(_run: object, index: int) -> bool:
        raise LookupError(index)

    monkeypatch.setattr(maintenance, "status_on_disk", broken)
    ran = fetch_all(fault_server, tmp_path)
    assert "internal error: LookupError" in ran.wait_for_end().error


def test_only_the_file_that_another_program_has_open_waits(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where an open file cannot be replaced, and which reports that by `winerror`."""
    objects = {f"{i}.bin": pseudo_random(i, 50_000) for i in range(4)}
    for key, data in objects.items():
        fault_server.put(key, data)
    (tmp_path / "0.bin").write_bytes(b"an old version")
    is_open, real = True, part_file.rename

    def rename(source: Any, target: Any) -> None:
        if is_open and Path(target).name == "0.bin":
            error = PermissionError(errno.EACCES, "Access is denied", str(Path(source)), None, str(Path(target)))
            error.winerror = 5  # type: ignore[attr-defined,unused-ignore] - ERROR_ACCESS_DENIED
            raise error
        real(source, target)

    monkeypatch.setattr(part_file, "rename", rename)
    monkeypatch.setattr(disk, "IN_USE_DELAYS", (0.1,) * 100)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: len(ran.events_of(FileRetrying)) > len(disk.DELAYS))
        ran.wait_until(lambda: ran.engine.snapshot().verified_files == 3)
        assert {event.kind for event in ran.events_of(FileRetrying)} == {"FileInUse"}
        assert (tmp_path / "0.bin").read_bytes() == b"an old version"
        is_open = False
        ended = ran.wait_for_end()
    assert (ended.verified, ended.failed) == (4, 0)
    assert wrong_files(tmp_path, objects) == []
    assert State.WAITING_FOR_DISK not in [event.state for event in ran.events_of(StateChanged)]
    assert fault_server.stats().payload == 200_000, "the complete bytes are kept"


def test_a_folder_in_the_place_of_a_file_fails_this_file_only_on_windows(tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    error = PermissionError(errno.EACCES, "Access is denied", str(tmp_path / "a.part"), None, str(tmp_path / "a.bin"))
    error.winerror = 5  # type: ignore[attr-defined,unused-ignore]
    assert isinstance(to_disk_error(error, tmp_path), UnsafeKey)
