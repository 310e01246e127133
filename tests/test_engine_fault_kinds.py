"""Tests of the engine with every kind of fault of the fault lab, and all at once, before a real S3 server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import connection_monitor, rate_limit, retry
from era5dl.engine.events import FileFailed, FileRestarted, FileRetrying
from era5dl.gui.text import error_text
from era5dl.planner import Plan
from tests.faultlab import (
    KINDS,
    Burst,
    Certificates,
    Fault,
    FaultServer,
    Link,
    Mix,
    Names,
    pseudo_random,
)
from tests.runs import EngineRun, fetch_all, leftovers, plan_of, running, settings_for, wrong_files
from tests.servers.seaweed import Seaweed

MB = 1_000_000
PART = 5 << 20  # bytes; the smallest part size of S3
KEY = "kinds/a.bin"
DATA = pseudo_random("kinds", 600_000)
SECONDS = 1.3  # duration of stalls and outages
PATIENCE = 1.0  # read timeout of the engine in seconds

FIRST = Fault("body-fin", share=0.1)  # so that the next request is for a range that does not begin at 0

NEVER = [name for name, kind in KINDS.items() if kind.cure == "never"]
BORNE = [name for name in KINDS if name not in NEVER and name != "replaced"]


class Lab:
    """A fault server in front of SeaweedFS, and a client for it. Tests share both; each starts without faults."""

    def __init__(self, server: FaultServer, names: Names, behind: S3Bucket) -> None:
        self.server, self.names, self.behind = server, names, behind
        self.bucket = S3Bucket(settings_for(names, connect_timeout=PATIENCE, read_timeout=PATIENCE))

    def fetch(self, folder: Path, prefix: str, **options: Any) -> EngineRun:
        """Run a download to its end."""
        return fetch_all(self.names, folder, bucket=self.bucket, plan=self.plan(prefix), **options)

    def plan(self, prefix: str) -> Plan:
        """Make a plan directly from SeaweedFS: these tests are not about listings."""
        return plan_of(self.behind, prefix)

    def calm(self) -> None:
        self.server.calm()
        self.server.link = Link()
        self.server.reset_stats()


@pytest.fixture(params=["http", pytest.param("https", marks=pytest.mark.slow)], scope="module")
def shared(request: pytest.FixtureRequest, seaweed: Seaweed, certificates: Certificates) -> Iterator[Lab]:
    tls = certificates if request.param == "https" else None
    with FaultServer(upstream=seaweed.endpoint_url, certificates=tls) as server, Names(server) as names:
        yield Lab(server, names, S3Bucket(settings_for(seaweed)))
        assert server.stats().upstream_failures == 0


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.calm()
    return shared


@pytest.fixture(scope="module")
def one(seaweed: Seaweed) -> bytes:
    """The object for tests of a single fault."""
    seaweed.put(KEY, DATA)
    return DATA


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays: these tests check that they are taken, others how long they are."""
    monkeypatch.setattr(retry, "BASE", 0.05)
    monkeypatch.setattr(retry, "THROTTLE_BASE", 0.1)
    monkeypatch.setattr(rate_limit.Throttle, "GROW_EVERY", 0.2)
    monkeypatch.setattr(rate_limit.Throttle, "CALM", 0.1)


@pytest.mark.parametrize("kind", BORNE)
def test_each_fault_kind_ends_with_a_correct_file(kind: str, lab: Lab, one: bytes, tmp_path: Path) -> None:
    lab.server.script(FIRST, Fault(kind, seconds=SECONDS, rate=2 * MB, at=200_000), key=KEY)

    ran = lab.fetch(tmp_path, KEY, workers=1)

    assert lab.server.stats().faults == Counter((FIRST.kind, kind))
    assert wrong_files(tmp_path, {KEY: one}) == []
    assert (ran.wait_for_end().verified, leftovers(tmp_path)) == (1, [])


def test_an_object_replaced_during_the_download(lab: Lab, seaweed: Seaweed, tmp_path: Path) -> None:
    key = "replaced/a.bin"
    seaweed.put(key, DATA)
    lab.server.script(Fault("body-fin", at=200_000), "replaced", key=key)
    ran = lab.fetch(tmp_path, key, workers=1)
    new = content_of(seaweed, key)
    assert new != DATA
    assert wrong_files(tmp_path, {key: new}) == []
    assert ran.wait_for_end().verified == 1


@pytest.mark.parametrize("kind", NEVER)
def test_a_permanent_fault_fails_with_a_reason_and_leaves_no_wrong_file(
    kind: str, lab: Lab, one: bytes, tmp_path: Path
) -> None:
    """While the fault lasts there is no file but a reason. Afterwards the same command downloads the file."""
    lab.server.script(Fault(kind, times=None), key=KEY)
    ended = lab.fetch(tmp_path, KEY, workers=1, retries=2).wait_for_end()
    assert ended.failed + ended.unfinished == 1
    assert ended.failed or ended.error
    assert not (tmp_path / KEY).exists()

    lab.server.calm()
    assert lab.fetch(tmp_path, KEY, workers=1).wait_for_end().verified == 1
    assert wrong_files(tmp_path, {KEY: one}) == []


@pytest.mark.parametrize("kind", ["access-denied", "blocked-page"])
def test_a_single_403_response_is_retried(kind: str, lab: Lab, one: bytes, tmp_path: Path) -> None:
    lab.server.script(kind, key=KEY)
    assert lab.fetch(tmp_path, KEY, workers=1).wait_for_end().verified == 1
    assert wrong_files(tmp_path, {KEY: one}) == []


def test_a_403_response_after_other_faults_is_retried(lab: Lab, one: bytes, tmp_path: Path) -> None:
    lab.server.script("internal-error", "internal-error", "access-denied", "internal-error", key=KEY)
    assert lab.fetch(tmp_path / "once", KEY, workers=1).wait_for_end().verified == 1
    lab.server.script(*["access-denied", "internal-error"] * retry.FEW_RETRIES, "access-denied", key=KEY)
    assert lab.fetch(tmp_path / "often", KEY, workers=1).wait_for_end().failed == 1, (
        "many in a row count as a real denial"
    )
    lab.server.script("access-denied", Fault("body-fin", at=9), "access-denied", key=KEY)
    assert lab.fetch(tmp_path / "apart", KEY, workers=1).wait_for_end().verified == 1, "these are not in a row"


@pytest.fixture(scope="module")
def several(seaweed: Seaweed) -> dict[str, bytes]:
    """Twelve objects, for faults between requests."""
    objects = {f"several/{i}.bin": pseudo_random(i, 100_000 + 20_000 * i) for i in range(12)}
    for key, data in objects.items():
        seaweed.put(key, data)
    return objects


LINKS = {
    "at most two connections": Link(most_connections=2),
    "idle connections are closed": Link(idle_close=0.2),
    "idle connections swallow": Link(idle_swallow=0.2),
    "one connection in four is slow": Link(slow_every=4, slow_speed=20_000, speed=MB),
    "one connection in three is deaf": Link(deaf_every=3),
    "the line is slow and long": Link(speed=2 * MB, latency=0.1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINKS)
def test_files_are_correct_over_a_bad_line(
    name: str, lab: Lab, several: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_monitor, "SLOW_AFTER", 0.5)
    monkeypatch.setattr(connection_monitor, "REPLACE_EVERY", 0.2)
    lab.server.link = LINKS[name]
    if "idle" in name:
        lab.server.script(*["none"] * 4, Fault("slow-down-retry-after", seconds=1))  # all workers are idle for a second
    ran = lab.fetch(tmp_path, "several/")
    assert wrong_files(tmp_path, several) == []
    assert ran.wait_for_end().verified == len(several)


@pytest.mark.slow
def test_rejected_connections_cost_no_retry_budget(lab: Lab, several: dict[str, bytes], tmp_path: Path) -> None:
    """Eight workers, two connections: no object fails; there are only fewer concurrent requests."""
    lab.server.link = Link(most_connections=2, speed=200_000)
    with running(lab.names, tmp_path, bucket=lab.bucket, plan=lab.plan("several/"), workers=8) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().allowed <= 2, timeout=10)
        ran.wait_until(lambda: ran.engine.snapshot().verified_files >= 4)
        assert ran.events_of(FileFailed) == []
        lab.server.link = Link(most_connections=2)
        assert ran.wait_for_end().verified == len(several)
    assert wrong_files(tmp_path, several) == []


@pytest.mark.slow
def test_bursts_of_503(lab: Lab, several: dict[str, bytes], tmp_path: Path) -> None:
    """503 responses during the first third of each period."""
    lab.server.add(Burst(Fault("slow-down"), period=0.9, length=0.3))
    lab.server.link = Link(speed=MB)
    ran = lab.fetch(tmp_path, "several/")
    assert lab.server.stats().faults["slow-down"] >= 1
    assert wrong_files(tmp_path, several) == []
    assert ran.wait_for_end().verified == len(several)


@pytest.fixture(scope="module")
def many(seaweed: Seaweed) -> tuple[str, ...]:
    """Twenty-four objects, 150 MB, half of them uploaded in parts."""
    dice = random.Random(2024)
    for n in range(24):
        data = pseudo_random(n, dice.randrange(1 * MB, 11 * MB))
        seaweed.put(f"many/{n:02}.bin", data, part_size=PART if n % 2 else None)
    return tuple(f"many/{n:02}.bin" for n in range(24))


ALL_OF_IT = ("extra-bytes", "range-ignored", "range-whole")
# After these faults no request for the object remains.
LAST = [name for name, kind in KINDS.items() if kind.cure == "none" or name in ALL_OF_IT]
WORST_OVERHEAD = 0.03  # of the wanted bytes


@pytest.mark.slow
def test_all_fault_kinds_at_once(
    lab: Lab,
    many: tuple[str, ...],
    seaweed: Seaweed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Any,
) -> None:
    """All fault kinds on a bad line while many objects are fetched: few bytes are fetched twice."""
    monkeypatch.setattr(connection_monitor, "SLOW_AFTER", 1.0)
    monkeypatch.setattr(connection_monitor, "REPLACE_EVERY", 0.2)
    server = lab.server
    server.link = Link(speed=10 * MB, most_connections=12, idle_swallow=2.0, slow_every=8, slow_speed=20_000)
    kinds = [*BORNE, "replaced", "access-denied", "blocked-page"]
    random.Random(4).shuffle(kinds)
    kinds.sort(key=lambda kind: (kind not in LAST, KINDS[kind].cure))  # so that similar kinds hit different objects
    for n, key in enumerate(many):
        mine = sorted(kinds[n :: len(many)], key=lambda kind: kind in LAST)
        server.script(FIRST, *(Fault(kind, seconds=SECONDS, share=0.7) for kind in mine), key=key)
    server.add(Burst(Fault("slow-down"), period=3.0, length=0.2))
    server.add(Mix(seed=4, share=0.2, in_a_row=2, seconds=SECONDS))

    ran = lab.fetch(tmp_path, "many/", workers=8)

    stats = server.stats()
    assert ran.events_of(FileFailed) == []
    objects = {key: content_of(seaweed, key) for key in many}
    assert wrong_files(tmp_path, objects) == []
    assert (ran.wait_for_end().verified, leftovers(tmp_path)) == (len(many), [])
    assert set(kinds) <= set(stats.faults), "each kind has occurred"
    reasons = {event.kind for event in ran.events_of(FileRetrying)} | {
        event.kind for event in ran.events_of(FileRestarted)
    }
    assert reasons <= set(error_text.KINDS), "the window has a text for each reason"
    size = sum(map(len, objects.values()))
    overhead = (stats.payload - stats.destroyed - size) / size
    record_property("overhead", f"{overhead:.4f}")
    assert overhead <= WORST_OVERHEAD, stats


def content_of(seaweed: Seaweed, key: str) -> bytes:
    """Return the current content of this key in SeaweedFS."""
    return bytes(seaweed.client.get_object(Bucket=seaweed.bucket, Key=key)["Body"].read())
