"""Tests of atomic writes, free space, and errors of the operating system."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from era5dl.errors import DiskError, DiskFull, FileTooLarge, FolderUnusable, UnsafeKey, UsageError, WillNotFit
from era5dl.folder import atomic_write as replace_module
from era5dl.folder import free_space
from era5dl.folder.atomic_write import replace, write_atomically, write_temp
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors, translate_folder_errors
from era5dl.folder.free_space import check_creatable, check_free, free_bytes


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, FolderUnusable),
        (errno.EACCES, FolderUnusable),
        (errno.ENOENT, FolderUnusable),
        (errno.EIO, FolderUnusable),
        (errno.ESTALE, FolderUnusable),
        (errno.EFBIG, FileTooLarge),
        (errno.EMFILE, DiskError),
        (errno.ENAMETOOLONG, UnsafeKey),
        (errno.ENOTDIR, UnsafeKey),
        (errno.EISDIR, UnsafeKey),
        (errno.EEXIST, UnsafeKey),
        (errno.ELOOP, UnsafeKey),
        (errno.EILSEQ, UnsafeKey),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else value.__name__,
)
def test_each_os_error_is_mapped_to_its_error_class(number, kind):
    with pytest.raises(kind, match="/out/x") as caught, translate_disk_errors("/out/x"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert caught.value.remedy or kind is UnsafeKey
    with pytest.raises(FolderUnusable if kind is UnsafeKey else kind), translate_folder_errors("/out"):
        raise OSError(number, os.strerror(number))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_device_is_a_full_disk():
    with pytest.raises(DiskFull), translate_disk_errors("/dev/full"), Path("/dev/full").open("wb") as file:
        file.write(b"x" * 100_000)


def test_other_errors_are_unchanged():
    with pytest.raises(UsageError), translate_disk_errors("/out"):
        raise UsageError("something else")


def test_a_file_is_replaced_atomically_without_leftovers(tmp_path):
    target = tmp_path / "f"
    write_atomically(target, [b"one"])
    with pytest.raises(RuntimeError):
        write_atomically(target, broken())
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("f", b"one")]
    (tmp_path / "f.tmp").write_bytes(b"left by a kill")
    write_atomically(target, [b"t", b"wo"])
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("f", b"two")]


def broken():
    yield b"half"
    raise RuntimeError("no more")


def test_a_rename_blocked_by_a_virus_scanner_is_retried_on_windows(tmp_path, monkeypatch):
    source, target = tmp_path / "a", tmp_path / "b"
    real, refusals, waits = os.replace, [PermissionError(13, "in use")] * 3, []

    def hindered(a: Path, b: Path) -> None:
        if refusals:
            raise refusals.pop()
        real(a, b)

    monkeypatch.setattr(replace_module.os, "replace", hindered)
    monkeypatch.setattr(replace_module.time, "sleep", waits.append)
    source.write_text("x")
    with pytest.raises(PermissionError):
        replace(source, target)
    assert waits == [] or os.name == "nt"
    monkeypatch.setattr(replace_module, "_RETRY_SECONDS", 10.0)
    replace(source, target)
    assert target.read_text() == "x"
    assert waits == [0.1, 0.2]


def test_a_rename_refused_permanently_is_an_error(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(replace_module, "_RETRY_SECONDS", 10.0)
    monkeypatch.setattr(replace_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(replace_module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(replace_module.os, "replace", lambda a, b: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(PermissionError):
        replace(tmp_path / "a", tmp_path / "b")
    assert 5 < now[0] <= 10


def test_a_folder_that_can_be_created_or_used_is_accepted_and_nothing_is_written(tmp_path):
    (tmp_path / "used" / ".era5dl").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "used")
    before = sorted(tmp_path.rglob("*"))
    for name in (".", "used", "new", "new/deeper", "link", "link/new", "x" * 300):
        check_creatable(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_created_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name, reason in (
        ("file", "file is unusable"),
        ("file/sub", "sub cannot be created"),
        ("file/sub/a", "a cannot be created"),
        ("dangling", "dangling is unusable"),
        ("dangling/sub", "sub cannot be created"),
    ):
        with pytest.raises(FolderUnusable, match=rf"{reason}: .* is not a folder"):
            check_creatable(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode, **_: Path(path) != tmp_path)
    monkeypatch.setattr(os, "supports_effective_ids", set())
    with pytest.raises(FolderUnusable, match="new cannot be created: you may not write in"):
        check_creatable(tmp_path / "new")
    with pytest.raises(FolderUnusable, match="is unusable: you may not write in"):
        check_creatable(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a file system for sure")
def test_a_folder_in_proc_is_refused_also_for_root():
    with pytest.raises(FolderUnusable, match="/proc/x cannot be created"):
        check_creatable(Path("/proc/x"))


def test_free_space_is_that_of_the_nearest_existing_folder(tmp_path):
    assert free_bytes(tmp_path / "not" / "yet") > 0


def test_the_error_states_how_much_space_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(free_space, "free_bytes", lambda folder: 3_000_000_000)
    check_free(tmp_path, 2_500_000_000, 500_000_000)
    with pytest.raises(
        WillNotFit, match=r"3\.00 GB .* 500 MB to keep free, but only 3\.00 GB are free .500 MB too little"
    ):
        check_free(tmp_path, 3_000_000_000, 500_000_000)


def test_a_planted_temp_file_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard link to a file elsewhere, planted at the last moment: writing to it would change that file."""
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.write_bytes(b"precious")
    unlink = ConfinedPath.unlink

    def planting(place: ConfinedPath, *, missing_ok: bool = False) -> None:
        unlink(place, missing_ok=missing_ok)
        if not planted:
            planted.append(place)
            os.link(victim, place)

    planted: list[ConfinedPath] = []
    monkeypatch.setattr(ConfinedPath, "unlink", planting)
    with pytest.raises(FileExistsError):
        write_temp(target, [b"ours"])
    assert victim.read_bytes() == b"precious"
