"""Tests of bytes that do not match the ETag: they never get the final name, and the run reports a failure."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.s3 import S3Bucket
from era5dl.cli.exit_codes import for_run
from era5dl.engine import dispatch, verification, worker
from era5dl.engine.engine import Engine
from era5dl.engine.events import Event, FileDone, FileFailed, FileRetrying, Outcome, State
from era5dl.engine.job_queue import PrepareJob
from era5dl.engine.prepare import PartSizes, choose_digest
from era5dl.engine.transfer import Transfer
from era5dl.engine.verification import EtagTrust, VerificationResult, ranges_to_refetch, verify_part_file
from era5dl.engine.verify_files import FileCondition, verify
from era5dl.folder.part_file import PartFile
from era5dl.ranges import RangeSet
from era5dl.session import Session
from tests.faultlab import Fault, FaultServer, etag_of, pseudo_random
from tests.faultlab.http import Request
from tests.runs import EngineRun, fetch_all, leftovers, plan_of, running, settings_for, wrong_files

KEY = "a.nc"
MIB = 1 << 20
NO_MD5 = f'"{"0" * 32}"'
OBJECTS = {"1 byte": (1, None), "310 kB": (310_007, None), "21 MB": (21_000_000, None), "parts": (21_000_000, 5 * MIB)}


class Flips:
    """A source of faults: flips one bit in each of the first `count` bodies of an object."""

    def __init__(self, count: float, *, elsewhere: bool, key: str = KEY) -> None:
        self._count, self._elsewhere, self._key = count, elsewhere, key
        self._struck = itertools.count()

    def pick(self, request: Request) -> Fault | None:
        if request.operation != "get" or request.key != self._key or (number := next(self._struck)) >= self._count:
            return None
        return Fault("flipped-bit", at=7919 * number if self._elsewhere else 77)


def assert_correct_or_failed(ran: EngineRun, folder: Path, data: bytes) -> None:
    """Assert that the file is correct and verified, or absent and failed."""
    ended = ran.wait_for_end()
    if (folder / KEY).exists():
        assert wrong_files(folder, {KEY: data}) == []
        assert (ended.verified, ended.failed, for_run(ended, 0)) == (1, 0, 0)
    else:
        (failed,) = ran.events_of(FileFailed)[-1:]
        assert failed.kind == "ProofError"
        assert failed.remedy
        assert (ended.verified, ended.checked, ended.failed, for_run(ended, 0)) == (0, 0, 1, 1)
    assert leftovers(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "same place"])
@pytest.mark.parametrize(
    ("kind", "flips"),
    [*itertools.product(["1 byte", "310 kB"], [1, 2, 3, 4, 5, 20]), *itertools.product(["21 MB", "parts"], [1, 3, 20])],
)
def test_repeated_bit_flips(fault_server: FaultServer, tmp_path: Path, kind: str, flips: int, elsewhere: bool) -> None:
    size, part_size = OBJECTS[kind]
    data = pseudo_random(kind, size)
    fault_server.put(KEY, data, part_size=part_size)
    fault_server.put("b.nc", pseudo_random("b", 1000), part_size=500 if part_size else None)
    fault_server.add(Flips(flips, elsewhere=elsewhere))
    with running(fault_server, tmp_path, prefix="b") as before:  # so that an ETag of this form has matched
        before.wait_for_end()
    ran = fetch_all(fault_server, tmp_path, prefix="a")
    assert_correct_or_failed(ran, tmp_path, data)
    if flips == 1:
        assert (tmp_path / KEY).exists()
    again = fetch_all(fault_server, tmp_path, prefix="a")
    assert_correct_or_failed(again, tmp_path, data)


def test_failed_bytes_are_kept_under_another_name(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    fault_server.add(Flips(2 * verification.MAX_IDENTICAL_FETCHES, elsewhere=False))
    first = fetch_all(fault_server, tmp_path)
    assert [failed.key for failed in first.events_of(FileFailed)] == [KEY]
    (aside,) = (path for path in tmp_path.iterdir() if path.is_file())
    assert aside.suffix == ".mismatch"
    assert aside.stat().st_size == len(data)
    assert "--opaque-etags" in first.events_of(FileFailed)[0].remedy
    assert first.engine.snapshot().done_bytes == 0
    assert first.session.checkpoint.unfinished == (), "none of its bytes can be reused"

    assert fetch_all(fault_server, tmp_path).wait_for_end().failed == 1
    assert list(tmp_path.glob(f"{KEY}*")) == [aside], "only one file of wrong bytes is kept"
    ran = fetch_all(fault_server, tmp_path)
    assert ran.wait_for_end().verified == 1
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert not aside.exists(), "the correct file exists now"


def test_kept_bytes_are_deleted_once_another_program_has_written_the_file(
    fault_server: FaultServer, tmp_path: Path
) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    fault_server.add(Flips(verification.MAX_IDENTICAL_FETCHES, elsewhere=False))
    fetch_all(fault_server, tmp_path)
    (aside,) = tmp_path.glob("*.mismatch")
    (tmp_path / KEY).write_bytes(data)
    assert fetch_all(fault_server, tmp_path).wait_for_end().verified == 1
    assert not aside.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pause", "stop", "hold"])
@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "same place"])
def test_interruptions_between_the_fetches(
    fault_server: FaultServer, tmp_path: Path, command: str, elsewhere: bool
) -> None:
    """The bytes on disk are verified again after an interruption, which must not count as another fetch."""
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    fault_server.add(Flips(float("inf"), elsewhere=elsewhere))

    runs: list[EngineRun] = []
    interruptions = itertools.count()

    def interrupt(event: Event) -> None:
        if isinstance(event, FileRetrying) and next(interruptions) < 12:  # holding a file starts it again each time
            engine = runs[-1].engine
            {"pause": engine.pause, "stop": engine.stop, "hold": lambda: engine.hold([0])}[command]()

    for _ in range(6):
        with running(fault_server, tmp_path, on_event=interrupt) as ran:
            runs.append(ran)
            while not ran.engine.wait(0.02):
                if ran.engine.snapshot().state is State.PAUSED:
                    ran.engine.resume()
        assert not (tmp_path / KEY).exists()
        assert not ran.events_of(FileDone)
        assert for_run(ran.wait_for_end(), 0) != 0


def test_verifying_the_same_bytes_again_is_not_counted(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    bucket = S3Bucket(settings_for(fault_server))
    (obj,) = bucket.list(KEY)
    part = PartFile(tmp_path / "a.part", len(data))
    part.acquire()
    part.write(0, memoryview(bytes([data[0] ^ 1]) + data[1:]))
    part.release()
    transfer = Transfer(0, obj, [(0, obj.size)], RangeSet([(0, obj.size)]), part=part, prepared=True)
    choose_digest(transfer, PartSizes(bucket), verify=True)
    trust = EtagTrust(opaque=False)
    for _ in range(2 * verification.MAX_FETCHES):
        assert verify_part_file(transfer, trust, lambda: None, bool) is None
    assert transfer.mismatches == []
    assert ranges_to_refetch(transfer, etag_is_md5=True) == [(0, obj.size)]
    assert len(transfer.mismatches) == 1


def test_a_pause_during_the_last_verification(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause does not undo the failure."""
    fault_server.put(KEY, pseudo_random(1, 310_007))
    fault_server.add(Flips(float("inf"), elsewhere=True))
    examinations = itertools.count(1)

    def pausing(transfer: Transfer, *rest: Any) -> VerificationResult | None:
        if next(examinations) == verification.MAX_FETCHES:
            ran.engine.pause()
        return verify_part_file(transfer, *rest)

    monkeypatch.setattr(worker, "verify_part_file", pausing)
    with running(fault_server, tmp_path) as ran:
        ran.wait_until(lambda: bool(ran.events_of(FileFailed)))
        ran.engine.resume()
        assert ran.wait_for_end().failed == 1
    assert next(examinations) == verification.MAX_FETCHES + 1


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "same place"])
def test_kill_9_between_the_fetches(fault_server: FaultServer, tmp_path: Path, elsewhere: bool) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    fault_server.add(Flips(float("inf"), elsewhere=elsewhere))
    (tmp_path / "keys.txt").write_text(KEY)
    out = tmp_path / "out"
    words = [sys.executable, "-m", "era5dl", "download", "--keys-file", str(tmp_path / "keys.txt"), "--out", str(out)]
    words += ["--endpoint-url", fault_server.endpoint_url, "--bucket", fault_server.bucket, "--json"]
    for kills in [*range(1, 5), 0]:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
            assert program.stdout is not None
            for line in program.stdout:
                if '"file-retrying"' in line and kills:
                    os.kill(program.pid, signal.SIGKILL)
                    break
        assert not (out / KEY).exists()
        assert program.returncode == (-signal.SIGKILL if kills else 1)


@pytest.mark.slow
def test_a_full_disk_between_the_fetches(fault_server: FaultServer, small_disk: Path) -> None:
    data = pseudo_random(1, 310_007)
    fault_server.put(KEY, data)
    fault_server.add(Flips(float("inf"), elsewhere=True))
    ballast = small_disk / "ballast"

    def fill(event: Event) -> None:
        if isinstance(event, FileRetrying) and not ballast.exists():
            with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(65536))

    with running(fault_server, small_disk, on_event=fill) as ran:
        while not ran.engine.wait(0.05):
            if ran.engine.snapshot().state is State.WAITING_FOR_DISK:
                ballast.unlink(missing_ok=True)
        assert_correct_or_failed(ran, small_disk, data)


def test_an_empty_object_with_a_wrong_etag(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, b"", etag=NO_MD5)
    ran = fetch_all(fault_server, tmp_path)
    assert [failed.kind for failed in ran.events_of(FileFailed)] == ["ProofError"]
    assert not (tmp_path / KEY).exists()


# -- ETags that look like MD5s but are not ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "multipart"])
def test_a_server_whose_etags_look_like_md5s_but_are_not(fault_server: FaultServer, tmp_path: Path, form: str) -> None:
    """The files fail soon and with the remedy, unless the user has set opaque_etags."""
    objects = {f"{n}.nc": pseudo_random(n, 300_000) for n in range(3)}
    for key, data in objects.items():
        fault_server.put(key, data, part_size=100_000 if form == "multipart" else None, etag=NO_MD5)
    ran = fetch_all(fault_server, tmp_path)
    assert ran.wait_for_end().failed == 3
    assert all("--opaque-etags" in failed.remedy for failed in ran.events_of(FileFailed))
    assert fault_server.stats().payload == verification.MAX_IDENTICAL_FETCHES * 3 * 300_000
    fault_server.reset_stats()

    ran = fetch_all(fault_server, tmp_path, opaque_etags=True)
    assert wrong_files(tmp_path, objects) == []
    assert {done.outcome for done in ran.events_of(FileDone)} == {Outcome.CHECKED}
    assert {done.reason.split(";")[0] for done in ran.events_of(FileDone)} == {verification.ETAG_MISMATCH}
    assert fault_server.stats().payload == 3 * 300_000


@pytest.mark.parametrize("verified", ["0.nc", "z.nc"], ids=["before it", "after it"])
def test_opaque_etags_does_not_apply_to_etags_that_match(
    fault_server: FaultServer, tmp_path: Path, verified: str
) -> None:
    data = pseudo_random(1, 300_000)
    fault_server.put(KEY, data)
    fault_server.put(verified, pseudo_random(2, 1000))
    fault_server.add(Flips(float("inf"), elsewhere=False))
    ran = fetch_all(fault_server, tmp_path, workers=1, opaque_etags=True)
    ended = ran.wait_for_end()
    assert (ended.verified, ended.checked, ended.failed) == (1, 0, 1)
    assert not (tmp_path / KEY).exists()
    assert [path.suffix for path in tmp_path.glob(f"{KEY}*")] == [".mismatch"]


def test_a_match_of_the_other_etag_form_is_irrelevant(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = {KEY: pseudo_random(1, 300_000), "0.nc": pseudo_random(2, 300_000)}
    fault_server.put(KEY, objects[KEY], etag=NO_MD5)
    fault_server.put("0.nc", objects["0.nc"], part_size=100_000)
    ran = fetch_all(fault_server, tmp_path, workers=1, opaque_etags=True)
    assert wrong_files(tmp_path, objects) == []
    assert (ran.wait_for_end().verified, ran.wait_for_end().checked) == (1, 1)


def test_a_match_during_another_verification_is_taken_into_account(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put(KEY, pseudo_random(1, 300_000))
    settings = settings_for(fault_server, opaque_etags=True)
    bucket = S3Bucket(settings)
    with Session.begin(tmp_path, plan_of(bucket), settings) as session:
        run = Engine(bucket, session, settings)._run
        run.space_checked = True
        job = dispatch.next_job(run, 0, None, Abort())
        assert isinstance(job, PrepareJob)
        found = verification.VerificationResult(Outcome.CHECKED, verification.ETAG_MISMATCH)
        # Another object matches its ETag before this result is recorded.
        run.etag_trust.record_match(etag_of(b"another"))
        dispatch.record_prepared(run, job, found)
        assert 0 not in run.session_state.checked
        assert 0 in run.recheck
        assert isinstance(dispatch.next_job(run, 0, None, Abort()), PrepareJob), "it is prepared again"


# -- files that an earlier run has recorded as checked ---------------------------------------------------------------


def checked_before(server: FaultServer, folder: Path, data: bytes, on_disk: bytes) -> None:
    """Create a folder with a finished session, in which KEY was checked and not verified."""
    server.put(KEY, data)
    fetch_all(server, folder, verify=False)
    (folder / KEY).write_bytes(on_disk)
    with Session.open(folder) as session:
        assert 0 in session.checkpoint.checked
        assert session.checkpoint.ended
    server.reset_stats()


def test_a_wrong_file_recorded_as_checked_is_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    checked_before(fault_server, tmp_path, data, b"\0" + data[1:])
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {KEY: data}) == []
    assert (ran.wait_for_end().verified, ran.wait_for_end().checked) == (1, 0)
    assert [path.name for path in tmp_path.glob(f"{KEY}*")] == [KEY], "the file kept meanwhile is gone"


def test_a_wrong_file_loses_its_name_even_if_the_download_fails(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    checked_before(fault_server, tmp_path, data, b"\0" + data[1:])
    fault_server.add(Flips(float("inf"), elsewhere=True))
    ran = fetch_all(fault_server, tmp_path)
    assert ran.wait_for_end().failed == 1
    assert [path.suffix for path in tmp_path.glob(f"{KEY}*")] == [".mismatch"]


def test_a_correct_file_recorded_as_checked_becomes_verified(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    checked_before(fault_server, tmp_path, data, data)
    ran = fetch_all(fault_server, tmp_path)
    assert (ran.wait_for_end().verified, ran.wait_for_end().checked) == (1, 0)
    assert fault_server.stats().payload == 0


def test_verify_distinguishes_wrong_files_from_opaque_etags(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    fault_server.put(KEY, data, etag=NO_MD5)
    fetch_all(fault_server, tmp_path, opaque_etags=True)
    bucket = S3Bucket(settings_for(fault_server))
    with Session.open(tmp_path) as session:
        assert [one.condition for one in verify(bucket, session, lambda _: None)] == [FileCondition.WRONG]
        told: list[FileCondition] = []
        found = verify(bucket, session, lambda one: told.append(one.condition), opaque_etags=True)
        assert [one.condition for one in found] == told == [FileCondition.CHECKED]


def test_verify_finds_a_wrong_file_among_correct_ones(fault_server: FaultServer, tmp_path: Path) -> None:
    for n in range(3):
        fault_server.put(f"{n}.nc", pseudo_random(n, 300_000))
    fetch_all(fault_server, tmp_path)
    (tmp_path / "0.nc").write_bytes(b"\0" * 300_000)
    with Session.open(tmp_path) as session:
        found = verify(S3Bucket(settings_for(fault_server)), session, lambda _: None, opaque_etags=True)
    assert [one.condition for one in found] == [FileCondition.WRONG, FileCondition.VERIFIED, FileCondition.VERIFIED]


def test_the_error_names_the_probable_cause(fault_server: FaultServer, tmp_path: Path) -> None:
    """Different bytes each time are altered in transit; identical bytes may mean that the ETag is not an MD5."""
    fault_server.put(KEY, pseudo_random(1, 300_000))
    fault_server.add(Flips(float("inf"), elsewhere=True))
    (failed,) = fetch_all(fault_server, tmp_path).events_of(FileFailed)
    assert failed.remedy == verification.REMEDY_ALTERED


# -- existing files of unknown origin, without an MD5 ETag -----------------------------------------------------------

PLAIN = "a.bin"  # a name that implies no file structure
OPAQUE_ETAG = '"65920080-20000000"'


def test_an_unverified_file_of_the_right_size_is_fetched_again(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    fault_server.put(PLAIN, data, etag=OPAQUE_ETAG)
    (tmp_path / PLAIN).write_bytes(pseudo_random("older version", len(data)))
    ran = fetch_all(fault_server, tmp_path)
    assert wrong_files(tmp_path, {PLAIN: data}) == []
    assert ran.wait_for_end().checked == 1


def test_without_verification_a_file_of_the_right_size_is_kept(fault_server: FaultServer, tmp_path: Path) -> None:
    data = pseudo_random(1, 300_000)
    fault_server.put(PLAIN, data)
    (tmp_path / PLAIN).write_bytes(data)
    ran = fetch_all(fault_server, tmp_path, verify=False)
    assert [done.adopted for done in ran.events_of(FileDone)] == [True]
    assert fault_server.stats().payload == 0


def test_a_file_checked_by_another_session_is_kept(fault_server: FaultServer, tmp_path: Path) -> None:
    for key in (PLAIN, "b.bin"):
        fault_server.put(key, pseudo_random(key, 300_000), etag=OPAQUE_ETAG)
    fetch_all(fault_server, tmp_path, prefix="a")
    fault_server.reset_stats()
    ran = fetch_all(fault_server, tmp_path)
    assert {done.key: done.adopted for done in ran.events_of(FileDone)} == {PLAIN: True, "b.bin": False}
    assert fault_server.stats().payload == 300_000

    fault_server.put(PLAIN, pseudo_random("new", 300_000), etag='"65920081-20000000"')
    fetch_all(fault_server, tmp_path, prefix="a")
    assert wrong_files(tmp_path, {PLAIN: pseudo_random("new", 300_000)}) == [], "the recorded file has another version"
