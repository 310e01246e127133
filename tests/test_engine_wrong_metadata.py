"""Tests of wrong or missing sizes and versions from servers, caches and proxies: the files are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.events import FileDone, FileFailed, FileRestarted, Outcome, State, StateChanged
from era5dl.planner import Plan, plan_keys
from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.faultlab.http import Answer, Request
from tests.faultlab.objects import LAST_MODIFIED
from tests.runs import fetch_all, plan_of, settings_for, wrong_files

ALL = ("get", "head", "list")
OBJECTS = {f"f/{i:02}.bin": pseudo_random(i, 30_000 + i * 17_000) for i in range(12)}
KEYS = list(OBJECTS)


@pytest.fixture
def server(fault_server: FaultServer) -> FaultServer:
    """A fault server with twelve objects."""
    for key, data in OBJECTS.items():
        fault_server.put(key, data)
    return fault_server


def planned(server: FaultServer, keys: list[str]) -> Plan:
    return plan_keys(keys, S3Bucket(settings_for(server)))


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS], ids=["by HEAD", "by listing"])
@pytest.mark.parametrize(
    "fault", [Fault("says-empty", times=None, on=("head",)), Fault("sizes-zero", times=None, on=("list",))], ids=str
)
def test_plan_and_files_have_the_true_sizes(server: FaultServer, tmp_path: Path, keys: list[str], fault: Fault) -> None:
    server.script(fault)
    plan = planned(server, keys)
    assert [(obj.key, obj.size) for obj in plan.objects] == [(key, len(OBJECTS[key])) for key in keys]
    ran = fetch_all(server, tmp_path, plan=plan)
    assert wrong_files(tmp_path, {key: OBJECTS[key] for key in keys}) == []
    assert ran.wait_for_end().verified == len(keys)


@pytest.mark.parametrize("etag", ["", '"65920080-0"', 'W/"d41d8cd98f00b204e9800998ecf8427e"'])
def test_a_plan_with_size_0_never_gives_an_empty_file(server: FaultServer, tmp_path: Path, etag: str) -> None:
    plan = Plan({}, (ObjectInfo(KEYS[0], 0, etag, LAST_MODIFIED),))
    ran = fetch_all(server, tmp_path, plan=plan)
    assert wrong_files(tmp_path, {KEYS[0]: OBJECTS[KEYS[0]]}) == []
    assert ran.wait_for_end().verified == 1


@pytest.mark.parametrize("etag", [None, '"65920080-0"'])
def test_an_empty_object_gives_an_empty_file(fault_server: FaultServer, tmp_path: Path, etag: str | None) -> None:
    fault_server.put("empty", b"", etag=etag)
    ran = fetch_all(fault_server, tmp_path, plan=planned(fault_server, ["empty"]))
    assert (tmp_path / "empty").read_bytes() == b""
    assert (ran.wait_for_end().verified, ran.wait_for_end().checked) == ((1, 0) if etag is None else (0, 1))


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_listing_with_wrong_sizes(server: FaultServer, tmp_path: Path, factor: float) -> None:
    honest = plan_of(S3Bucket(settings_for(server)))
    lying = tuple(ObjectInfo(o.key, int(o.size * factor), o.etag, o.last_modified) for o in honest.objects)
    ran = fetch_all(server, tmp_path, plan=Plan({}, lying))
    assert wrong_files(tmp_path, OBJECTS) == []
    assert ran.wait_for_end().verified == len(OBJECTS)


@pytest.mark.parametrize("on", [("get",), ("get", "head"), ("head",)], ids=str)
@pytest.mark.parametrize("kind", ["weak-etag", "no-etag", "no-version"])
def test_an_etag_that_only_the_listing_has_completely(
    server: FaultServer, tmp_path: Path, kind: str, on: tuple[str, ...]
) -> None:
    server.script(Fault(kind, times=None, on=on))
    ran = fetch_all(server, tmp_path)
    assert wrong_files(tmp_path, OBJECTS) == []
    assert ran.wait_for_end().verified == len(OBJECTS)
    assert ran.events_of(FileRestarted) == []


def test_a_server_without_any_etag(server: FaultServer, tmp_path: Path) -> None:
    """Size and date identify the version. The bytes cannot be verified, which is reported."""
    server.script(Fault("no-etag", times=None, on=ALL))
    ran = fetch_all(server, tmp_path)
    assert wrong_files(tmp_path, OBJECTS) == []
    assert {(done.outcome, bool(done.reason)) for done in ran.events_of(FileDone)} == {(Outcome.CHECKED, True)}
    assert {event.state for event in ran.events_of(StateChanged)} == {State.RUNNING}


def test_a_listing_without_etags(server: FaultServer, tmp_path: Path) -> None:
    server.script(Fault("no-etag", times=None, on=("list",)))
    ran = fetch_all(server, tmp_path)
    assert wrong_files(tmp_path, OBJECTS) == []
    assert ran.wait_for_end().verified == len(OBJECTS)


@pytest.mark.slow
def test_an_opaque_etag_missing_from_every_response_fails_soon(server: FaultServer, tmp_path: Path) -> None:
    server.put(KEYS[0], OBJECTS[KEYS[0]], etag='"65920080-0"')
    server.script(Fault("no-version", times=None), key=KEYS[0])
    ran = fetch_all(server, tmp_path, retries=1)
    failed = ran.events_of(FileFailed)[-1]
    assert "does not state which version" in failed.reason
    assert ran.wait_for_end().verified == len(OBJECTS) - 1


@pytest.mark.parametrize("on", [("list",), ("list", "head", "get")], ids=str)
@pytest.mark.parametrize("part_size", [None, 100_000])
def test_a_weak_md5_etag_in_the_plan_still_verifies_the_file(
    fault_server: FaultServer, tmp_path: Path, on: tuple[str, ...], part_size: int | None
) -> None:
    """A proxy has made the ETags of the listing or of all responses weak, and the first response has a flipped bit."""
    data = pseudo_random(1, 310_007)
    etag = etag_of(data, part_size)
    fault_server.put("a", data, part_size=part_size, etag=f"W/{etag}" if "get" in on else None)
    plan = Plan({}, (ObjectInfo("a", len(data), f"W/{etag}", LAST_MODIFIED),))
    fault_server.script("flipped-bit", key="a")
    ran = fetch_all(fault_server, tmp_path / "mended", plan=plan)
    assert wrong_files(tmp_path / "mended", {"a": data}) == []
    assert ran.wait_for_end().verified == 1
    fault_server.script(Fault("flipped-at-offset", at=77, times=None), key="a")
    ran = fetch_all(fault_server, tmp_path / "broken", plan=plan)
    assert not (tmp_path / "broken" / "a").exists()
    assert (ran.wait_for_end().failed, ran.wait_for_end().checked) == (1, 0)


@pytest.mark.slow
def test_a_permanently_contradicted_size_fails_only_that_file(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD gives one byte more than GET, for an object without an ETag. This is not an outage."""
    objects = {"a": pseudo_random(1, 1000), "b": pseudo_random(2, 1000)}
    for key, data in objects.items():
        fault_server.put(key, data)
    honest = fault_server._origin.answer

    def answer(request: Request) -> Answer:
        told = honest(request)
        if (request.operation, request.key) != ("head", "a"):
            return told
        headers = {name: value for name, value in told.headers.items() if name != "ETag"}
        return replace(told, headers=headers, length=(told.length or 0) + 1)

    monkeypatch.setattr(fault_server._origin, "answer", answer)
    plan = Plan({}, tuple(ObjectInfo(key, 1000, "", LAST_MODIFIED) for key in objects))
    ran = fetch_all(fault_server, tmp_path, plan=plan, retries=2)
    assert wrong_files(tmp_path, objects) == ["a"]
    (failed,) = ran.events_of(FileFailed)[-1:]
    assert failed.reason == "a: HEAD says 1001 bytes, GET says 1000 bytes"
    assert not [told for told in ran.events_of(StateChanged) if told.state is State.WAITING_FOR_NETWORK]


@pytest.mark.parametrize("etag", ["W/", '""'])
def test_an_empty_etag_is_not_another_version(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put("a", data)
    honest = fault_server._origin.answer
    monkeypatch.setattr(fault_server._origin, "answer", lambda request: honest(request).but(add={"ETag": etag}))
    fault_server.script("flipped-bit", key="a")
    plan = Plan({}, (ObjectInfo("a", len(data), etag_of(data), LAST_MODIFIED),))
    ran = fetch_all(fault_server, tmp_path, plan=plan)
    assert wrong_files(tmp_path, {"a": data}) == []
    assert ran.wait_for_end().verified == 1
