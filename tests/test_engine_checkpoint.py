"""Tests of checkpoints: the resume file lists only bytes that are in the part file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from era5dl.engine import maintenance
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import EngineRun, fetch_all, leftovers, running, wrong_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what a file takes on the disk shows that bytes were written")

KEY = "a.bin"
OLD, NEW = pseudo_random("old", 8_000_000), pseudo_random("new", 8_000_000)
SLOW = Link(speed=250_000)  # slow enough for a busy machine to act before the file is complete
ENOUGH = 1_000_000  # bytes listed before something happens to the part file


def listed_bytes(session: Session) -> int:
    return sum(stop - start for entry in session.checkpoint.unfinished for start, stop in entry.done)


def part_file_stat(folder: Path) -> os.stat_result | None:
    try:
        (found,) = leftovers(folder)
        return found.stat()
    except (ValueError, FileNotFoundError):
        return None


def delete(server: FaultServer, folder: Path) -> None:
    leftovers(folder)[0].unlink()


def cut(server: FaultServer, folder: Path) -> None:
    os.truncate(leftovers(folder)[0], 100)


def replace_object(server: FaultServer, folder: Path) -> None:
    server.put(KEY, NEW, etag='"opaque-2"')
    server.cut_connections()


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    fault_server.put(KEY, OLD, etag='"opaque-1"')
    fault_server.link = SLOW
    return fault_server


def stop_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "MIN_CHECKPOINT_PAUSE", 600.0)
    monkeypatch.setattr(maintenance, "MAX_CHECKPOINT_PAUSE", 600.0)


def copy_as_if_killed(ran: EngineRun, folder: Path, to: Path) -> None:
    """Copy the folder as a kill would leave it, as soon as a restarted part file has bytes."""
    ran.wait_until(
        lambda: (now := part_file_stat(folder)) is not None and now.st_size == len(OLD) and now.st_blocks > 0
    )
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.lock*", "*.claim*"))


def resume_is_correct(server: FaultServer, folder: Path, *, verify: bool = True) -> None:
    server.put(KEY, OLD, etag='"opaque-1"')
    server.link = Link()
    assert fetch_all(server, folder, verify=verify).wait_for_end().checked == 1
    assert wrong_files(folder, {KEY: OLD}) == []


# Without verification no MD5s are recorded, and only the entry in the resume file tells data from holes.
@pytest.mark.slow
@pytest.mark.parametrize("verify", [True, False], ids=["block MD5s", "no MD5s"])
@pytest.mark.parametrize("happens", [delete, cut, replace_object])
def test_bytes_of_a_part_file_restarted_during_the_run_are_not_listed(
    server: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[FaultServer, Path], None],
    verify: bool,
) -> None:
    folder, image = tmp_path / "out", tmp_path / "image"
    with running(server, folder, workers=2, verify=verify) as ran:
        ran.wait_until(lambda: listed_bytes(ran.session) > ENOUGH)
        stop_checkpoints(monkeypatch)
        before = ran.session.checkpoint
        ran.wait_until(lambda: ran.session.checkpoint is not before)
        already = part_file_stat(folder)
        assert already is not None
        happens(server, folder)
        ran.wait_until(lambda: (now := part_file_stat(folder)) is None or now.st_blocks < already.st_blocks)
        copy_as_if_killed(ran, folder, image)
    resume_is_correct(server, image, verify=verify)


@pytest.mark.slow
@pytest.mark.parametrize("verify", [True, False], ids=["block MD5s", "no MD5s"])
def test_bytes_of_a_part_file_deleted_between_two_runs_are_not_listed(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    folder, image = tmp_path / "out", tmp_path / "image"
    with running(server, folder, workers=2, verify=verify) as ran:
        ran.wait_until(lambda: listed_bytes(ran.session) > ENOUGH)
    delete(server, folder)
    stop_checkpoints(monkeypatch)
    with running(server, folder, workers=2, verify=verify) as ran:
        copy_as_if_killed(ran, folder, image)
    resume_is_correct(server, image, verify=verify)


def test_an_object_is_fetched_again_when_the_bucket_returns_to_the_planned_version(
    server: FaultServer, tmp_path: Path
) -> None:
    """The new plan equals the first one; the version in between was recorded as finished."""
    with running(server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: listed_bytes(ran.session) > ENOUGH)
        replace_object(server, tmp_path)
        server.link = Link()
        assert ran.wait_for_end().checked == 1
    assert wrong_files(tmp_path, {KEY: NEW}) == []
    resume_is_correct(server, tmp_path)
