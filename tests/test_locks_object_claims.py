"""Object claims: who holds one, when it is stale, and that no planted or leftover claim blocks anybody."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from era5dl.engine import worker
from era5dl.engine.events import FileRetrying
from era5dl.engine.transfer import Transfer
from era5dl.errors import ClaimedElsewhere, SessionBusy
from era5dl.folder.paths import OWN_FOLDER
from era5dl.locks import lock_file as lock_module
from era5dl.locks import object_claims as claims_module
from era5dl.locks.lock_file import LEASE, Lock
from era5dl.locks.object_claims import UNKNOWN_OWNER, ObjectClaims
from era5dl.locks.owner import STALE_AFTER, Owner
from tests.faultlab import FaultServer, pseudo_random
from tests.runs import fetch_all

KEYS = ("a/one.nc", "a/two.nc", "a/ÄÖÜ.nc", "A/One.NC")
OTHER, TOKEN = "0123456789ab", "f" * 16


class ClaimingSession:
    """The lock and the claims of one session in a folder."""

    def __init__(self, home: Path, session: str) -> None:
        self.lock = Lock.acquire(home / f"{session}.lock")
        self.claims = ObjectClaims(home, session, self.lock, KEYS.__getitem__)

    def close(self) -> None:
        self.claims.close()
        self.lock.release()


@pytest.fixture(params=["links", "no links"])
def home(request, tmp_path, monkeypatch) -> Path:
    """On a disk with hard links and on one without, such as exFAT."""
    if request.param == "no links":

        def none(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", none)
    return tmp_path


@pytest.fixture
def mine(home):
    session = ClaimingSession(home, "a" * 12)
    yield session
    session.close()


def claim_file(session: ClaimingSession, index: int = 0) -> Path:
    return Path(session.claims._claim_file(index))


def write_lock(home: Path, *, age: float = 0.0, **changes: object) -> Path:
    """Write the lock of a session on another computer, with its last heartbeat `age` seconds ago."""
    path = home / f"{OTHER}.lock"
    owner = Owner(4711, "elsewhere.example", 1.0, 1_700_000_000.0, "era5dl", TOKEN, kernel=False, boot="b", pids="1")
    raw = {name: getattr(owner, name) for name in owner.__slots__}
    path.write_text(json.dumps({**raw, **changes}))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def write_claim(session: ClaimingSession, text: str | None = None, *, age: float = 0.0) -> Path:
    path = claim_file(session)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps({"session": OTHER, "token": TOKEN}) if text is None else text)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_one_session_holds_a_claim_and_others_learn_which(home, mine):
    other = ClaimingSession(home, OTHER)
    assert mine.claims.claim(0) == ""
    assert mine.claims.claim(0) == "", "claiming again is harmless"
    assert f"process {os.getpid()} on" in other.claims.claim(0)
    assert other.claims.claim(1) == ""
    mine.claims.release(0)
    mine.claims.release(0)
    assert other.claims.claim(0) == ""
    other.close()
    mine.close()
    assert list(home.iterdir()) == []


def test_paths_that_differ_only_in_case_share_a_claim(mine):
    assert claim_file(mine, 0) == claim_file(mine, 3) != claim_file(mine, 1)


def test_claims_of_an_ended_session_are_stale(home, mine):
    other = ClaimingSession(home, OTHER)
    assert other.claims.claim(0) == ""
    other.lock.release()  # its claims remain
    assert mine.claims.claim(0) == ""


def test_claim_made_under_an_earlier_lock_of_its_session_is_stale(home, mine):
    write_claim(mine)
    write_lock(home, token="e" * 16)
    assert mine.claims.claim(0) == ""


def test_claim_of_other_computer_is_valid_while_its_lock_has_a_heartbeat(home, mine):
    write_claim(mine)
    write_lock(home, age=STALE_AFTER - 30)
    assert "elsewhere.example" in mine.claims.claim(0)
    write_lock(home, age=STALE_AFTER + 1)
    expire_lock_cache(mine)
    assert mine.claims.claim(0) == ""
    assert json.loads(claim_file(mine).read_text())["session"] == "a" * 12


def expire_lock_cache(session: ClaimingSession) -> None:
    """Make the session read the locks of other sessions again."""
    for known in session.claims._known_locks.values():
        known.read_at = 0.0


def test_heartbeat_age_is_measured_by_the_file_servers_clock(home, mine, monkeypatch):
    write_claim(mine)
    write_lock(home)
    hour_ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_ahead)
    assert "elsewhere.example" in mine.claims.claim(0)


def test_lock_with_modification_time_in_the_future_is_stale_after_a_minute_unchanged(home, mine, monkeypatch):
    write_claim(mine)
    lock = write_lock(home, age=-3600)
    monkeypatch.setattr(claims_module, "_LOCK_CACHE_TIME", 0.0)
    assert "elsewhere.example" in mine.claims.claim(0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + STALE_AFTER - 1)
    os.utime(lock, (time.time() + 7200,) * 2)  # its owner is alive, whatever its clock says
    assert "elsewhere.example" in mine.claims.claim(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + STALE_AFTER + 1)
    assert "elsewhere.example" in mine.claims.claim(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * STALE_AFTER)
    assert mine.claims.claim(0) == ""


def test_lock_that_may_not_be_read_is_stale_after_a_minute(home, mine, monkeypatch):
    write_claim(mine)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(claims_module, "read_lock_file", refused)
    monkeypatch.setattr(claims_module, "_LOCK_CACHE_TIME", 0.0)
    assert mine.claims.claim(0) == UNKNOWN_OWNER
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + STALE_AFTER + 1)
    assert mine.claims.claim(0) == ""


@pytest.mark.parametrize("text", ["", "{", "\0" * 300, "[]", '{"session": "../../etc", "token": 1}', "x" * 10**6])
def test_unreadable_claim_is_valid_for_a_minute(mine, text):
    write_claim(mine, text, age=STALE_AFTER - 30)
    assert mine.claims.claim(0) == UNKNOWN_OWNER  # it may be one that is just being written
    for age in (STALE_AFTER + 1, -3600):
        write_claim(mine, text, age=age)
        assert mine.claims.claim(0) == ""
        mine.claims.release(0)


def test_symlink_at_claim_path_is_not_followed_and_folder_is_not_removed(home, mine, tmp_path_factory):
    victim = tmp_path_factory.mktemp("outside") / "victim"
    victim.write_text("precious")
    claim_file(mine, 0).symlink_to(victim)
    os.utime(claim_file(mine, 0), (1.0, 1.0), follow_symlinks=False)
    assert mine.claims.claim(0) == ""
    assert victim.read_text() == "precious"
    claim_file(mine, 1).mkdir()
    os.utime(claim_file(mine, 1), (1.0, 1.0))
    assert mine.claims.claim(1) == "", "the object is fetched without a claim"
    mine.claims.remove_stale()
    assert claim_file(mine, 1).is_dir()


def test_stale_claim_that_cannot_be_removed_does_not_block(home, mine, monkeypatch):
    """It may belong to another user, in a folder with the sticky bit."""
    write_claim(mine)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refused)
    assert mine.claims.claim(0) == ""


def test_objects_are_fetched_without_claims_when_claims_cannot_be_written(home, mine, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ObjectClaims, "_write", full)
    assert mine.claims.claim(0) == ""
    mine.claims.ensure_held(0)
    mine.claims.release(0)


def test_remove_stale_removes_claims_of_dead_sessions_only(home, mine):
    other = ClaimingSession(home, OTHER)
    for index in (0, 1):
        assert other.claims.claim(index) == ""
    mine.claims.claim(2)
    before = set(home.iterdir())
    mine.claims.remove_stale()
    assert set(home.iterdir()) == before
    other.lock.release()
    expire_lock_cache(mine)
    mine.claims.remove_stale()
    assert not claim_file(other, 0).exists()
    assert not claim_file(other, 1).exists()
    assert claim_file(mine, 2).exists()
    mine.close()
    assert list(home.iterdir()) == []


def test_session_that_was_frozen_checks_its_claims_before_writing(home, mine, monkeypatch):
    assert mine.claims.claim(0) == mine.claims.claim(1) == mine.claims.claim(2) == ""
    write_lock(home)
    write_claim(mine)
    claim_file(mine, 1).unlink()  # another session took it over and has finished the object
    mine.claims.ensure_held(0)  # the lease has not run out
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    for _ in range(2):  # the answer stays the same
        with pytest.raises(ClaimedElsewhere, match=r"elsewhere\.example.*has taken this file over"):
            mine.claims.ensure_held(0)
    with pytest.raises(ClaimedElsewhere, match=UNKNOWN_OWNER):
        mine.claims.ensure_held(1)
    mine.claims.release(0)
    assert claim_file(mine).exists(), "it belongs to the other session"
    mine.claims.ensure_held(2)
    planted = json.loads(mine.lock.path.read_text()) | {"token": TOKEN, "host": "elsewhere.example"}
    mine.lock.path.write_text(json.dumps(planted))
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + 2 * LEASE + 2 for clock in now))
    with pytest.raises(SessionBusy):
        mine.claims.ensure_held(2)


@pytest.mark.parametrize("round_", range(5))
def test_only_one_of_many_concurrent_sessions_takes_over_a_stale_claim(home, mine, round_):
    write_claim(mine, age=STALE_AFTER + 1)
    others = [ClaimingSession(home, f"{n}" * 12) for n in range(6)]
    ready, got = threading.Barrier(len(others)), []

    def take(session: ClaimingSession) -> None:
        ready.wait()
        if not session.claims.claim(0):
            got.append(session)

    takers = [threading.Thread(target=take, args=(session,)) for session in others]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    named = json.loads(claim_file(mine).read_text())["token"]
    assert named in [session.lock.token for session in got]
    assert len(got) == 1
    for session in others:
        session.close()


def test_session_frozen_during_verification_does_not_finish_an_object_claimed_elsewhere(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_server.put("a.nc", pseudo_random(1, 100_000))
    verify_part_file, clocks = worker.verify_part_file, lock_module._clocks

    def then_freeze(transfer: Transfer, *rest: Any) -> Any:
        found = verify_part_file(transfer, *rest)
        monkeypatch.setattr(worker, "verify_part_file", verify_part_file)
        session = next((tmp_path / OWN_FOLDER).glob("*.lock")).stem
        (claim,) = (path for path in (tmp_path / OWN_FOLDER).glob("*.claim") if path.stem != session)
        claim.unlink()
        claim.write_text(json.dumps({"session": "0" * 12, "token": "0" * 16}), encoding="ascii")
        now = clocks()
        monkeypatch.setattr(lock_module, "_clocks", lambda: (now[0] + 2 * LEASE, now[1] + 2 * LEASE))
        return found

    monkeypatch.setattr(worker, "verify_part_file", then_freeze)
    ran = fetch_all(fault_server, tmp_path)
    assert [event.kind for event in ran.events_of(FileRetrying)] == ["ClaimedElsewhere"]
    assert ran.wait_for_end().verified == 1, "the other session is dead"
