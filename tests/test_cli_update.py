"""Tests of `era5dl update`: months that appear and files that are replaced in a bucket on a real S3 server."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.cli.commands import schedule, update
from era5dl.cli.json_output import event_names
from era5dl.errors import Unreachable
from era5dl.jobs import wait_for_network
from era5dl.session import Session
from tests.command_line import Command
from tests.servers.seaweed import Seaweed

SIZE = 40_000
_UNUSED = 2**64 - 1
# An HDF5 superblock whose end-of-file address is SIZE: without an MD5, other files would not count as complete.
SUPERBLOCK = b"\x89HDF\r\n\x1a\n" + struct.pack("<8B2HI4Q", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0, 0, _UNUSED, SIZE, _UNUSED)


class Archive:
    """A folder with files until "latest", and the bucket that they come from. months: keys, the oldest first."""

    def __init__(self, seaweed: Seaweed, folder: Path, state: Path) -> None:
        self.seaweed, self.folder = seaweed, folder
        self.run = Command(seaweed.endpoint_url, state)
        self._chance = random.Random(7)
        variable = find_variable("an.sfc/2d")
        today = datetime.now(timezone.utc).date()
        self.start = (today.replace(day=1) - timedelta(days=130)).replace(day=1)
        self.months = [key_of(variable, period) for period in periods(variable.product, self.start, today)]
        self.objects: dict[str, bytes] = {}

    def put(self, key: str) -> None:
        """Store an object with new bytes, all of the same size."""
        self.objects[key] = SUPERBLOCK + self._chance.randbytes(SIZE - len(SUPERBLOCK))
        self.seaweed.put(key, self.objects[key])

    def download(self, *more: str, end: str = "latest") -> None:
        words = ("download", "--variable", "an.sfc/2d", "--start", str(self.start), "--end", end, *more)
        done = self.run(*words, "--out", self.folder)
        assert done.returncode == 0, done.stderr

    def update(self, *more: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code and the records of an update."""
        done = self.run("update", self.folder, "--json", *more)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert {record["event"] for record in records} <= event_names()
        return done.returncode, records

    def is_current(self, key: str) -> bool:
        return (self.folder / key).read_bytes() == self.objects[key]


@pytest.fixture
def archive(seaweed: Seaweed, tmp_path: Path) -> Iterator[Archive]:
    found = Archive(seaweed, tmp_path / "my data", tmp_path / "state")
    for key in found.months[:2]:
        found.put(key)
    yield found
    for key in found.objects:
        seaweed.delete(key)


def counts(records: list[dict[str, Any]]) -> tuple[int, int, int]:
    (found,) = (record for record in records if record["event"] == "update")
    return found["new"], found["replaced"], found["withdrawn"]


def fetched(records: list[dict[str, Any]]) -> list[str]:
    return [record["key"] for record in records if record["event"] == "file-done" and not record["adopted"]]


def test_update_fetches_the_new_month_and_reports_the_replaced_file(archive: Archive) -> None:
    archive.download()
    quiet = archive.run("update", archive.folder, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", ""), "a scheduler sends mail for each output"
    first, second, third = archive.months[:3]
    archive.put(third)
    archive.put(first)
    code, records = archive.update()
    assert (code, counts(records), fetched(records)) == (1, (1, 1, 0), [third])
    (replaced,) = (record for record in records if record["event"] == "replaced")
    assert replaced["key"] == first and not replaced["taken"] and replaced["etag"] != replaced["recorded_etag"]
    (latest,) = (record for record in records if record["event"] == "latest")
    assert latest["product"] == "an.sfc" and 30 < latest["lag_days"] < 110
    assert not archive.is_current(first) and archive.is_current(third)
    code, records = archive.update()
    assert (code, counts(records), fetched(records)) == (1, (0, 1, 0), []), "it is reported until it is taken"
    code, records = archive.update("--take-replaced")
    assert (code, counts(records), fetched(records)) == (0, (0, 1, 0), [first])
    assert all(archive.is_current(key) for key in (first, second, third))
    archive.seaweed.delete(second)
    code, records = archive.update()
    assert (code, counts(records), fetched(records)) == (0, (0, 0, 1), [])
    assert archive.is_current(second), "the downloaded file stays"
    assert len(list((archive.folder / ".era5dl").glob("*.json"))) == 1, "it stays one session"


@pytest.mark.parametrize("option", ["--no-verify", "--opaque-etags"])
def test_new_version_of_the_same_size_is_taken_also_without_md5(archive: Archive, option: str) -> None:
    archive.download(option)
    first = archive.months[0]
    archive.put(first)
    code, records = archive.update("--take-replaced", *([option] if option == "--opaque-etags" else []))
    assert (code, counts(records), fetched(records)) == (0, (0, 1, 0), [first])
    assert archive.is_current(first)


def test_update_continues_a_download_with_an_end_only_if_asked(archive: Archive) -> None:
    last = date.fromisoformat(str(archive.start)) + timedelta(days=5)
    archive.download(end=str(last))
    none = archive.run("update", archive.folder)
    assert none.returncode == 3 and "--extend" in none.stderr
    code, records = archive.update("--extend")
    assert (code, fetched(records)[-1:]) == (0, [archive.months[1]])
    assert counts(records) == (1, 0, 0)
    archive.put(archive.months[2])
    code, records = archive.update()
    assert (code, fetched(records)) == (0, [archive.months[2]]), "now it ends in latest"


def test_scheduled_update_waits_for_the_network(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.download()
    monkeypatch.setattr(wait_for_network, "INTERVAL", 0.0)
    failures = [Unreachable("no route"), Unreachable("no route")]
    look_up = update.look_up

    def once_reachable(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return look_up(*given)

    monkeypatch.setattr(update, "look_up", once_reachable)
    assert archive.update()[0] == 3 and len(failures) == 1
    assert archive.update("--wait-for-network")[0] == 0 and not failures


def test_update_respects_the_lock_of_another_program(archive: Archive) -> None:
    archive.download()
    archive.put(archive.months[2])
    with Session.open(archive.folder):
        code, records = archive.update()
    assert code == 3 and "already working" in records[-1]["error"]
    assert archive.update()[0] == 0


def test_schedule_is_printed_for_the_folder(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.folder.mkdir()
    made = archive.run("update", archive.folder, "--schedule", "monthly", "--take-replaced", "--workers", "2", "--json")
    record = json.loads(made.stdout.splitlines()[0])
    assert made.returncode == 0 and record["event"] == "schedule" and not record["installed"]
    assert str(archive.folder) in record["text"] and "--take-replaced" in record["text"]
    assert "ERA5DL_ENDPOINT_URL is set here" in made.stderr
    assert "-m era5dl update" in record["text"].replace('"', "")
    monkeypatch.setattr(schedule, "is_frozen", lambda: True)
    frozen = archive.run("update", archive.folder, "--schedule", "monthly")
    assert "era5dl update" not in frozen.stdout.replace('"', ""), "a frozen program is the command itself"
    secret = archive.run("update", archive.folder, "--schedule", "daily", "--proxy", "http://me:secret@127.0.0.1:1")
    assert secret.returncode == 2 and "secret" not in secret.stderr + secret.stdout
    assert archive.run("update", archive.folder, "--install").returncode == 2
    assert archive.run("update", archive.folder / "no", "--schedule", "daily").returncode == 2
