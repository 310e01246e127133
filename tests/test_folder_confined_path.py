"""Tests of directory handles: only files below the chosen folder are reached, whatever is exchanged meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from era5dl.errors import UnsafeKey
from era5dl.folder import directory_handle
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.folder.paths import LinkLeadsOut

unix = pytest.mark.skipif(not directory_handle.SUPPORTS_DIR_FD, reason="links and handles of Unix")


@pytest.fixture(params=["handles", "looks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With directory handles and without them, as on Windows."""
    if request.param == "looks":
        monkeypatch.setattr(directory_handle, "SUPPORTS_DIR_FD", False)
    elif not directory_handle.SUPPORTS_DIR_FD:
        pytest.skip("handles of Unix")
    return str(request.param)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def written(place: ConfinedPath, data: bytes = b"x") -> None:
    with os.fdopen(place.create(os.O_WRONLY), "wb") as file:
        file.write(data)


@pytest.mark.usefixtures("way")
def test_file_operations_below_the_folder(out: Path) -> None:
    place = ConfinedPath.below(out, out / "a" / "b" / "c.nc")
    assert (place.name, place.path, str(place)) == ("c.nc", str(out / "a/b/c.nc"), str(out / "a/b/c.nc"))
    assert not place.exists
    with pytest.raises(FileNotFoundError):
        place.lstat()
    written(place)
    assert place.exists
    with os.fdopen(place.open(os.O_RDWR), "r+b") as file:
        file.write(b"yy")
    assert place.lstat().st_size == place.stat().st_size == 2
    with place.open_folder() as folder:
        folder.rename("c.nc", "d.nc")
        folder.link("d.nc", "e.nc")
        if os.name != "nt":
            folder.sync()
        folder.unlink("d.nc")
    assert place.sibling("e.nc").list_folder() == ["e.nc"]
    os.utime(out / "a/b/e.nc", (1, 1))
    place.sibling("e.nc").utime()
    assert place.sibling("e.nc").lstat().st_mtime > 1
    place.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        place.unlink()


@pytest.mark.usefixtures("way")
def test_errors_contain_the_full_path(out: Path) -> None:
    place = ConfinedPath.below(out, out / "a" / "c.nc")
    for act in (place.lstat, place.unlink, lambda: place.open(os.O_RDONLY)):
        with pytest.raises(FileNotFoundError) as missing:
            act()
        assert str(out / "a") in str(missing.value)
    (out / "a").mkdir()
    with pytest.raises(FileNotFoundError) as missing:
        place.open(os.O_RDONLY)
    assert str(out / "a" / "c.nc") in str(missing.value)
    (out / "file").touch()
    with pytest.raises((NotADirectoryError, FileNotFoundError)) as wrong:
        ConfinedPath.below(out, out / "file" / "c.nc").lstat()
    assert str(out / "file") in str(wrong.value)


def test_a_path_outside_the_folder_is_refused(out: Path) -> None:
    with pytest.raises(UnsafeKey):
        ConfinedPath.below(out, out.parent / "other" / "x")


@unix
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("broken", [False, True])
def test_every_operation_refuses_a_link_that_leads_out(out: Path, elsewhere: Path, broken: bool) -> None:
    target = elsewhere / "not there" if broken else elsewhere
    for link in (target, Path("../elsewhere/not there" if broken else "../elsewhere"), Path("..")):
        (out / "a").symlink_to(link)
        place = ConfinedPath.below(out, out / "a" / "b" / "c.nc")
        acts: list[Callable[[], object]] = [
            place.lstat, place.stat, place.unlink, place.utime, place.list_folder, place.open_following_link,
            lambda place=place: place.open(os.O_CREAT | os.O_RDWR), lambda place=place: written(place),
        ]  # fmt: skip
        for act in acts:
            with pytest.raises(UnsafeKey, match="leads out") as refused, translate_disk_errors(place):
                act()
            assert refused.value.remedy
        assert not place.exists
        (out / "a").unlink()
    assert list(elsewhere.iterdir()) == []


@unix
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("link", ["real", "../out/real", "{out}/real", "deep/up", "real/../real/."])
def test_links_that_stay_inside_are_followed(out: Path, link: str) -> None:
    (out / "real").mkdir()
    (out / "deep").mkdir()
    (out / "deep" / "up").symlink_to("../real")
    (out / "a").symlink_to(link.format(out=out))
    if link.startswith("../"):  # its path leaves the folder and returns: outside, others could change it
        if directory_handle.SUPPORTS_DIR_FD:
            with pytest.raises(LinkLeadsOut):
                written(ConfinedPath.below(out, out / "a" / "b" / "c.nc"))
        return
    written(ConfinedPath.below(out, out / "a" / "b" / "c.nc"))
    assert (out / "real" / "b" / "c.nc").is_file()


@unix
def test_the_chosen_folder_may_be_a_link(out: Path, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(out)
    written(ConfinedPath.below(tmp_path / "name", tmp_path / "name" / "a" / "c.nc"))
    (out / "b").symlink_to(tmp_path / "name" / "a")
    written(ConfinedPath.below(tmp_path / "name", tmp_path / "name" / "b" / "d.nc"))
    assert sorted(path.name for path in (out / "a").iterdir()) == ["c.nc", "d.nc"]


@unix
def test_circular_links_are_an_error(out: Path) -> None:
    (out / "a").symlink_to("b")
    (out / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        ConfinedPath.below(out, out / "a" / "x").lstat()


@unix
def test_links_and_pipes_are_not_opened_as_files(out: Path, elsewhere: Path) -> None:
    (elsewhere / "precious").write_text("mine")
    (out / "link").symlink_to(elsewhere / "precious")
    os.mkfifo(out / "pipe")
    with pytest.raises(OSError, match=r"links|loop"):
        ConfinedPath.below(out, out / "link").open(os.O_RDWR)
    os.close(ConfinedPath.below(out, out / "pipe").open(os.O_RDONLY))
    os.close(ConfinedPath.below(out, out / "link").open_following_link())
    ConfinedPath.below(out, out / "link").unlink()
    assert (elsewhere / "precious").read_text() == "mine"


@unix
def test_a_folder_without_read_permission_works(out: Path) -> None:
    (out / "a").mkdir()
    (out / "a").chmod(0o300)
    written(ConfinedPath.below(out, out / "a" / "c.nc"))
    (out / "a").chmod(0o700)
    assert (out / "a" / "c.nc").is_file()


@unix
def test_no_descriptor_is_leaked(out: Path, elsewhere: Path) -> None:
    (out / "out").symlink_to(elsewhere)
    (out / "in").symlink_to("a")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(50):
        written(ConfinedPath.below(out, out / "a" / "b" / "c" / "d.nc"))
        written(ConfinedPath.below(out, out / "in" / "b" / "e.nc"))
        for act in (
            ConfinedPath.below(out, out / "out" / "x").lstat,
            ConfinedPath.below(out, out / "a" / "no" / "x").lstat,
        ):
            with pytest.raises((LinkLeadsOut, FileNotFoundError)):
                act()
    assert len(list(Path("/dev/fd").iterdir())) == before


@unix
def test_no_file_outside_is_touched_while_folders_are_swapped(out: Path, elsewhere: Path) -> None:
    """Files are created, replaced and deleted while another thread swaps one of their folders for a link."""
    (out / "a" / "b").mkdir(parents=True)
    (elsewhere / "b").mkdir()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (out / "a").rename(out / "aside")
            (out / "a").symlink_to(elsewhere)
            (out / "a").unlink()
            (out / "aside").rename(out / "a")

    attacker = threading.Thread(target=swap)
    attacker.start()
    made = refused = 0
    place = ConfinedPath.below(out, out / "a" / "b" / "c.nc")
    try:
        end = time.monotonic() + 20
        while (made < 50 or refused < 10) and time.monotonic() < end:
            try:
                os.close(place.open(os.O_CREAT | os.O_RDWR))
                with place.open_folder() as folder:
                    folder.rename("c.nc", "d.nc")
                    folder.unlink("d.nc")
                made += 1
            except (LinkLeadsOut, FileNotFoundError, NotADirectoryError):  # noqa: PERF203
                refused += 1
    finally:
        done.set()
        attacker.join()
    assert made > 0
    assert refused > 0
    assert [path.name for path in elsewhere.rglob("*")] == ["b"]


@unix
def test_an_operation_takes_microseconds(out: Path) -> None:
    place = ConfinedPath.below(out, out / "e5.oper.an.pl" / "202102" / "c.nc")
    written(place)
    began = time.perf_counter()
    for _ in range(1000):
        place.lstat()
    assert time.perf_counter() - began < 1.0  # 15 us each on an idle machine
