"""Tests of part files: every byte at its offset, from many threads, and a final name only at the end."""

from __future__ import annotations

import errno
import os
import random
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from era5dl.errors import DiskFull, FileTooLarge, FolderUnusable, PartLost, UnsafeKey
from era5dl.folder import part_file
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.part_file import PartFile
from era5dl.ranges import RangeSet
from tests.faultlab import pseudo_random

SIZE = 300_000
DATA = pseudo_random("part", SIZE)


@pytest.fixture(params=["positioned", "with a lock"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With pwrite and pread, and without them, as on Windows."""
    positioned = request.param == "positioned"
    monkeypatch.setattr(part_file, "_HAS_PWRITE", positioned and hasattr(os, "pwrite"))
    if not positioned:
        for name in ("pwrite", "pread"):
            monkeypatch.delattr(os, name, raising=False)
    return str(request.param)


@pytest.fixture
def part(tmp_path: Path) -> PartFile:
    return PartFile(tmp_path / "deep" / "er" / "a.nc.part", SIZE)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors of synced files, in order, without folders."""
    seen: list[int] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            seen.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def open_files() -> int:
    process = psutil.Process()
    return process.num_fds() if hasattr(process, "num_fds") else process.num_handles()


def test_many_threads_write_pieces_in_any_order(part: PartFile) -> None:
    pieces = [(at, min(at + 7_001, SIZE)) for at in range(0, SIZE, 7_001)]
    random.Random(1).shuffle(pieces)

    def write(span: tuple[int, int]) -> bool:
        start, stop = span
        part.acquire()
        try:
            part.write(start, memoryview(DATA)[start:stop])
            return part.read(start, stop - start) == DATA[start:stop]
        finally:
            part.release()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, pieces))
    assert part.path.read_bytes() == DATA


def test_it_has_its_full_size_at_once_and_keeps_existing_bytes(part: PartFile) -> None:
    part.acquire()
    part.write(10, memoryview(b"kept"))
    part.release()
    again = PartFile(part.path, SIZE)
    again.acquire()
    assert again.read(8, 8) == b"\0\0kept\0\0"
    again.release()
    assert part.path.stat().st_size == SIZE


@pytest.mark.parametrize("there", [b"", b"short", bytes(SIZE + 9)])
def test_a_file_of_another_size_is_resized(part: PartFile, there: bytes) -> None:
    part.path.parent.mkdir(parents=True)
    part.path.write_bytes(there)
    part.acquire()
    part.release()
    assert part.path.stat().st_size == SIZE


def test_partial_writes_are_continued(part: PartFile, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    name = "pwrite" if way == "positioned" else "write"
    real = getattr(os, name)
    monkeypatch.setattr(os, name, lambda fd, data, *offset: real(fd, data[:1000], *offset))
    part.acquire()
    part.write(5, memoryview(DATA)[:10_500])
    assert part.read(5, 10_500) == DATA[:10_500]
    part.release()


def test_a_full_disk_raises_disk_full(part: PartFile, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    part.acquire()
    monkeypatch.setattr(os, "pwrite" if way == "positioned" else "write", full)
    with pytest.raises(DiskFull):
        part.write(0, memoryview(b"x"))
    part.release()


def test_the_last_user_syncs_and_closes(part: PartFile, syncs: list[int]) -> None:
    before = open_files()
    part.acquire()
    part.acquire()
    assert open_files() == before + 1
    part.write(0, memoryview(b"x"))
    part.release()
    assert (len(syncs), open_files()) == (0, before + 1)
    part.release()
    assert (len(syncs), open_files()) == (1, before)


def test_a_file_without_new_bytes_is_not_synced(part: PartFile, syncs: list[int]) -> None:
    part.acquire()
    part.sync()
    assert syncs == []
    part.write(0, memoryview(b"x"))
    part.sync()
    part.sync()
    assert len(syncs) == 1
    part.release()
    assert len(syncs) == 1


def broken(fd: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def in_order(part: PartFile) -> list[tuple[int, int]]:
    return list(part.synced(RangeSet([(0, SIZE)])))


def test_bytes_of_a_failed_sync_do_not_count(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sync would succeed although the bytes are not on the disk, because Linux has marked the pages clean."""
    part.acquire()
    part.write(0, memoryview(b"xx"))
    part.sync()
    part.write(2, memoryview(b"yy"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(FolderUnusable, match="while syncing"):
            part.sync()
    for refused in (part.sync, part.acquire, part.release):
        with pytest.raises(FolderUnusable, match="while syncing"):
            refused()
    with pytest.raises(FolderUnusable, match="while syncing"):
        part.commit(part.path.with_name("final"))
    assert in_order(part) == [(0, 2)]


def test_bytes_written_before_a_failed_close_do_not_count(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    part.acquire()
    part.write(0, memoryview(b"xxxx"))
    part.release()
    part.acquire()
    part.write(4, memoryview(b"yy"))
    part.write(1, memoryview(b"zz"))  # over synced bytes
    real, ours = os.close, part._fd

    def refusing(fd: int) -> None:
        real(fd)
        if fd == ours:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refusing)
        with pytest.raises(DiskFull, match="while closing"):
            part.release()
    assert in_order(part) == [(0, 1), (3, 4)]
    with pytest.raises(FolderUnusable, match="while closing"):
        part.acquire()


def test_rewritten_bytes_count_only_after_another_sync(part: PartFile) -> None:
    part.acquire()
    part.write(0, memoryview(b"xxxx"))
    part.sync()
    part.write(1, memoryview(b"yy"))
    assert in_order(part) == [(0, 1), (3, 4)]
    part.sync()
    assert in_order(part) == [(0, 4)]
    part.release()


def test_a_write_of_zero_bytes_is_an_error(part: PartFile, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    part.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite" if way == "positioned" else "write", lambda *_: 0)
        with pytest.raises(FolderUnusable, match="nothing"):
            part.write(0, memoryview(b"x"))
    assert in_order(part) == []
    part.release()


@pytest.mark.parametrize("look", ["write", "read", "release", "acquire", "commit"])
def test_truncated_bytes_do_not_count(part: PartFile, look: str) -> None:
    """Writing at the end would restore the size, with a hole instead of the bytes."""
    left(part)
    if look not in ("acquire", "commit"):
        part.acquire()
    os.truncate(part.path, 1000)
    with pytest.raises(PartLost, match="truncated to 1000 bytes"):
        {
            "write": lambda: part.write(SIZE - 1, memoryview(b"x")),
            "read": lambda: part.read(500, 1000),
            "release": part.release,
            "acquire": part.acquire,
            "commit": lambda: part.commit(part.path.with_name("final")),
        }[look]()
    assert in_order(part) == [(0, 1000)]


def test_a_file_that_has_grown_is_refused(part: PartFile) -> None:
    left(part)
    os.truncate(part.path, SIZE + 1)
    with pytest.raises(PartLost, match="grown"):
        part.commit(part.path.with_name("final"))


def test_only_a_synced_file_gets_its_final_name(part: PartFile) -> None:
    part.acquire()
    part.write(0, memoryview(DATA)[:-1])
    part.release()
    with pytest.raises(PartLost, match="synced"):
        part.commit(part.path.with_name("final"))


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be synced there")
def test_a_rename_that_cannot_be_synced_is_undone(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sync of the folder would succeed without effect, so the folder has to be changed again."""
    left(part)
    final = part.path.with_name("final")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(FolderUnusable):
            part.commit(final)
    assert not final.exists()
    part.commit(final)
    assert final.read_bytes() == DATA


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved there")
def test_a_file_replaced_during_the_rename_gets_no_final_name(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    left(part)
    final, real = part.path.with_name("final"), os.replace

    def exchanged(source: Path, target: Path) -> None:
        if source == part.path and target == final:
            exchange(part.path, bytes(SIZE))
        real(source, target)

    monkeypatch.setattr(os, "replace", exchanged)
    with pytest.raises(PartLost, match="another file"):
        part.commit(final)
    assert not final.exists()
    assert in_order(part) == []


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved there")
def test_a_renamed_open_file_is_detected(part: PartFile) -> None:
    part.acquire()
    part.write(0, memoryview(DATA))
    part.path.rename(part.path.with_name("elsewhere"))
    with pytest.raises(PartLost, match="missing"):
        part.release()


def test_a_change_by_another_program_is_detected(part: PartFile) -> None:
    assert not part.changed_by_others
    left(part)
    assert not part.changed_by_others
    with part.path.open("r+b") as file:
        file.write(b"scribble")
    os.utime(part.path, ns=(1, 1))
    assert part.changed_by_others == (os.name != "nt")
    left(part)
    assert part.changed_by_others == (os.name != "nt"), "what was hashed before is not what is there"


def test_a_successor_detects_that_the_file_was_replaced(part: PartFile) -> None:
    left(part)
    exchange(part.path, bytes(SIZE))
    again = PartFile(part.path, SIZE, predecessor=part)
    again.acquire()  # no recorded bytes are used
    again.release()
    again = PartFile(part.path, SIZE, predecessor=part)
    again.restore(part.synced(RangeSet([(0, SIZE)])))
    with pytest.raises(PartLost, match="another file"):
        again.acquire()
    assert in_order(again) == []


def test_unreadable_bytes_do_not_count(part: PartFile, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    left(part)
    part.acquire()

    def bad_sector(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread" if way == "positioned" else "read", bad_sector)
        with pytest.raises(FolderUnusable):
            part.read(1000, 500)
    part.release()
    assert in_order(part) == [(0, 1000), (1500, SIZE)]


def test_bytes_written_during_a_sync_are_synced_next_time(
    part: PartFile, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    synced = []
    writer = threading.Thread(target=part.write, args=(1, memoryview(b"y")))

    def slow(fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return
        synced.append(fd)
        if len(synced) == 1:
            writer.start()
            if way == "positioned":  # otherwise the write waits for the sync
                writer.join(10)

    part.acquire()
    part.write(0, memoryview(b"x"))
    monkeypatch.setattr(os, "fsync", slow)
    part.sync()
    writer.join(10)
    part.sync()
    assert len(synced) == 2
    part.release()


def test_a_failing_sync_at_the_end_still_closes_the_file(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    part.acquire()
    part.write(0, memoryview(b"x"))
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(FolderUnusable):
        part.release()
    assert open_files() == before


def test_commit_replaces_the_old_file(part: PartFile, tmp_path: Path, syncs: list[int]) -> None:
    final = tmp_path / "deep" / "er" / "a.nc"
    part.acquire()
    final.write_bytes(b"an older version")
    part.write(0, memoryview(DATA))
    part.release()
    synced = len(syncs)
    part.commit(final)
    assert synced == 1  # before the rename
    assert final.read_bytes() == DATA
    assert not part.path.exists()


def test_a_failed_commit_keeps_both_files(part: PartFile, tmp_path: Path) -> None:
    final = tmp_path / "taken"
    (final / "inside").mkdir(parents=True)
    left(part)
    with pytest.raises((UnsafeKey, FolderUnusable)):
        part.commit(final)
    assert part.path.exists()
    assert (final / "inside").is_dir()


def test_a_file_truncated_during_the_rename_loses_its_final_name(
    part: PartFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, rename = tmp_path / "deep" / "er" / "a.nc", part_file.rename
    part.acquire()
    part.write(0, memoryview(DATA))
    part.release()

    def and_cut(source: ConfinedPath, target: ConfinedPath) -> None:
        os.truncate(source, SIZE - 1)
        rename(source, target)
        monkeypatch.setattr(part_file, "rename", rename)

    monkeypatch.setattr(part_file, "rename", and_cut)
    with pytest.raises(PartLost):
        part.commit(final)
    assert not final.exists()
    assert in_order(part) == []


def test_discard_needs_no_file(part: PartFile) -> None:
    part.discard()
    part.acquire()
    part.release()
    part.discard()
    assert not part.path.exists()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system cannot refuse links")
@pytest.mark.parametrize("there", [True, False])
def test_a_planted_link_is_not_followed(part: PartFile, tmp_path: Path, there: bool) -> None:
    victim = tmp_path / "victim"
    if there:
        victim.write_bytes(b"precious")
    part.path.parent.mkdir(parents=True)
    part.path.symlink_to(victim)
    before = open_files()
    with pytest.raises(UnsafeKey):
        part.acquire()
    assert victim.read_bytes() == b"precious" if there else not victim.exists()
    assert open_files() == before


def test_a_folder_of_the_same_name_is_an_error(part: PartFile) -> None:
    part.path.mkdir(parents=True)
    with pytest.raises(UnsafeKey):
        part.acquire()


def test_a_file_that_cannot_be_resized_is_closed(part: PartFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that limits file sizes (FAT32) refuses it each time, and no file stays open."""

    def too_large(fd: int, size: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", too_large)
        for _ in range(3):
            with pytest.raises(FileTooLarge):
                part.acquire()
    assert open_files() == before
    part.acquire()
    part.release()
    assert part.path.stat().st_size == SIZE


def test_only_files_in_use_are_open(tmp_path: Path) -> None:
    before = open_files()
    parts = [PartFile(tmp_path / f"{n}.part", 10) for n in range(100)]
    for part in parts:
        part.acquire()
        part.write(0, memoryview(b"0123456789"))
        part.release()
        part.commit(part.path.with_suffix(""))
    assert open_files() == before


# --- replaced files --------------------------------------------------------------------------------------------------


def left(part: PartFile) -> None:
    part.acquire()
    part.write(0, memoryview(DATA))
    part.release()


def exchange(path: Path, data: bytes) -> None:
    """Replace a file as synchronization programs do: write another file, and rename it."""
    other = path.with_name("synchronised")
    other.write_bytes(data)
    os.utime(other, ns=(1, 1))
    other.replace(path)


def test_a_replaced_file_is_detected(part: PartFile, tmp_path: Path) -> None:
    """Bytes hashed on arrival are not read again, so another file would get the final name unverified."""
    left(part)
    exchange(part.path, bytes(SIZE))
    with pytest.raises(PartLost, match="another file"):
        part.commit(tmp_path / "final")
    assert not (tmp_path / "final").exists()
    assert in_order(part) == []
    with pytest.raises(PartLost, match="another file"):
        part.acquire()


def test_unstable_inode_numbers_are_not_a_replacement(part: PartFile, tmp_path: Path) -> None:
    left(part)
    seen = part.path.stat()
    other = part.path.with_name("same time, other number")
    other.write_bytes(DATA)
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.replace(part.path)
    part.acquire()
    part.release()
    os.utime(part.path, ns=(1, 1))  # the same inode number, another time
    part.commit(tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == DATA


def test_a_missing_part_file_is_lost_and_not_a_folder_error(part: PartFile, tmp_path: Path) -> None:
    left(part)
    part.path.unlink()
    with pytest.raises(PartLost, match="missing"):
        part.commit(tmp_path / "final")


def test_a_part_file_with_recorded_bytes_is_not_recreated(tmp_path: Path) -> None:
    """A new file would have holes instead of the recorded bytes."""
    path = tmp_path / "a.part"
    part = PartFile(path, 1000)
    part.restore(RangeSet([(0, 500)]))
    with pytest.raises(PartLost, match="missing"):
        part.acquire()
    assert not path.exists()
    assert not part.synced(RangeSet([(0, 500)]))
