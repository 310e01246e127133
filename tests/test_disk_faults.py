"""Tests of failing system calls under the real command line: right bytes or a clear error, never a wrong file."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faultlab import FaultServer, Link, pseudo_random
from tests.faultydisk import Faulty, compiled, failing
from tests.runs import sha256

pytestmark = pytest.mark.slow

MB = 1_000_000
PATIENCE = 90.0  # seconds for a whole download of 12 small objects
SIZES = (0, 1, 5_000, 310_007, MB, MB, MB, 2 * MB, MB, MB, 2 * MB, 5 * MB)
PARTS = "*/out/*.part"
FAILS = "*/out/d/7.bin.*part"  # one object, of 2 MB

PROGRAM = """
from era5dl.__main__ import main
from era5dl.engine import disk, retry
disk.DELAYS, retry.FIRST_WAIT = (0.05, 0.1, 0.2), 0.1
raise SystemExit(main())
"""  # `python -m era5dl` that tries again sooner

FINE, INCOMPLETE, CANNOT_GO_ON = 0, 1, 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shim"))


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    said: str
    right: set[str]
    wrong: set[str]
    struck: int  # calls that failed


class Scene:
    """Twelve objects, plain and multipart, and the command line."""

    def __init__(self, server: FaultServer, folder: Path, library: Path | None = None) -> None:
        self._folder, self._library, self._server = folder, library, server
        self.out = folder / "out"
        self.objects: dict[str, bytes] = {}
        for number, size in enumerate(SIZES):
            key = f"{'cd'[number % 2]}/{number}.bin"
            self.objects[key] = pseudo_random(number, size)
            server.put(key, self.objects[key], part_size=MB if number % 3 == 0 and size > MB else None)
        (folder / "keys.txt").write_text("\n".join(self.objects))
        server.link = Link(speed=8 * MB)

    def start(
        self, *words: str, disk: Faulty | None = None, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        settings = {
            "ERA5DL_STATE_DIR": str(self._folder / "state"),
            "ERA5DL_DISK_RESERVE": "0",
            "ERA5DL_READ_TIMEOUT": "5",
            "ERA5DL_WORKERS": "4",
            "ERA5DL_ENDPOINT_URL": self._server.endpoint_url,
            "ERA5DL_BUCKET": self._server.bucket,
            **(disk.environment if disk else {}),
        }
        words = words or ("download", "--keys-file", str(self._folder / "keys.txt"), "--out", str(self.out))
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **settings},
            preexec_fn=before,
        )

    def finish(self, program: subprocess.Popen[str]) -> Ended:
        log = self._folder / "struck"
        try:
            said = program.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            program.kill()
            said = program.communicate()[0]
            pytest.fail(f"it has not ended:\n{said[-3000:]}")
        found = {key: (self.out / key).read_bytes() for key in self.objects if (self.out / key).is_file()}
        right = {key for key, data in found.items() if sha256(data) == sha256(self.objects[key])}
        struck = len(log.read_text().splitlines()) if log.exists() else 0
        return Ended(program.returncode, said, right, found.keys() - right, struck)

    def run(self, *orders: str, loses: str = "", words: tuple[str, ...] = (), **more: str) -> Ended:
        assert self._library is not None
        return self.finish(
            self.start(*words, disk=Faulty(self._library, list(orders), loses, self._folder / "struck", more))
        )

    def all_right(self, ended: Ended) -> None:
        assert ended.wrong == set(), ended.said
        assert ended.right == self.objects.keys(), ended.said
        assert ended.code == FINE, ended.said

    def one_failed(self, ended: Ended, reason: str, key: str = "d/7.bin") -> None:
        assert ended.wrong == set(), ended.said
        assert ended.right == self.objects.keys() - {key}, ended.said
        assert ended.code == INCOMPLETE, ended.said
        assert re.search(f"{key}.*{reason}", ended.said), ended.said


@pytest.fixture
def scene(fault_server: FaultServer, tmp_path: Path, library: Path) -> Scene:
    return Scene(fault_server, tmp_path, library)


@pytest.mark.parametrize(
    ("first", "count", "error", "loses"),
    [
        (1, 1, errno.EIO, "now"),
        (4, 1, errno.EDQUOT, "late"),
        (7, 2, errno.ENOSPC, "now"),
        (2, 6, errno.EIO, "now"),
        (2, 6, errno.EIO, "late"),
        (9, 1, errno.EIO, "late"),
    ],
)
def test_a_failed_sync_that_loses_written_bytes(scene: Scene, first: int, count: int, error: int, loses: str) -> None:
    ended = scene.run(failing("fsync", PARTS, first, count, error), loses=loses)
    assert ended.struck == count
    scene.all_right(ended)


@pytest.mark.parametrize("loses", ["now", "late"])
def test_lost_bytes_without_an_md5_to_detect_them(scene: Scene, fault_server: FaultServer, loses: str) -> None:
    for number, (key, data) in enumerate(scene.objects.items()):
        fault_server.put(key, data, etag=f'"opaque-{number}"')
    ended = scene.run(failing("fsync", PARTS, 3, 3), loses=loses)
    assert ended.struck == 3
    assert ended.said.count("checked") >= 1
    scene.all_right(ended)


@pytest.mark.parametrize("error", [errno.EIO, errno.EDQUOT])
def test_a_sync_that_always_fails_for_one_file(scene: Scene, error: int) -> None:
    ended = scene.run(failing("fsync", FAILS, 1, 0, error), loses="late")
    scene.one_failed(ended, os.strerror(error))


def test_every_sync_of_part_files_fails(scene: Scene) -> None:
    ended = scene.run(failing("fsync", PARTS, 1, 0), loses="late")
    assert (ended.code, ended.wrong) == (INCOMPLETE, set())
    assert ended.right == {"c/0.bin"}, "of an empty one there is nothing to sync"
    assert "Input/output error while syncing" in ended.said


@pytest.mark.parametrize(("first", "error"), [(1, errno.EIO), (5, errno.EDQUOT), (9, errno.ENOSPC)])
def test_a_close_that_reports_a_failed_write(scene: Scene, first: int, error: int) -> None:
    ended = scene.run(failing("close", PARTS, first, 1, error), loses="late")
    assert ended.struck == 1
    scene.all_right(ended)


@pytest.mark.parametrize("first", [1, 3])
def test_a_folder_whose_sync_fails(scene: Scene, first: int) -> None:
    ended = scene.run(failing("fsync", "*/out/[cd]", first, 1), loses="now")
    assert ended.struck == 1
    scene.all_right(ended)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES])
def test_a_file_system_that_cannot_sync_folders_is_supported(scene: Scene, error: int) -> None:
    scene.all_right(scene.run(failing("fsync", "*/out*/[cd]", 1, 0, error)))


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("pattern", ["*/.era5dl/*.tmp", "*/.era5dl"])
def test_a_failed_sync_of_session_files(scene: Scene, first: int, pattern: str) -> None:
    """If a first sync fails, of the plan file or the new session, the command reports that it cannot start. Later
    failures have no effect. Existing files stay as they are."""
    ended = scene.run(failing("fsync", pattern, first, 1))
    assert ended.wrong == set()
    if ended.code:
        assert ended.code == CANNOT_GO_ON, ended.said
        assert "Input/output error" in ended.said
        assert list(scene.out.rglob("*.tmp")) == []
        ended = scene.finish(scene.start())
    scene.all_right(ended)


@pytest.mark.parametrize("error", ["short", "zero"])
def test_partial_writes_are_continued(scene: Scene, error: str) -> None:
    ended = scene.run(failing("pwrite", PARTS, 1, 0 if error == "short" else 2, error))
    assert ended.struck
    scene.all_right(ended)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("pwrite", errno.EIO),
        ("pwrite", errno.ENOSPC),
        ("pwrite", "zero"),
        ("open", errno.EACCES),
        ("open", errno.EIO),
        ("ftruncate", errno.EFBIG),
    ],
)
def test_a_file_that_cannot_be_written_fails_alone(scene: Scene, call: str, error: int | str) -> None:
    ended = scene.run(failing(call, FAILS, 1, 0, error))
    scene.one_failed(ended, os.strerror(error) if isinstance(error, int) else "wrote nothing")


@pytest.mark.parametrize("call", ["pwrite", "pread", "open", "rename"])
def test_a_temporary_fault_is_survived(scene: Scene, call: str) -> None:
    pattern = "*/out/[cd]/*.bin" if call == "rename" else PARTS
    ended = scene.run(failing(call, pattern, 2, 2), ERA5DL_READ_BACK="1")
    assert ended.struck == 2
    scene.all_right(ended)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_renamed_fails_alone(scene: Scene, error: int) -> None:
    scene.one_failed(scene.run(failing("rename", "*/out/d/7.bin", 1, 0, error)), os.strerror(error))


def test_a_folder_in_which_no_file_can_be_created(scene: Scene) -> None:
    """The files in this folder fail, and the others continue."""
    ended = scene.run(failing("open", "*/out/d/*.part", 1, 0, errno.EACCES))
    assert (ended.code, ended.wrong) == (INCOMPLETE, set())
    assert ended.right == {key for key in scene.objects if key.startswith("c/")}
    assert ended.said.count("Permission denied") >= len(SIZES) // 2


def test_verify_reports_an_unreadable_file_and_verifies_the_others(scene: Scene) -> None:
    scene.all_right(scene.finish(scene.start()))
    ended = scene.run(failing("open", "*/out/d/7.bin", 1, 0, errno.EACCES), words=("verify", str(scene.out)))
    assert ended.code == INCOMPLETE, ended.said
    assert re.search("d/7.bin.*Permission denied", ended.said), ended.said
    assert "11 verified" in ended.said, ended.said


@pytest.mark.skipif(os.name == "nt", reason="has no such limit")
def test_a_limit_on_file_sizes(fault_server: FaultServer, tmp_path: Path) -> None:
    import resource

    scene = Scene(fault_server, tmp_path)
    limit = 4_500_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    began = time.monotonic()
    ended = scene.finish(scene.start(before=limited))
    scene.one_failed(ended, "exceeds the maximum file size", key="d/11.bin")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("first", [4, 10])
def test_a_folder_in_which_nothing_can_be_opened_ends_the_run_at_once(scene: Scene, first: int) -> None:
    """Opening the session's lock fails, then the test whether the folder is writable: an error during an error."""
    ended = scene.run(failing("open", "*/out/*", first, 20, errno.ENOSPC))
    assert (ended.code, ended.wrong) == (CANNOT_GO_ON, set())
    assert "no space left on the disk" in ended.said
