"""Tests of the guessed part size: a right guess costs no request, a wrong one no byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.events import FileDone, FileFailed, FileRetrying, Outcome
from era5dl.engine.verify_files import FileCondition, verify
from era5dl.session import Session
from tests.faultlab import Fault, FaultServer, Link, etag_of, pseudo_random
from tests.runs import EngineRun, fetch_all, leftovers, running, settings_for, wrong_files

MB = 1_000_000
MIB = 1 << 20
ODD = 300_000  # bytes; an uncommon part size, with four parts per MB
OTHER = 260_000  # another one with as many parts


def part_size_requests(server: FaultServer) -> int:
    """Return how many times the server was part_size_requests for a part size."""
    return server.stats().requests.get("HEAD", 0)


def put(server: FaultServer, count: int, part_size: int, size: int = MB) -> dict[str, bytes]:
    objects = {f"{part_size}/{n:02}.bin": pseudo_random(n, size) for n in range(count)}
    for key, data in objects.items():
        server.put(key, data, part_size=part_size)
    return objects


def outcomes(ran: EngineRun) -> list[Outcome]:
    return [done.outcome for done in ran.events_of(FileDone)]


def test_a_right_guess_costs_no_request(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = put(fault_server, 6, MIB, 4 * MIB)
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED] * 6
    assert part_size_requests(fault_server) == 0


def test_a_wrong_guess_costs_one_request_and_no_byte(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = put(fault_server, 6, ODD)
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED] * 6
    assert part_size_requests(fault_server) == 1
    assert fault_server.stats().payload == 6 * MB
    assert ran.events_of(FileRetrying) == []


def test_the_part_size_of_other_objects_is_only_a_guess(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = put(fault_server, 3, ODD) | put(fault_server, 3, OTHER)
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED] * 6
    assert part_size_requests(fault_server) == 2
    assert fault_server.stats().payload == 6 * MB


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slow-down", "reset-at-once", "login-redirect"])
def test_a_failed_request_for_the_part_size_is_repeated(fault_server: FaultServer, tmp_path: Path, kind: str) -> None:
    objects = put(fault_server, 1, ODD)
    fault_server.script(Fault(kind, on=("head",)))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED]
    assert fault_server.stats().payload == MB


def test_a_server_that_does_not_tell_the_part_size(fault_server: FaultServer, tmp_path: Path) -> None:
    """Other common sizes are tried on the bytes on disk. Where none matches, the file is not verified."""
    objects = {"usual.bin": pseudo_random(1, 15 * MIB), "odd.bin": pseudo_random(2, MB)}
    fault_server.put("usual.bin", objects["usual.bin"], part_size=10 * MIB)
    fault_server.put("odd.bin", objects["odd.bin"], part_size=ODD)
    fault_server.script(Fault("login-page", times=None, on=("head",)))
    ran = fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, objects) == ["odd.bin"]
    assert [failed.key for failed in ran.events_of(FileFailed)] == ["odd.bin"]
    assert {done.key: done.outcome for done in ran.events_of(FileDone)} == {"usual.bin": Outcome.VERIFIED}


def test_a_server_that_tells_the_part_size_only_at_the_second_request(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    objects = {"odd.bin": pseudo_random(2, MB)}
    fault_server.put("odd.bin", objects["odd.bin"], part_size=ODD)
    fault_server.script(Fault("login-page", on=("head",)))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED]


def test_a_server_that_tells_an_impossible_part_size(fault_server: FaultServer, tmp_path: Path) -> None:
    """Two parts although the ETag has four, which counts as no answer. Only the user can declare ETags opaque."""
    data = pseudo_random(1, MB)
    fault_server.put("a.bin", data, part_size=MB // 2, etag=etag_of(data, ODD))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {"a.bin": data}) == ["a.bin"]
    assert ran.wait_for_end().failed == 1
    fault_server.reset_stats()
    ran = fetch_all(fault_server, tmp_path, opaque_etags=True)
    assert wrong_files(tmp_path, {"a.bin": data}) == []
    assert outcomes(ran) == [Outcome.CHECKED]
    assert fault_server.stats().payload == MB


# -- over several runs -----------------------------------------------------------------------------------------------


def stop_half_way(server: FaultServer, folder: Path, key: str) -> int:
    """Stop a run while it fetches this object; return the number of its bytes in the resume file."""
    server.link = Link(speed=MB)
    server.script(Fault("body-stall", at=700_000, seconds=60), key=key)
    with running(server, folder, workers=1, read_timeout=60) as ran:
        ran.wait_until(lambda: any(f.key == key and f.done > 400_000 for f in ran.engine.snapshot().active))
        ran.engine.stop()
        ran.wait_for_end()
    server.link = Link()
    with Session.open(folder) as session:
        (begun,) = session.checkpoint.unfinished
        assert begun.digests, "MD5s of complete parts are recorded, whatever part size was assumed"
    server.reset_stats()
    return sum(stop - start for start, stop in begun.done)


def test_a_later_run_uses_the_guess_of_the_first(fault_server: FaultServer, tmp_path: Path) -> None:
    """The MD5s in the resume file are those of parts of the guessed size, so they must not look like corruption."""
    objects = put(fault_server, 1, ODD)
    here = stop_half_way(fault_server, tmp_path, f"{ODD}/00.bin")
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED]
    assert fault_server.stats().payload == MB - here
    assert part_size_requests(fault_server) == 1


def test_the_part_size_of_the_first_run_is_known_in_the_second(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = put(fault_server, 2, ODD)
    here = stop_half_way(fault_server, tmp_path, f"{ODD}/01.bin")
    fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert fault_server.stats().payload == MB - here
    assert part_size_requests(fault_server) == 0


def test_corruption_is_found_with_a_wrong_guess_too(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = put(fault_server, 1, ODD)
    here = stop_half_way(fault_server, tmp_path, f"{ODD}/00.bin")
    (part,) = leftovers(tmp_path)
    spoilt = bytearray(part.read_bytes())
    spoilt[77] ^= 1
    part.write_bytes(spoilt)
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, objects) == []
    assert outcomes(ran) == [Outcome.VERIFIED]
    assert fault_server.stats().payload == MB - here + 250_000, "the first part by the assumed size"


@pytest.mark.parametrize("cut_off", [0, 1])
def test_intact_parts_of_a_damaged_file_are_not_fetched_again(
    fault_server: FaultServer, tmp_path: Path, cut_off: int
) -> None:
    """The server tells the part size of the first object, which is not that of the second."""
    objects = put(fault_server, 1, OTHER) | put(fault_server, 1, ODD)
    fetch_all(fault_server, tmp_path, workers=1)
    for key, data in objects.items():
        (tmp_path / key).write_bytes((data[:-1] + bytes([data[-1] ^ 1]))[: MB - cut_off])
    with Session.open(tmp_path) as session:
        found = verify(S3Bucket(settings_for(fault_server)), session, lambda _: None)
    assert [one.condition for one in found] == [FileCondition.WRONG] * 2
    fault_server.reset_stats()
    fetch_all(fault_server, tmp_path, workers=1)
    assert wrong_files(tmp_path, objects) == []
    assert fault_server.stats().payload == (MB - 3 * OTHER) + (MB - 3 * ODD), "the last part of each"


def test_verifying_existing_files_costs_one_request(fault_server: FaultServer, tmp_path: Path) -> None:
    put(fault_server, 6, ODD)
    fetch_all(fault_server, tmp_path)
    fault_server.reset_stats()
    with Session.open(tmp_path) as session:
        found = verify(S3Bucket(settings_for(fault_server)), session, lambda _: None)
    assert [one.condition for one in found] == [FileCondition.VERIFIED] * 6
    assert 1 <= part_size_requests(fault_server) <= 4, "at most one request per thread"
