"""Tests of part files that changed between two runs: none of them gets its final name unverified."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine import prepare, verification
from era5dl.engine.transfer import Transfer
from era5dl.errors import ProofError
from era5dl.proof.object_digest import ObjectDigest
from era5dl.ranges import RangeSet
from era5dl.session import Session
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import fetch_all, leftovers, running, wrong_files

MB = 1_000_000
PART = 1 << 20
DATA = pseudo_random("rot", 8 * PART)


def stopped_half_way(
    server: FaultServer, folder: Path, part_size: int | None, etag: str | None = None
) -> tuple[Path, dict[int, str]]:
    """Stop a run half way; return its part file and the MD5s recorded in the resume file."""
    server.put("a.bin", DATA, part_size=part_size, etag=etag)
    server.link = Link(speed=10 * MB)
    with running(server, folder, workers=1) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 4 * PART)
        ran.engine.stop()
        ran.wait_for_end()
    server.link = Link()
    with Session.open(folder) as session:
        (begun,) = session.checkpoint.unfinished
    server.reset_stats()
    (part,) = folder.glob("*.part")
    return part, dict(begun.digests)


@pytest.mark.parametrize("kept_mtime", [True, False])
def test_only_the_corrupted_part_is_fetched_again(fault_server: FaultServer, tmp_path: Path, kept_mtime: bool) -> None:
    part, recorded = stopped_half_way(fault_server, tmp_path, PART)
    assert recorded.keys() >= {0, 1, 2, 3}, "the MD5s of complete parts are recorded"
    before = part.stat()
    spoilt = bytearray(part.read_bytes())
    spoilt[2 * PART + 77] ^= 1
    part.write_bytes(spoilt)
    if kept_mtime:  # as after bit rot, or after copying from a failing disk
        os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))

    ran = fetch_all(fault_server, tmp_path)

    assert wrong_files(tmp_path, {"a.bin": DATA}) == []
    assert ran.engine.result is not None
    assert ran.engine.result.verified == 1
    assert fault_server.stats().payload < len(DATA) - 4 * PART + PART + 1, "only the corrupted part was fetched again"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("part_size", [None, 3 * PART])
def test_a_part_file_replaced_by_another_file_of_the_same_size(
    fault_server: FaultServer, tmp_path: Path, part_size: int | None
) -> None:
    part, _ = stopped_half_way(fault_server, tmp_path, part_size)
    part.write_bytes(pseudo_random("foreign", len(DATA)))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {"a.bin": DATA}) == []
    assert ran.engine.result is not None
    assert ran.engine.result.verified == 1


def test_recorded_md5s_are_kept_until_the_bytes_are_read_again(fault_server: FaultServer, tmp_path: Path) -> None:
    """A second run that ends early must keep the MD5s recorded by the first."""
    _, recorded = stopped_half_way(fault_server, tmp_path, PART)
    fault_server.link = Link(latency=0.5)
    with running(fault_server, tmp_path, workers=1) as ran:
        ran.wait_until(lambda: any(file.done and not file.proving for file in ran.engine.snapshot().active))
        ran.engine.stop()
        ran.wait_for_end()
    with Session.open(tmp_path) as session:
        assert dict(session.checkpoint.unfinished[0].digests) == recorded


# -- objects whose ETags are not MD5s: only the MD5s recorded by an earlier run show changes -------------------------

OPAQUE = '"65920080-20000000"'


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "BLOCK_SIZE", PART)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("how", ["a byte", "the file"])
def test_without_an_md5_etag_a_part_file_changed_between_two_runs(
    fault_server: FaultServer, tmp_path: Path, how: str
) -> None:
    part, recorded = stopped_half_way(fault_server, tmp_path, None, OPAQUE)
    assert recorded.keys() >= {0, 1, 2, 3}
    before = part.stat()
    spoilt = bytearray(part.read_bytes())
    spoilt[2 * PART + 77] ^= 1
    part.write_bytes(bytes(spoilt) if how == "a byte" else pseudo_random("foreign", len(DATA)))
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {"a.bin": DATA}) == []
    assert ran.wait_for_end().checked == 1
    if how == "a byte":
        assert fault_server.stats().payload < len(DATA) - 4 * PART + 2 * PART, "intact blocks are not fetched again"


@pytest.mark.usefixtures("small_blocks")
def test_without_an_md5_etag_unrecorded_blocks_are_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    """The rest of a block during which the run was killed."""
    part, _ = stopped_half_way(fault_server, tmp_path, None, OPAQUE)
    with Session.open(tmp_path) as session:
        (begun,) = session.checkpoint.unfinished
    (_, stop), *_ = begun.done
    assert stop % PART, "the run ended within a block"
    with part.open("r+b") as file:
        file.seek(stop - 10)
        file.write(b"a foreign ")
    fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {"a.bin": DATA}) == []


@pytest.mark.usefixtures("small_blocks")
def test_without_an_md5_etag_a_foreign_write_during_a_pause_is_found(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", DATA, etag=OPAQUE)
    fault_server.link = Link(speed=10 * MB)
    with running(fault_server, tmp_path, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 3 * PART)
        ran.engine.pause()
        ran.wait_until(lambda: not ran.engine._run.aborts)
        (part,) = tmp_path.glob("*.part")
        with part.open("r+b") as file:
            file.write(b"a foreign hand")
            file.seek(len(DATA) // 2 + 100)
            file.write(b"a foreign hand")
        ran.engine.resume()
        assert ran.wait_for_end().checked == 1
    assert wrong_files(tmp_path, {"a.bin": DATA}) == []


@pytest.mark.usefixtures("small_blocks")
def test_without_an_md5_etag_a_foreign_write_into_an_unhashed_block_is_found(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    """A piece that begins within a block is hashed only once the beginning of the block is on disk."""
    data = DATA[: 7 * PART + PART // 2]
    fault_server.put("a.bin", data, etag=OPAQUE)
    fault_server.link = Link(speed=MB)
    with running(fault_server, tmp_path, workers=2) as ran:

        def within_a_block() -> list[int]:
            done = [span for transfer in ran.engine._run.scheduler.transfers.values() for span in transfer.done]
            return [start for start, stop in done if start % PART and stop - start > 1000]

        ran.wait_until(lambda: bool(within_a_block()))
        ran.engine.pause()
        ran.wait_until(lambda: not ran.engine._run.aborts)
        (part,) = tmp_path.glob("*.part")
        with part.open("r+b") as file:
            file.seek(within_a_block()[0] + 10)
            file.write(b"a foreign hand")
        fault_server.link = Link()
        ran.engine.set_workers(1)  # one piece after the other: available bytes are hashed at the end of each
        ran.engine.resume()
        assert ran.wait_for_end().checked == 1
    assert wrong_files(tmp_path, {"a.bin": data}) == []


def test_a_disk_that_always_returns_other_bytes_fails_the_object() -> None:
    transfer = Transfer(0, ObjectInfo("a.bin", 2 * PART, OPAQUE), [(0, 2 * PART)], prepared=True, unverifiable="opaque")
    transfer.digest = ObjectDigest(2 * PART, PART)
    for _ in range(verification.MAX_FETCHES - 1):
        transfer.digest.hash_remaining(RangeSet([(0, 2 * PART)]), lambda _, length: bytes(length))
        transfer.recorded_md5s = {1: "0" * 32}
        assert verification.ranges_to_refetch(transfer, etag_is_md5=False) == [(PART, 2 * PART)]
    transfer.digest.hash_remaining(RangeSet([(0, 2 * PART)]), lambda _, length: bytes(length))
    transfer.recorded_md5s = {1: "0" * 32}
    with pytest.raises(ProofError, match="the disk returns other bytes"):
        verification.ranges_to_refetch(transfer, etag_is_md5=False)
