"""Tests of the output of a run: plain lines, JSON records, live display, signals. No server and no engine."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from rich.console import Console

from era5dl.bucket.interface import ObjectInfo
from era5dl.cli.commands.plan import MAX_GROUPS, free_space_line, missing_lines
from era5dl.cli.exit_codes import for_run
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.json_output import JsonWriter, event_names
from era5dl.cli.live_display import LiveDisplay, render
from era5dl.cli.output import Output, table
from era5dl.cli.plain_display import PlainDisplay, event_line, progress_line, summary_line
from era5dl.cli.run_session import run_session
from era5dl.engine.events import (
    Event,
    FewerWorkers,
    FileChanged,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    Outcome,
    RunEnded,
    State,
    StateChanged,
    Throttled,
)
from era5dl.engine.progress import ActiveFile, Snapshot
from era5dl.planner import Missing, Plan

HOSTILE = "a/[red]\x1b[2J\x07\u202e[bold]\r\nb.nc"
SNAPSHOT = Snapshot(
    state=State.RUNNING,
    reason="",
    total_files=12,
    done_files=5,
    verified_files=4,
    checked_files=1,
    failed_files=1,
    total_bytes=1_200_000_000,
    done_bytes=512_000_000,
    fetched_bytes=512_000_000,
    speed=28_000_000.0,
    time_left=25.0,
    elapsed=42.0,
    active=(ActiveFile(3, HOSTILE, 1000, 500, 10.0, 2, False), ActiveFile(4, "x/y.nc", 0, 0, 0.0, 1, True)),
    workers=8,
    allowed=4,
    in_flight=4,
    rate_limit=5_000_000,
    retries=2,
    throttles=1,
    barren_attempts=1,
)
EVENTS: list[Event] = [
    FileStarted(0, HOSTILE, 10, 0),
    FileRetrying(0, HOSTILE, "reset", 1, 0.5),
    FileRestarted(0, HOSTILE, "changed"),
    FileDone(0, HOSTILE, 10, "/x", Outcome.VERIFIED, "", False),
    FileFailed(0, HOSTILE, f"{HOSTILE}: no such object", "ask somebody"),
    StateChanged(State.WAITING_FOR_NETWORK, "no route"),
    Throttled(4, 1.0),
    FewerWorkers(2, 8, "no more threads", "end other programs", "OutOfThreads"),
    FileChanged(0, HOSTILE),
    RunEnded(1, 0, 0, 0, False, "", ""),
]


def ended(**changes: Any) -> RunEnded:
    return dataclasses.replace(RunEnded(12, 0, 0, 0, False, "", ""), **changes)


@pytest.mark.parametrize(
    ("end", "missing", "code"),
    [
        (ended(), 0, 0),
        (ended(checked=3), 0, 0),
        (ended(), 1, 1),
        (ended(failed=1), 0, 1),
        (ended(unfinished=1), 0, 1),
        (ended(stopped=True, unfinished=1), 1, 130),
        (ended(stopped=True), 0, 0),  # the run was complete before it was stopped
        (ended(error="no room", unfinished=3), 0, 3),
        (ended(error="no room", stopped=True, unfinished=3), 0, 3),
    ],
)
def test_exit_code_of_each_result(end: RunEnded, missing: int, code: int) -> None:
    assert for_run(end, missing) == code


def test_the_summary_line_counts_each_outcome() -> None:
    last = dataclasses.replace(SNAPSHOT, fetched_bytes=1_176_000_000)
    assert summary_line(ended(), last, 0) == "12 files, 1.20 GB: 12 verified; took 0:42 at 28.0 MB/s"
    worst = summary_line(ended(verified=1, checked=2, failed=3, unfinished=6), last, 1000)
    assert "1 verified, 2 checked, 3 failed, 1,000 missing in the bucket, 6 unfinished" in worst
    again = summary_line(ended(), dataclasses.replace(last, fetched_bytes=0), 0)
    assert again.endswith("12 verified; took 0:42, nothing had to be downloaded")
    assert "nothing to do" in summary_line(ended(verified=0), dataclasses.replace(last, elapsed=0.0), 0)


def test_the_progress_line_shows_state_and_rounds_down() -> None:
    line = progress_line(SNAPSHOT)
    assert line == ("42 %: 5 of 12 files, 512 MB of 1.20 GB, 28.0 MB/s, 0:25 remaining, limited to 5.00 MB/s, 1 failed")
    automatic = progress_line(dataclasses.replace(SNAPSHOT, auto=True, workers=23, rate_limit=None))
    assert automatic == "42 %: 5 of 12 files, 512 MB of 1.20 GB, 28.0 MB/s, 0:25 remaining, 23 workers (auto), 1 failed"
    waiting = dataclasses.replace(SNAPSHOT, state=State.WAITING_FOR_NETWORK, time_left=None)
    assert progress_line(waiting).endswith("1 failed, waiting for the network")
    almost = dataclasses.replace(SNAPSHOT, done_bytes=SNAPSHOT.total_bytes - 1)
    assert progress_line(almost).startswith("99 %")
    assert progress_line(dataclasses.replace(SNAPSHOT, total_bytes=0, done_bytes=0)).startswith("0 %")


def test_failures_are_printed_also_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainDisplay(Output(quiet=True))
    for event in EVENTS:
        lines.show_event(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no such object (ask somebody)" in err
    assert err.count("b.nc") == 1  # the reason does not repeat the key


def test_resumption_is_reported_only_after_a_wait(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainDisplay(Output())
    running, waiting = StateChanged(State.RUNNING, ""), StateChanged(State.WAITING_FOR_NETWORK, "no route")
    for event in (running, waiting, running, running):
        lines.show_event(event)
    assert capsys.readouterr().err.splitlines() == ["waiting for the network: no route", "resumed"]


def test_the_last_fault_is_shown_while_nothing_is_received(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("era5dl.cli.plain_display.PROGRESS_INTERVAL", 0.0)
    lines = PlainDisplay(Output())
    still = dataclasses.replace(SNAPSHOT, speed=0.0)
    lines.show_progress(still)
    lines.show_event(FileRetrying(0, "a/2t.nc", "a/2t.nc: stalled", 2, 1.0))
    lines.show_progress(still)
    lines.show_progress(still)
    lines.show_progress(SNAPSHOT)
    lines.show_progress(still)
    said = capsys.readouterr().err.splitlines()
    assert [line.endswith("; a/2t.nc: stalled, attempt 3") for line in said] == [False, True, True, False, False]


def test_repeated_messages_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """An unchanged throttle, and a failure that is the same after a retry round."""
    lines = PlainDisplay(Output())
    failed = FileFailed(0, "a.nc", "a.nc: the server said 500", "")
    for event in (Throttled(4, 1.0), Throttled(4, 2.0), failed, Throttled(2, 1.0), failed):
        lines.show_event(event)
    assert capsys.readouterr().err.splitlines() == [
        "the server throttles: 4 concurrent requests for now",
        "failed: a.nc: the server said 500",
        "the server throttles: 2 concurrent requests for now",
    ]


def test_a_progress_line_is_printed_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("era5dl.cli.plain_display.time.monotonic", lambda: now)
    lines = PlainDisplay(Output())
    for _ in range(100):
        now += 0.25
        lines.show_progress(SNAPSHOT)
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("event", EVENTS)
def test_control_characters_do_not_reach_the_terminal(event: Event, capsys: pytest.CaptureFixture[str]) -> None:
    Output().notice(event_line(event))
    Output().result(event_line(event))
    out, err = capsys.readouterr()
    assert_harmless(err.removesuffix("\n"))
    assert_harmless(out.removesuffix("\n"))


def test_the_live_display_fits_the_width_and_escapes_keys() -> None:
    for width, height in ((120, 40), (40, 10), (20, 4)):
        stream = io.StringIO()
        console = Console(file=stream, width=width, height=height, force_terminal=False)
        console.print(render(SNAPSHOT, width, height))
        text = stream.getvalue()
        assert_harmless(text.replace("\n", ""))
        assert max(map(len, text.splitlines())) <= width
        if width == 120:
            for part in (
                "42 %",
                "28.0 MB/s",
                "0:25 remaining",
                "5 of 12 files",
                "1 failed",
                "[red]",
                "verifying",
                "allows 4",
            ):
                assert part in text
            assert len(text.splitlines()) == 4


def test_the_live_display_fits_the_height() -> None:
    many = dataclasses.replace(SNAPSHOT, active=SNAPSHOT.active * 32, state=State.WAITING_FOR_DISK, reason="no room")
    stream = io.StringIO()
    Console(file=stream, width=100, height=20).print(render(many, 100, 20))
    assert len(stream.getvalue().splitlines()) <= 20
    assert "no room" in stream.getvalue()


def test_the_live_display_keeps_failures_above(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=20, force_terminal=True, color_system=None, markup=False)
    with LiveDisplay(console) as live:
        live.show_progress(SNAPSHOT)
        for event in EVENTS * 2:
            live.show_event(event)
    text = stream.getvalue()
    assert text.count("failed: a/[red]") == 1, "a round that ends as the one before is no news"
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert text.endswith("\x1b[?25h") or "\x1b[?25h" in text  # the cursor is back


def assert_harmless(text: str) -> None:
    assert text.isprintable()


def test_json_records_of_events_and_progress() -> None:
    stream = io.StringIO()
    writer = JsonWriter(stream)
    for event in EVENTS:
        writer.event(event)
    for _ in range(5):
        writer.progress(SNAPSHOT)
    writer.progress(SNAPSHOT, force=True)
    lines = stream.getvalue().splitlines()
    assert stream.getvalue().isascii()
    records = [json.loads(line) for line in lines]
    assert [record["event"] for record in records] == [
        "file-started", "file-retrying", "file-restarted", "file-done", "file-failed", "state", "throttled",
        "fewer-workers", "file-changed", "progress", "progress",
    ]  # fmt: skip
    assert {record["event"] for record in records} <= event_names()
    assert records[0]["key"] == HOSTILE
    assert records[3]["outcome"] == "verified"
    assert records[5]["state"] == "waiting for the network"
    assert records[-1]["active"][0]["key"] == HOSTILE
    assert {field.name for field in dataclasses.fields(Snapshot)} <= set(records[-1])


def test_every_event_of_the_engine_is_documented_with_its_fields() -> None:
    from era5dl.cli import json_output

    text = json_output.__doc__ or ""
    for kind in (*get_args(Event), Snapshot):
        if kind is RunEnded:
            continue  # the summary contains it
        for field in dataclasses.fields(kind):
            assert field.name in text


def test_missing_files_are_grouped() -> None:
    keys = [
        f"e5.oper.an.pl/2021{m:02}/e5.oper.an.pl.128_130_t.ll025sc.2021{m:02}0100_2021{m:02}0123.nc"
        for m in range(1, 13)
    ]
    lines = missing_lines([*(Missing(key, "absent") for key in keys), Missing("odd/x.nc", "not yet published")])
    assert lines[0] == "missing in the bucket: 13 files"
    assert lines[1] == "  an.pl/t: 12 files, absent:"
    assert "2021010100" in lines[2]
    assert "2021120100" in lines[2]
    assert lines[3] == "  odd/x.nc: not yet published"
    many = missing_lines([Missing(f"folder{n}/x.nc", "absent") for n in range(10_000)])
    assert len(many) == MAX_GROUPS + 2
    assert "9,960 files more" in many[-1]


def test_free_space_is_compared_with_the_need() -> None:
    assert "enough" in free_space_line(10, 100, 5, Path("out"))
    assert "5 B too little" in free_space_line(100, 100, 5, Path("out"))


def test_tables_are_aligned_and_without_control_characters() -> None:
    lines = table([("a", "1"), ("bb\x1b[1m", "22")], head=("NAME", "N"), right=(1,))
    assert len({len(line) for line in lines}) == 1
    assert all(line.isprintable() for line in lines)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_requested_or_raises_keyboard_interrupt(number: int) -> None:
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            send(number)
        assert interrupts.requested.is_set()
    with Interrupts() as interrupts:
        with interrupts.gracefully():
            send(number)
            assert interrupts.requested.wait(5)
            assert not interrupts.grace_expired
        assert interrupts.requested.is_set()
    assert signal.getsignal(number) == before


@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
def test_an_interrupt_does_not_wait_for_background_work() -> None:
    release = threading.Event()
    try:
        with Interrupts() as interrupts:
            began = time.monotonic()
            threading.Timer(0.1, send, [signal.SIGINT]).start()
            with pytest.raises(KeyboardInterrupt):
                interrupts.run_in_background(lambda: release.wait(30))
            assert time.monotonic() - began < 5
    finally:
        release.set()


class EndlessEngine:
    """An engine that never ends, even after `stop`."""

    result = None

    def __init__(self, *_: object, **__: object) -> None:
        self.stops = 0

    def start(self) -> None:
        send(signal.SIGINT)

    def stop(self) -> None:
        self.stops += 1

    def wait(self, timeout: float) -> bool:
        assert self.stops <= 1
        return False

    def snapshot(self) -> Snapshot:
        return SNAPSHOT

    def states(self) -> bytes:
        return b""

    def objects(self) -> list[ObjectInfo]:
        return []


@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
def test_an_engine_that_does_not_stop_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era5dl.engine.engine.Engine", EndlessEngine)
    monkeypatch.setattr("era5dl.cli.interrupts.GRACE_SECONDS", 0.01)
    session: Any = SimpleNamespace(
        id="0" * 12,
        folder=Path("out"),
        notes=(),
        plan=Plan({}, ()),
        checkpoint=SimpleNamespace(done_bytes=0, total_bytes=0),
    )
    nothing: Any = None
    with Interrupts() as interrupts:
        finished = run_session(nothing, session, nothing, Output(quiet=True), interrupts)
    assert finished.ended.stopped
    assert finished.ended.unfinished == 6
    assert for_run(finished.ended, 0) == 130


def test_background_work_returns_results_and_raises_errors() -> None:
    with Interrupts() as interrupts:
        assert interrupts.run_in_background(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            interrupts.run_in_background(lambda: 1 // 0)
