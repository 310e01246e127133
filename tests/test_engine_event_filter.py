"""Tests of the event filter: one log line per state, none that repeats each second."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from era5dl.engine.events import ONLY_HELD, State, StateChanged, Throttled
from era5dl.engine.reporting import REPEAT_AFTER, EventFilter
from era5dl.errors import DiskError, DiskFull
from era5dl.gui.models.log import LogModel
from era5dl.gui.text.event_text import LogLevel
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.runs import running

RUNNING = StateChanged(State.RUNNING, "")


def waiting(reason: str, kind: str = "Unreachable") -> StateChanged:
    return StateChanged(State.WAITING_FOR_NETWORK, reason, kind)


def reported(*events: tuple[float, StateChanged]) -> list[str]:
    """Return the reasons, or else the states, of the events to be reported."""
    news = EventFilter()
    return [event.reason or event.state.value for now, event in events if news.should_report(event, now)]


def test_a_wait_and_its_end_are_reported() -> None:
    assert reported((0, RUNNING), (1, waiting("a")), (9, RUNNING)) == ["a", "running"]


def test_a_recurring_wait_is_reported_at_most_once_a_minute() -> None:
    flaps = [(now, event) for second in range(120) for now, event in ((second, waiting("a")), (second + 0.5, RUNNING))]
    assert reported(*flaps) == ["a", "running", "a", "running"]
    assert REPEAT_AFTER == 60


def test_a_wait_of_another_kind_is_reported() -> None:
    assert reported((0, waiting("a")), (1, waiting("b", "Untrusted")), (2, waiting("c"))) == ["a", "b"]


def test_a_throttle_is_reported_when_it_changes_and_at_most_once_a_minute() -> None:
    book = LogModel(clock=lambda: now)
    news, heard = EventFilter(), []
    for now, workers in ((100.0, 4), (100.0, 4), (101.0, 2), (102.0, 2), (101.0 + REPEAT_AFTER, 2)):
        heard.append(news.should_report_throttle(Throttled(workers, 1.0), now))
        book.handle_event(Throttled(workers, 1.0))
    assert heard == [True, False, True, False, True]
    assert book.count == sum(heard)


def test_actions_of_the_user_are_always_reported() -> None:
    paused, stopping = StateChanged(State.PAUSED, ""), StateChanged(State.STOPPING, "")
    seen = reported((0, paused), (1, RUNNING), (2, paused), (3, StateChanged(State.PAUSED, ONLY_HELD)), (4, stopping))
    assert seen == ["paused", "running", "paused", ONLY_HELD, "stopping"]


def test_a_changing_number_in_the_reason_is_no_new_event(fault_server: FaultServer, tmp_path: Path) -> None:
    fault_server.put("a.bin", pseudo_random(1, 2_000_000))
    with running(fault_server, tmp_path, rate_limit=200_000) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().fetched_bytes > 0)
        run = ran.engine._run
        with run.locked():
            for free in range(5):
                run.disk_outage_locked(DiskFull(f"only {free} MB are free"))
            assert "only 4 MB are free" in ran.engine.snapshot().reason
            run.disk_outage_locked(DiskError("input/output error"))
        kinds = [event.kind for event in ran.events_of(StateChanged) if event.state.value.startswith("waiting")]
    assert kinds[:2] == ["DiskFull", "DiskError"]


def test_the_log_page_has_one_entry_per_wait() -> None:
    book = LogModel(clock=iter(range(1000)).__next__)
    for event in [RUNNING, *[waiting("a"), RUNNING] * 5, StateChanged(State.STOPPING, "")]:
        book.handle_event(event)
    names = [line.text.partition(":")[0] for line in book.lines(LogLevel.INFO)]
    assert names == ["Downloading", "Waiting for the network", "Downloading", "Stopping"]


class RunningCommand:
    """A running `era5dl download --json`: its records and its messages, read as they are written."""

    def __init__(self, *words: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "era5dl", "download", *map(str, words), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        self.records: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._readers = [threading.Thread(target=self._read_records), threading.Thread(target=self._read_messages)]
        for reader in self._readers:
            reader.start()

    def _read_records(self) -> None:
        assert self.process.stdout is not None
        self.records.extend(map(json.loads, self.process.stdout))

    def _read_messages(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def wait_until(self, state: str, times: int) -> None:
        """Wait for `times` progress records in this state."""
        give_up = time.monotonic() + 60
        while sum(one["event"] == "progress" and one["state"] == state for one in list(self.records)) < times:
            assert time.monotonic() < give_up, (self.said, self.records[-1:])
            time.sleep(0.02)

    def end(self) -> int:
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.mark.slow
def test_a_missing_folder_gives_one_line(fault_server: FaultServer, tmp_path: Path) -> None:
    out, away, keys = tmp_path / "out", tmp_path / "away", tmp_path / "keys"
    data = pseudo_random(1, 3_000_000)
    fault_server.put("a/b.bin", data)
    fault_server.link = Link(speed=400_000)
    keys.write_text("a/b.bin\n", encoding="utf-8")
    watched = RunningCommand(
        "--keys-file", keys, "--out", out, "--endpoint-url", fault_server.endpoint_url, "--workers", 1
    )
    watched.wait_until("running", 1)
    shutil.move(out, away)
    watched.wait_until("waiting for the disk", 4)
    shutil.move(away, out)
    code = watched.end()
    assert code == 0, watched.said
    assert (out / "a/b.bin").read_bytes() == data
    waits = [line for line in watched.said if line.startswith("waiting for")]
    assert len(waits) == 1, watched.said
    assert ".trial" not in "".join(watched.said)
    assert len([line for line in watched.said if line.startswith("resumed")]) == 1
    states = [one["state"] for one in watched.records if one["event"] == "state"]
    assert states.count("waiting for the disk") == 1, states
