"""Tests of links, pipes and second names planted in the chosen folder.

Nothing outside is ever changed, no pipe blocks the program, and one bad name costs one object.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import FolderUnusable, SessionError
from era5dl.session import Session, UnfinishedObject, list_sessions
from era5dl.session.checkpoint import Checkpoint
from tests.faultlab import FaultServer, pseudo_random
from tests.runs import EngineRun, fetch_all, plan_of, settings_for, wrong_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")

PART = 1 << 20
DATA = {f"{n}.bin": pseudo_random(n, 2 * PART) for n in range(3)}
CONTENT = b"somebody's own file\n" * 10


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Create a file outside of the chosen folder, which must not change."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def plant_at(path: Path, kind: str, outside: Path) -> None:
    """Create a pipe, a folder, a link to `outside`, or a second name of it."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(outside)
    else:
        os.link(outside, path)


def fetch_with(server: FaultServer, out: Path, plant: Callable[[Session], None]) -> EngineRun:
    """Create a session, call `plant`, then fetch everything into that folder."""
    for key, data in DATA.items():
        server.put(key, data, part_size=PART)
    settings = settings_for(server)
    bucket = S3Bucket(settings)
    with Session.begin(out, plan_of(bucket), settings) as session:
        plant(session)
    bucket.drop_idle_connections()
    return fetch_all(server, out)


def test_part_file_with_a_second_name_is_replaced(fault_server: FaultServer, out: Path, outside: Path) -> None:
    def plant(session: Session) -> None:
        os.link(outside, session.paths.part(0))
        copied = session.paths.part(1)  # as backup programs link files; the session counts on its bytes
        copied.write_bytes(DATA["1.bin"])
        os.link(copied, outside.with_name("backup"))
        done = ((0, PART),)
        session.save(replace(Checkpoint.empty(), unfinished=(UnfinishedObject(1, done),)))

    ran = fetch_with(fault_server, out, plant)
    assert outside.read_bytes() == CONTENT
    assert outside.with_name("backup").read_bytes() == DATA["1.bin"]
    assert wrong_files(out, DATA) == []
    assert ran.engine.result is not None
    assert ran.engine.result.verified == 3


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_pipe_folder_or_link_at_part_path_fails_one_object_only(
    fault_server: FaultServer, out: Path, outside: Path, kind: str
) -> None:
    def plant(session: Session) -> None:
        plant_at(session.paths.part(0), kind, outside)

    ran = fetch_with(fault_server, out, plant)
    assert outside.read_bytes() == CONTENT
    assert ran.engine.result is not None
    assert (ran.engine.result.verified, ran.engine.result.failed, ran.engine.result.error) == (2, 1, "")
    assert wrong_files(out, DATA) == ["0.bin"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "second name"])
@pytest.mark.parametrize("record", ["digests", "files"])
def test_pipe_folder_or_link_in_place_of_a_record_is_not_used(
    fault_server: FaultServer, out: Path, outside: Path, kind: str, record: str
) -> None:
    def plant(session: Session) -> None:
        plant_at(out / ".era5dl" / f"{session.id}.{record}.jsonl", kind, outside)
        (out / "0.bin").write_bytes(DATA["1.bin"])  # damaged, so that its part digests are read

    fetch_with(fault_server, out, plant)
    assert outside.read_bytes() == CONTENT
    assert wrong_files(out, DATA) == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "second name"])
def test_pipe_folder_or_link_at_lock_path_is_not_written_to(
    fault_server: FaultServer, out: Path, outside: Path, kind: str
) -> None:
    def plant(session: Session) -> None:
        session.close()
        plant_at(out / ".era5dl" / f"{session.id}.lock", kind, outside)

    if kind == "second name":
        fetch_with(fault_server, out, plant)
        assert wrong_files(out, DATA) == []
    else:
        with pytest.raises((FolderUnusable, SessionError)):
            fetch_with(fault_server, out, plant)
    assert outside.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["{id}.json", "{id}.json.bak", "{id}.json.tmp"])
@pytest.mark.parametrize("kind", ["link", "second name", "pipe"])
def test_saving_does_not_follow_links_or_pipes(
    fault_server: FaultServer, out: Path, outside: Path, name: str, kind: str
) -> None:
    def plant(session: Session) -> None:
        session.close()
        path = out / ".era5dl" / name.format(id=session.id)
        path.unlink(missing_ok=True)
        plant_at(path, kind, outside)

    fetch_with(fault_server, out, plant)
    assert outside.read_bytes() == CONTENT
    assert wrong_files(out, DATA) == []


def test_own_folder_that_links_elsewhere_is_refused(fault_server: FaultServer, out: Path, outside: Path) -> None:
    out.mkdir()
    (out / ".era5dl").symlink_to(outside.parent)
    fault_server.put("0.bin", DATA["0.bin"])
    with pytest.raises(FolderUnusable, match="leads out"):
        fetch_all(fault_server, out)
    assert [path.name for path in outside.parent.iterdir()] == ["precious"]


def test_read_only_folder_is_reported_and_its_sessions_are_listed(fault_server: FaultServer, out: Path) -> None:
    """It belongs to another user, or the disk is mounted read-only."""
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(out)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    try:
        fetch_with(fault_server, out, lambda session: None)
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        (summary,) = list_sessions(out)
        assert summary.ended
        with pytest.raises(FolderUnusable) as refused:
            Session.open(out)
        assert "may write" in refused.value.remedy
        with pytest.raises(FolderUnusable):
            fetch_all(fault_server, out)
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)
