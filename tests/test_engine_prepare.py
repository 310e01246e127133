"""Tests of preparation: what an earlier run recorded is used only if the part file confirms it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.prepare import ObjectFiles, resume_part_file, reuse_final_file
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import EtagTrust, verify_final_file
from era5dl.folder import part_file
from era5dl.folder.part_file import PartFile
from era5dl.proof.etag import multipart_md5
from era5dl.proof.object_digest import ObjectDigest
from era5dl.session.checkpoint import UnfinishedObject
from tests.faultlab import pseudo_random

PART = 1000
DATA = pseudo_random("opening", 4 * PART)
MD5S = tuple(hashlib.md5(DATA[at : at + PART]).hexdigest() for at in range(0, len(DATA), PART))
ETAG = f'"{multipart_md5(MD5S)}-4"'


def _transfer(folder: Path) -> Transfer:
    transfer = Transfer(0, ObjectInfo("a.nc", len(DATA), ETAG))
    transfer.part = PartFile(folder / "a.nc.part", len(DATA))
    transfer.digest = ObjectDigest(len(DATA), PART)
    transfer.multipart = True
    return transfer


def _files(folder: Path, claim: UnfinishedObject | None) -> ObjectFiles:
    return ObjectFiles(folder / "a.nc", folder / "a.nc.part", claim, lambda: (), bool)


def test_a_recorded_md5_without_its_bytes_is_not_used(tmp_path: Path) -> None:
    """Otherwise it would approve whatever bytes are in their place."""
    (tmp_path / "a.nc.part").write_bytes(DATA)
    transfer = _transfer(tmp_path)
    digests = {0: MD5S[0], 1: MD5S[1], 2: MD5S[2], 9: MD5S[0]}
    claim = UnfinishedObject(0, ((0, PART), (2 * PART, 3 * PART - 1)), digests, PART)
    resume_part_file(transfer, _files(tmp_path, claim))
    assert list(transfer.done) == [(0, PART), (2 * PART, 3 * PART - 1)]
    assert transfer.recorded_md5s == {0: MD5S[0]}
    assert transfer.digest is not None
    assert transfer.digest.part_md5s() == {}, "recorded MD5s are compared with the disk and prove nothing"


@pytest.mark.parametrize("reopened", [False, True])
def test_after_a_disk_failure_the_page_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reopened: bool
) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(part_file, "drop_page_cache", dropped.append)
    (tmp_path / "a.nc.part").write_bytes(DATA)
    transfer = _transfer(tmp_path)
    resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((0, PART),))), reopened=reopened)
    assert transfer.part is not None
    transfer.part.acquire()
    transfer.part.release()
    assert len(dropped) == reopened


def test_bytes_beyond_a_truncated_part_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.nc.part").write_bytes(DATA[: 2 * PART - 1])
    transfer = _transfer(tmp_path)
    resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((0, 3 * PART),), dict(enumerate(MD5S)), PART)))
    assert list(transfer.done) == [(0, 2 * PART - 1)]
    assert transfer.recorded_md5s == {0: MD5S[0]}


def test_a_truncated_part_file_without_md5s_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.nc.part").write_bytes(DATA[:-1])
    transfer = _transfer(tmp_path)
    transfer.digest = None
    resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((0, PART),))))
    assert not transfer.done


def test_a_part_file_larger_than_the_object_is_not_used(tmp_path: Path) -> None:
    for data in (None, DATA + b"x"):
        if data is not None:
            (tmp_path / "a.nc.part").write_bytes(data)
        transfer = _transfer(tmp_path)
        resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((0, PART),), {0: MD5S[0]}, PART)))
        assert not transfer.done


def test_recorded_md5s_of_another_part_size_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "a.nc.part").write_bytes(DATA)
    for part_size in (0, PART - 1):
        transfer = _transfer(tmp_path)
        resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((0, PART),), {0: MD5S[0]}, part_size)))
        assert transfer.done
        assert transfer.recorded_md5s == {}


def test_md5s_of_other_part_sizes_are_dropped_once_the_part_size_is_known(tmp_path: Path) -> None:
    for told, recorded in ((PART, {0: MD5S[0]}), (PART + 1, {})):
        transfer = _transfer(tmp_path)
        transfer.part_size_guesses, transfer.recorded_md5s = [PART], {0: MD5S[0]}
        transfer.set_part_size(told)
        assert (transfer.part_size_guesses, transfer.recorded_md5s) == ([], recorded)
        assert transfer.digest is not None
        assert transfer.digest.parts[0] == (0, told)


def test_recorded_ranges_beyond_the_object_are_clipped(tmp_path: Path) -> None:
    (tmp_path / "a.nc.part").write_bytes(DATA)
    transfer = _transfer(tmp_path)
    resume_part_file(transfer, _files(tmp_path, UnfinishedObject(0, ((3 * PART, 99 * PART),), {})))
    assert list(transfer.done) == [(3 * PART, 4 * PART)]


def test_intact_parts_of_a_damaged_file_are_copied(tmp_path: Path) -> None:
    spoilt = bytearray(DATA)
    spoilt[PART + 5] ^= 1
    (tmp_path / "a.nc").write_bytes(spoilt[:-1])  # the last part is truncated
    transfer = _transfer(tmp_path)
    reuse_final_file(transfer, tmp_path / "a.nc", len(DATA) - 1, MD5S, lambda: False)
    assert list(transfer.done) == [(0, PART), (2 * PART, 3 * PART)]
    assert transfer.part is not None
    assert transfer.part.path.read_bytes()[2 * PART : 3 * PART] == DATA[2 * PART : 3 * PART]


def test_recorded_md5s_that_do_not_give_the_etag_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(DATA)
    for forged in ((MD5S[1], *MD5S[1:]), MD5S[:3], ()):
        transfer = _transfer(tmp_path)
        reuse_final_file(transfer, tmp_path / "a.nc", len(DATA), forged, lambda: False)
        assert not transfer.done


def test_a_final_file_replaced_while_it_is_hashed_is_not_verified(tmp_path: Path) -> None:
    """The name belongs to another file by then, whatever the bytes of the first one were."""
    final = tmp_path / "a.nc"
    final.write_bytes(DATA)
    assert verify_final_file(_transfer(tmp_path), final, EtagTrust(opaque=False), lambda: None, lambda: False)

    def replaced() -> bool:
        other = tmp_path / "other"
        other.write_bytes(bytes(len(DATA)))
        os.utime(other, (1, 1))
        other.replace(final)
        return False

    if os.name == "nt":
        return  # an open file cannot be replaced on Windows
    assert verify_final_file(_transfer(tmp_path), final, EtagTrust(opaque=False), lambda: None, replaced) is None
