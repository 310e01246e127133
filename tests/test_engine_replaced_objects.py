"""Tests of objects that were replaced in the bucket: nothing of the old version remains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import retry
from era5dl.engine.dispatch import replace_version
from era5dl.engine.engine import Engine
from era5dl.engine.events import State
from era5dl.engine.transfer import Transfer
from era5dl.session import Session
from era5dl.session.checkpoint import UnfinishedObject
from tests.faultlab import Fault, FaultServer, pseudo_random
from tests.faultlab.http import Request
from tests.runs import fetch_all, leftovers, plan_of, running, settings_for, wrong_files

KEY = "a.bin"
DATA = pseudo_random("replaced", 600_000)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.05)


def test_no_byte_of_the_old_version_remains_in_the_part_file(fault_server: FaultServer, tmp_path: Path) -> None:
    """The new version cannot be fetched: the part file kept for the next run has no bytes of either version."""
    fault_server.put(KEY, DATA)
    fault_server.script(Fault("body-fin", at=400_000), "replaced", Fault("access-denied", times=None), key=KEY)
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert ran.engine.result.failed == 1
    assert not any(any(path.read_bytes()) for path in leftovers(tmp_path))


def test_a_checkpoint_lists_no_bytes_of_the_old_version(fault_server: FaultServer, tmp_path: Path) -> None:
    """This includes a checkpoint between the detection of the new version and the preparation of its part file."""
    fault_server.put(KEY, DATA)
    settings = settings_for(fault_server)
    bucket = S3Bucket(settings)
    with Session.begin(tmp_path, plan_of(bucket), settings) as session:
        run = Engine(bucket, session, settings)._run
        run.session_state.entries[0] = UnfinishedObject(0, ((0, 400_000),))
        transfer = Transfer(0, run.object(0), recheck_version=True)
        replace_version(run, transfer, replace(run.object(0), etag='"new"'))
        assert run.save_checkpoint().unfinished == ()


class DuringVerification:
    """Calls a function while the server is asked for the part size, which is during the verification."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act, self.done = act, False

    def pick(self, request: Request) -> Fault | None:
        if request.operation == "head" and "partNumber" in request.target and not self.done:
            self.done = True
            self._act()
        return None


def test_no_final_name_in_a_folder_that_vanished_during_verification(fault_server: FaultServer, tmp_path: Path) -> None:
    """The folder was moved away, and an empty one is in its place, like a mount point whose disk was unplugged."""
    fault_server.put(KEY, DATA, part_size=77_777)  # not a common size, so the server has to be asked
    out, away = tmp_path / "out", tmp_path / "away"

    def exchange() -> None:
        out.rename(away)
        out.mkdir()

    source = DuringVerification(exchange)
    fault_server.add(source)
    with running(fault_server, out) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().state is State.WAITING_FOR_DISK)
        assert source.done
        assert not (out / KEY).exists()
        assert not (away / KEY).exists()
        out.rmdir()
        away.rename(out)
        assert ran.wait_for_end().verified == 1
    assert wrong_files(out, {KEY: DATA}) == []
