"""Tests of downloads on a Dask cluster: a real one, whose workers are processes of this computer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import era5dl
from era5dl.api import Result
from era5dl.bucket.s3 import S3Bucket
from era5dl.cluster import on_dask
from era5dl.engine.progress import Snapshot
from era5dl.errors import SessionBusy, UsageError, VersionDiffers
from era5dl.planner import Plan
from era5dl.session import Session
from era5dl.session.blocks import divide
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import leftovers, plan_of, settings_for, wrong_files

pytestmark = pytest.mark.slow
MB = 1_000_000
FILES = 8
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    import dask

    patience = {f"distributed.comm.timeouts.{what}": "120s" for what in ("connect", "tcp")}  # the machine may be busy
    with dask.config.set(patience), on_dask.connect("local:2") as made:
        yield made


class Bucket:
    """Objects in a bucket, each a block of its own."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server, self.out = server, folder / "out"
        self.objects = {f"a/{n}.grb": pseudo_random(f"{n}", MB) for n in range(FILES)}
        for key, data in self.objects.items():
            server.put(key, data)
        self.settings = settings_for(server, workers=2)

    def plan(self) -> Plan:
        return plan_of(S3Bucket(self.settings))

    def download(self, client: Any, progress: Callable[[Snapshot], None] | None = None) -> Result:
        return era5dl.download(self.plan(), self.out, client=client, settings=self.settings, progress=progress)

    @property
    def payload(self) -> int:
        return self.server.stats().payload

    def is_correct(self) -> bool:
        return wrong_files(self.out, self.objects) == [] and leftovers(self.out) == []


@pytest.fixture
def bucket(fault_server: FaultServer, tmp_path: Path) -> Bucket:
    return Bucket(fault_server, tmp_path)


def test_workers_share_a_download(client: Any, bucket: Bucket) -> None:
    bucket.server.link = Link(speed=800_000)
    seen: list[Snapshot] = []
    result = bucket.download(client, seen.append)
    assert result.complete, result
    assert (result.verified, result.blocks, result.moved) == (FILES, FILES, 0)
    assert bucket.is_correct()
    assert bucket.payload == FILES * MB
    assert result.fetched_bytes == FILES * MB
    assert max(snapshot.workers for snapshot in seen) == 2
    assert [s.done_bytes for s in seen] == sorted(s.done_bytes for s in seen)
    assert seen[-1].done_bytes == seen[-1].total_bytes == seen[-1].written_bytes == FILES * MB
    assert era5dl.download(bucket.plan(), bucket.out, settings=bucket.settings).complete, "without the cluster"
    assert bucket.download(client).complete
    assert bucket.payload == FILES * MB, "nothing is fetched again"


def test_block_of_a_killed_worker_is_continued_by_another(client: Any, bucket: Bucket) -> None:
    bucket.server.link = Link(speed=250_000)
    victims: list[int] = []

    def kill(snapshot: Snapshot) -> None:
        if not victims and snapshot.fetched_bytes > MB // 2:
            victims.append(min(client.run(os.getpid).values()))
            os.kill(victims[0], signal.SIGKILL)

    result = bucket.download(client, kill)
    assert victims
    assert result.complete, result
    assert result.moved >= 1
    assert bucket.is_correct()
    assert bucket.payload < FILES * MB * 1.25


def test_worker_where_the_folder_is_not_mounted_is_excluded_and_named(client: Any, bucket: Bucket) -> None:
    client.wait_for_workers(2)
    unfit = sorted(client.scheduler_info(n_workers=-1)["workers"])[0]

    def set_exists(answer: bool | None) -> None:
        from era5dl.cluster import on_dask as module
        from era5dl.session import blocks

        module.exists = blocks.exists if answer is None else lambda *_: answer

    client.run(set_exists, False, workers=[unfit])
    notes: list[str] = []
    with Session.begin(bucket.out, bucket.plan(), bucket.settings, keep_blocks=True) as session:
        run = divide(session.home, session.info, session.plan)
        ended = on_dask.run_on_dask(session, run, client, bucket.settings, note=notes.append)
        with pytest.raises(SessionBusy):  # a second driver
            bucket.download(client)
    client.run(set_exists, None, workers=[unfit])
    assert ended.error == ""
    assert list(ended.excluded) == [unfit]
    assert "mount it there" in ended.excluded[unfit]
    assert any(unfit in note for note in notes)
    assert bucket.is_correct()


def test_another_version_on_all_workers_is_an_error_with_a_remedy(client: Any, bucket: Bucket) -> None:
    def set_version(version: str) -> None:
        import era5dl as module

        module.__version__ = version

    client.run(set_version, "0.0.1")
    result = bucket.download(client)
    client.run(set_version, era5dl.__version__)
    assert "version 0.0.1 of era5dl" in result.error
    assert result.remedy == VersionDiffers.remedy
    assert bucket.payload == 0


def test_interrupted_driver_leaves_blocks_that_are_continued(client: Any, bucket: Bucket) -> None:
    bucket.server.link = Link(speed=200_000)

    def interrupt(snapshot: Snapshot) -> None:
        if snapshot.fetched_bytes > MB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bucket.download(client, interrupt)
    sent = bucket.payload
    time.sleep(0.5)
    assert bucket.payload - sent < MB // 5, "the workers have stopped"
    bucket.server.link = Link()
    assert bucket.download(client).complete
    assert bucket.is_correct()
    assert bucket.payload < FILES * MB * 1.1


def test_limit_is_that_of_all_workers_together(client: Any, bucket: Bucket) -> None:
    client.wait_for_workers(2)
    began = time.monotonic()
    settings = settings_for(bucket.server, workers=2, rate_limit=2 * MB)
    assert era5dl.download(bucket.plan(), bucket.out, client=client, settings=settings).complete
    assert time.monotonic() - began > 0.7 * FILES / 2
    with pytest.raises(UsageError, match="timetable"):
        timetable = settings_for(bucket.server, rate_limit="08:00,1M 20:00,off")
        era5dl.download(bucket.plan(), bucket.out, client=client, settings=timetable)


@pytest.mark.parametrize("where", ["local:0", "local:x", "local:1000"])
def test_wrong_number_of_local_workers_is_refused(where: str) -> None:
    with pytest.raises(UsageError), on_dask.connect(where):
        pass
