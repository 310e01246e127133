"""Claims on objects: who has one, when it is void, and that nothing planted or left over holds anybody up."""

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
from era5dl.locks.object_claims import SOMEBODY, ObjectClaims
from era5dl.locks.owner import SILENCE, Owner
from tests.faultlab import FaultServer, pseudo_random
from tests.runs import fetch_all

KEYS = ("a/one.nc", "a/two.nc", "a/ÄÖÜ.nc", "A/One.NC")
OTHER, TOKEN = "0123456789ab", "f" * 16


class Holder:
    """A session's lock and claims in a folder."""

    def __init__(self, home: Path, session: str) -> None:
        self.lock = Lock.take(home / f"{session}.lock")
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
    holder = Holder(home, "a" * 12)
    yield holder
    holder.close()


def claim_file(holder: Holder, index: int = 0) -> Path:
    return Path(holder.claims._file(index))


def planted_lock(home: Path, *, silent: float = 0.0, **changes: object) -> Path:
    """The lock of a session on another computer, touched so many seconds ago."""
    path = home / f"{OTHER}.lock"
    owner = Owner(4711, "elsewhere.example", 1.0, 1_700_000_000.0, "era5dl", TOKEN, kernel=False, boot="b", pids="1")
    raw = {name: getattr(owner, name) for name in owner.__slots__}
    path.write_text(json.dumps({**raw, **changes}))
    then = time.time() - silent
    os.utime(path, (then, then))
    return path


def planted_claim(holder: Holder, text: str | None = None, *, silent: float = 0.0) -> Path:
    path = claim_file(holder)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps({"session": OTHER, "token": TOKEN}) if text is None else text)
    then = time.time() - silent
    os.utime(path, (then, then))
    return path


def test_one_has_it_and_the_others_are_told_who(home, mine):
    other = Holder(home, OTHER)
    assert mine.claims.take(0) == ""
    assert mine.claims.take(0) == "", "whoever has it can ask again"
    assert f"process {os.getpid()} on" in other.claims.take(0)
    assert other.claims.take(1) == ""
    mine.claims.release(0)
    mine.claims.release(0)
    assert other.claims.take(0) == ""
    other.close()
    mine.close()
    assert list(home.iterdir()) == []


def test_one_file_where_case_makes_no_difference_is_one_object(mine):
    assert claim_file(mine, 0) == claim_file(mine, 3) != claim_file(mine, 1)


def test_of_a_session_that_has_ended_nothing_is_left_to_wait_for(home, mine):
    other = Holder(home, OTHER)
    assert other.claims.take(0) == ""
    other.lock.release()  # and its claims are left behind
    assert mine.claims.take(0) == ""


def test_a_claim_under_an_earlier_lock_of_its_session_is_void(home, mine):
    planted_claim(mine)
    planted_lock(home, token="e" * 16)
    assert mine.claims.take(0) == ""


def test_another_computers_claim_counts_as_long_as_its_lock_is_touched(home, mine):
    planted_claim(mine)
    planted_lock(home, silent=SILENCE - 30)
    assert "elsewhere.example" in mine.claims.take(0)
    planted_lock(home, silent=SILENCE + 1)
    look_again(mine)
    assert mine.claims.take(0) == ""
    assert json.loads(claim_file(mine).read_text())["session"] == "a" * 12


def look_again(holder: Holder) -> None:
    """As if the second had passed for which a look at a lock is good."""
    for watched in holder.claims._watched.values():
        watched.looked = 0.0


def test_silence_is_measured_by_the_file_servers_clock(home, mine, monkeypatch):
    planted_claim(mine)
    planted_lock(home)
    hour_ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_ahead)
    assert "elsewhere.example" in mine.claims.take(0)


def test_a_touch_in_the_future_counts_for_a_minute_of_watching(home, mine, monkeypatch):
    planted_claim(mine)
    lock = planted_lock(home, silent=-3600)
    monkeypatch.setattr(claims_module, "_KNOWN_FOR", 0.0)
    assert "elsewhere.example" in mine.claims.take(0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + SILENCE - 1)
    os.utime(lock, (time.time() + 7200,) * 2)  # its owner lives, whatever its clock says
    assert "elsewhere.example" in mine.claims.take(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + SILENCE + 1)
    assert "elsewhere.example" in mine.claims.take(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * SILENCE)
    assert mine.claims.take(0) == ""


def test_a_lock_that_may_not_be_read_is_waited_for_a_minute_at_most(home, mine, monkeypatch):
    planted_claim(mine)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(claims_module, "look", refused)
    monkeypatch.setattr(claims_module, "_KNOWN_FOR", 0.0)
    assert mine.claims.take(0) == SOMEBODY
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + SILENCE + 1)
    assert mine.claims.take(0) == ""


@pytest.mark.parametrize("text", ["", "{", "\0" * 300, "[]", '{"session": "../../etc", "token": 1}', "x" * 10**6])
def test_a_claim_that_says_nothing_counts_for_a_minute(mine, text):
    planted_claim(mine, text, silent=SILENCE - 30)
    assert mine.claims.take(0) == SOMEBODY  # it may be one that is being written
    for silent in (SILENCE + 1, -3600):
        planted_claim(mine, text, silent=silent)
        assert mine.claims.take(0) == ""
        mine.claims.release(0)


def test_a_link_in_its_place_is_not_followed_and_a_folder_is_left_alone(home, mine, tmp_path_factory):
    victim = tmp_path_factory.mktemp("outside") / "victim"
    victim.write_text("precious")
    claim_file(mine, 0).symlink_to(victim)
    os.utime(claim_file(mine, 0), (1.0, 1.0), follow_symlinks=False)
    assert mine.claims.take(0) == ""
    assert victim.read_text() == "precious"
    claim_file(mine, 1).mkdir()
    os.utime(claim_file(mine, 1), (1.0, 1.0))
    assert mine.claims.take(1) == "", "the object is fetched without a claim"
    mine.claims.sweep()
    assert claim_file(mine, 1).is_dir()


def test_a_void_claim_that_cannot_be_removed_is_not_waited_for(home, mine, monkeypatch):
    """It may be another user's, in a folder with the sticky bit."""
    planted_claim(mine)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refused)
    assert mine.claims.take(0) == ""


def test_where_nothing_can_be_written_objects_are_fetched_without_claims(home, mine, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ObjectClaims, "_write", full)
    assert mine.claims.take(0) == ""
    mine.claims.assure(0)
    mine.claims.release(0)


def test_claims_of_the_dead_are_swept_and_those_of_the_living_are_not(home, mine):
    other = Holder(home, OTHER)
    for index in (0, 1):
        assert other.claims.take(index) == ""
    mine.claims.take(2)
    before = set(home.iterdir())
    mine.claims.sweep()
    assert set(home.iterdir()) == before
    other.lock.release()
    look_again(mine)
    mine.claims.sweep()
    assert not claim_file(other, 0).exists()
    assert not claim_file(other, 1).exists()
    assert claim_file(mine, 2).exists()
    mine.close()
    assert list(home.iterdir()) == []


def test_whoever_was_frozen_looks_whether_the_object_is_still_theirs(home, mine, monkeypatch):
    assert mine.claims.take(0) == mine.claims.take(1) == mine.claims.take(2) == ""
    planted_lock(home)
    planted_claim(mine)
    claim_file(mine, 1).unlink()  # somebody took it over, and has finished it
    mine.claims.assure(0)  # so soon nobody can have taken it over
    now = lock_module._clocks()
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + LEASE + 1 for clock in now))
    for _ in range(2):  # whoever was interrupted meanwhile asks again
        with pytest.raises(ClaimedElsewhere, match=r"elsewhere\.example.*has taken this file over"):
            mine.claims.assure(0)
    with pytest.raises(ClaimedElsewhere, match=SOMEBODY):
        mine.claims.assure(1)
    mine.claims.release(0)
    assert claim_file(mine).exists(), "it is the other one's"
    mine.claims.assure(2)
    planted = json.loads(mine.lock.path.read_text()) | {"token": TOKEN, "host": "elsewhere.example"}
    mine.lock.path.write_text(json.dumps(planted))
    monkeypatch.setattr(lock_module, "_clocks", lambda: tuple(clock + 2 * LEASE + 2 for clock in now))
    with pytest.raises(SessionBusy):
        mine.claims.assure(2)


@pytest.mark.parametrize("round_", range(5))
def test_of_many_that_want_a_void_claim_one_gets_it(home, mine, round_):
    planted_claim(mine, silent=SILENCE + 1)
    others = [Holder(home, f"{n}" * 12) for n in range(6)]
    ready, got = threading.Barrier(len(others)), []

    def take(holder: Holder) -> None:
        ready.wait()
        if not holder.claims.take(0):
            got.append(holder)

    takers = [threading.Thread(target=take, args=(holder,)) for holder in others]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    named = json.loads(claim_file(mine).read_text())["token"]
    assert named in [holder.lock.token for holder in got]
    assert len(got) == 1
    for holder in others:
        holder.close()


def test_whoever_was_frozen_during_the_proof_gives_no_final_name_to_what_is_claimed_elsewhere(
    fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_server.put("a.nc", pseudo_random(1, 100_000))
    examine, clocks = worker.examine, lock_module._clocks

    def and_freeze(transfer: Transfer, *rest: Any) -> Any:
        found = examine(transfer, *rest)
        monkeypatch.setattr(worker, "examine", examine)
        session = next((tmp_path / OWN_FOLDER).glob("*.lock")).stem
        (claim,) = (path for path in (tmp_path / OWN_FOLDER).glob("*.claim") if path.stem != session)
        claim.unlink()
        claim.write_text(json.dumps({"session": "0" * 12, "token": "0" * 16}), encoding="ascii")
        now = clocks()
        monkeypatch.setattr(lock_module, "_clocks", lambda: (now[0] + 2 * LEASE, now[1] + 2 * LEASE))
        return found

    monkeypatch.setattr(worker, "examine", and_freeze)
    ran = fetch_all(fault_server, tmp_path)
    assert [event.kind for event in ran.said(FileRetrying)] == ["ClaimedElsewhere"]
    assert ran.end().verified == 1, "the other one is dead"
