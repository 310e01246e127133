"""Tests of proxies that answer a range request with the whole object: one connection per file, every byte right."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine import retry
from era5dl.engine.events import FileFailed, FileRestarted, RangesIgnored
from era5dl.engine.job_queue import PrepareJob
from era5dl.engine.scheduler import Scheduler
from era5dl.engine.transfer import Piece, Transfer
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.faultlab.http import Request
from tests.runs import fetch_all, leftovers, running, wrong_files

MB = 1_000_000
LARGE = 3 * MB
OBJECTS = {f"{i:02}.bin": pseudo_random(i, 40_000 + i * 90_000) for i in range(11)} | {
    "large.bin": pseudo_random("large", 25 * MB)
}


class Proxy:
    """A proxy that answers some range requests with the whole object. every: each n-th GET of a key. min_size: only
    ranges of at min_size this size. cut_every: each n-th such response is reset in the middle."""

    def __init__(self, kind: str, *, every: int = 1, min_size: int = 0, cut_every: int = 0) -> None:
        self._kind, self._every, self._min_size, self._cut_every = kind, every, min_size, cut_every
        self._requests: Counter[str] = Counter()
        self._faults = 0
        self._lock = threading.Lock()

    def pick(self, request: Request) -> Fault | None:
        if request.operation != "get" or "-" not in request.headers.get("range", ""):
            return None
        start, stop = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        with self._lock:
            self._requests[request.key] += 1
            if stop + 1 - start < self._min_size or self._requests[request.key] % self._every:
                return None
            self._faults += 1
            if self._cut_every and self._faults % self._cut_every == 0:
                return Fault("range-ignored-cut", share=0.6)
        return Fault(self._kind)


KINDS = {
    "always": lambda: Proxy("range-ignored"),
    "under a 206": lambda: Proxy("range-whole"),
    "every second answer": lambda: Proxy("range-ignored", every=2),
    "every second answer, under a 206": lambda: Proxy("range-whole", every=2),
    "only large ranges": lambda: Proxy("range-ignored", min_size=LARGE),
    "with resets in between": lambda: Proxy("range-ignored", cut_every=3),
    "every second answer with resets": lambda: Proxy("range-ignored", every=2, cut_every=2),
    "every third answer, compressed": lambda: Proxy("range-ignored-gzipped", every=3),
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BASE", 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [4, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_all_files_are_correct(fault_server: FaultServer, tmp_path: Path, kind: str, workers: int) -> None:
    for key, data in OBJECTS.items():
        fault_server.put(key, data, part_size=5 << 20 if key == "large.bin" else None)
    fault_server.add(KINDS[kind]())
    ran = fetch_all(fault_server, tmp_path, workers=workers)
    assert ran.events_of(FileFailed) == []
    assert wrong_files(tmp_path, OBJECTS) == []
    assert (ran.wait_for_end().verified, leftovers(tmp_path)) == (len(OBJECTS), [])
    assert ran.events_of(FileRestarted) == []
    assert len(ran.events_of(RangesIgnored)) == (kind != "every third answer, compressed")
    snapshot = ran.engine.snapshot()
    assert snapshot.done_bytes == snapshot.total_bytes == sum(map(len, OBJECTS.values()))


def test_one_connection_per_file(fault_server: FaultServer, tmp_path: Path) -> None:
    data = OBJECTS["large.bin"]
    fault_server.put("large.bin", data)
    fault_server.link = Link(speed=20 * MB)
    fault_server.script(Fault("range-ignored", times=None))
    ran = fetch_all(fault_server, tmp_path, workers=8)
    assert wrong_files(tmp_path, {"large.bin": data}) == []
    assert ran.engine.snapshot().fetched_bytes == len(data), "the other responses were aborted at once"
    assert fault_server.stats().requests["GET"] <= 1 + 8  # the listing, and at most one per worker


def test_bytes_on_disk_are_kept_when_a_response_starts_again(fault_server: FaultServer, tmp_path: Path) -> None:
    """The connection is cut after 10 of 25 MB: no more than these are received twice."""
    data = OBJECTS["large.bin"]
    fault_server.put("large.bin", data)
    cut = 10 * MB
    fault_server.script(Fault("range-ignored-cut", at=cut), Fault("range-ignored", times=None))
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, {"large.bin": data}) == []
    fetched = ran.engine.snapshot().fetched_bytes
    assert len(data) <= fetched <= len(data) + cut


def test_a_connection_cut_at_the_same_offset_each_time_fails_the_file(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    data = OBJECTS["large.bin"]
    fault_server.put("large.bin", data)
    fault_server.script(Fault("range-ignored-cut", at=2 * MB, times=None))
    ran = fetch_all(fault_server, tmp_path, workers=4, retries=2)
    failed = ran.events_of(FileFailed)[-1]
    assert failed.kind in ("Interrupted", "StaleConnection")
    assert not (tmp_path / "large.bin").exists()


def test_a_run_resumes_an_earlier_one(fault_server: FaultServer, tmp_path: Path) -> None:
    data = OBJECTS["large.bin"]
    fault_server.put("large.bin", data)
    fault_server.link = Link(speed=8 * MB)
    with running(fault_server, tmp_path, workers=4) as ran:  # in pieces, without the proxy
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 10 * MB)
        plan = ran.session.plan
        ran.engine.stop()
        ran.wait_for_end()
    fault_server.link = Link()
    fault_server.script(Fault("range-ignored", times=None))
    again = fetch_all(fault_server, tmp_path, plan=plan, workers=4)
    assert wrong_files(tmp_path, {"large.bin": data}) == []
    assert again.wait_for_end().verified == 1


@pytest.mark.slow
def test_pause_and_stop_during_a_whole_object_response(fault_server: FaultServer, tmp_path: Path) -> None:
    data = OBJECTS["large.bin"]
    fault_server.put("large.bin", data)
    fault_server.link = Link(speed=12 * MB)
    fault_server.script(Fault("range-ignored", times=None))
    with running(fault_server, tmp_path, workers=4) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 3 * MB)
        ran.engine.pause()
        ran.wait_until(lambda: ran.engine.snapshot().in_flight == 0)
        ran.engine.resume()
        ran.wait_for_end()
    assert wrong_files(tmp_path, {"large.bin": data}) == []


def two_pieces() -> tuple[Scheduler, Piece, Piece]:
    """Two active pieces of one object of 100 MB."""
    scheduler = Scheduler([0], [100 * MB], max_transfers=1)
    transfer = Transfer(0, ObjectInfo("a", 100 * MB, '"x"'), wanted=[(0, 100 * MB)])
    assert isinstance(scheduler.next_job(0.0, 2, None, lambda _: transfer), PrepareJob)
    scheduler.prepared(transfer)
    first, second = (
        scheduler.next_job(0.0, 2, transfer, lambda _: transfer),
        scheduler.next_job(0.0, 2, None, lambda _: transfer),
    )
    assert isinstance(first, Piece) and isinstance(second, Piece)
    return scheduler, first, second


def test_a_connection_that_receives_bytes_is_not_superseded_by_a_whole_object() -> None:
    scheduler, first, second = two_pieces()
    first.written = 1
    assert not scheduler.make_exclusive(second)
    scheduler.requeue(second, 0.0, 0.0)
    again = scheduler.next_job(1.0, 2, None, lambda _: first.transfer)
    assert again is None, "otherwise it would be requested again and again"
    scheduler.piece_ended(first, 1.0)
    again = scheduler.next_job(1.0, 2, first.transfer, lambda _: first.transfer)
    assert isinstance(again, Piece)


def test_a_whole_object_response_takes_over_pieces_without_bytes() -> None:
    scheduler, first, second = two_pieces()
    assert scheduler.make_exclusive(second)
    assert scheduler.superseded == [first]
    assert first.remaining == 0
    assert scheduler.assign_next_gap(second, 0)
    assert (second.position, second.stop) == (0, 100 * MB)
    assert scheduler.unassigned_bytes == 0


@pytest.mark.parametrize("failures", [0, 3])
def test_a_nearly_stalled_whole_object_response_is_replaced(failures: int) -> None:
    """It receives 10 kB/s where others receive 10 MB/s: fetching the whole object again is faster than waiting for the
    rest, however often the piece has failed."""
    scheduler, first, second = two_pieces()
    second.samples = [(0.0, second.position)]
    second.position += 20 * MB
    scheduler.piece_ended(second, 2.0)
    first.transfer.gaps.clear()
    assert scheduler.make_exclusive(first)
    scheduler.assign_next_gap(first, 0)
    first.failures = failures
    for moment in range(1, 9):
        first.position += 10_000
        first.add_sample(float(moment))
        taken = scheduler.next_job(float(moment), 2, None, lambda _: first.transfer)
        if isinstance(taken, Piece):
            break
    assert isinstance(taken, Piece)
    assert moment >= 5
    assert (taken.position, taken.stop, first.remaining) == (50_000, 50 * MB, 0)
    assert scheduler.superseded == [first]
    assert scheduler.make_exclusive(taken), "the piece that it replaces does not prevent it"
