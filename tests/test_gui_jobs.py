"""Tests of the queue in the window: adding, reordering and running downloads, a second window, and updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from era5dl.catalog import find_variable, key_of, periods
from era5dl.days import LAST_DAY, select_days
from era5dl.gui.models.jobs import job_rows
from era5dl.gui.models.request_form import Fields, validate
from era5dl.gui.text import error_text
from era5dl.jobs import Job, JobList, JobState, Request
from era5dl.jobs.job import settings_of_job
from era5dl.selection import Selection, select_variables
from tests.faultlab import FaultServer, Link, pseudo_random
from tests.gui_driver import Window, options, wrong

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]


def label(window: Window) -> str:
    return str(window.page.request.start["text"])


def states(window: Window) -> list[JobState]:
    return [job.state for job in window.app.controllers.jobs._jobs]


def add_days(window: Window, first: str, last: str) -> None:
    """Add a download to the queue while another one runs."""
    number = len(states(window))
    window.choose_days(first, last)
    window.wait_until(lambda: window.can_start)
    window.page.request.start.invoke()
    window.wait_until(lambda: len(states(window)) == number + 1)


def test_the_end_may_be_latest_in_both_languages() -> None:
    fields = Fields(variables=frozenset({"an.sfc/2t"}), first="2021-01-01", last="latest", folder="/data")
    for word in ("latest", " Latest ", "最新"):
        form = validate(Fields(**{**{n: getattr(fields, n) for n in fields.__slots__}, "last": word}))
        assert form.selection is not None and form.selection.days[-1][1] == LAST_DAY
    both = validate(Fields(variables=fields.variables, first="latest", last="latest", folder="/data"))
    assert both.error_for("first") and not both.error_for("last")


def test_a_job_says_why_it_is_not_done(tmp_path: Path) -> None:
    selection = Selection(select_variables(["2t"]), select_days(start="2021-02-01", end="latest"))
    job = Job(number=1, request=Request(folder=tmp_path, selection=selection))
    ends = (
        replace(job, state=JobState.FAILED, reason="no space on it", kind="DiskFull"),
        replace(job, state=JobState.INCOMPLETE, reason="x", failed=1, missing=2),
        replace(job, state=JobState.DONE),
    )
    full, incomplete = job_rows(ends)
    assert full.reason == f"{error_text.explain('DiskFull').text} (no space on it)"
    assert incomplete.reason == "1 file failed, 2 files missing on the server"
    assert (full.period, full.can_resume, full.can_pause) == ("2021-02-01 – latest", True, False)


@pytest.mark.slow
def test_downloads_wait_and_run_one_after_the_other(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=100_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    assert label(window) == "Start download"
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-01")
    window.wait_until(lambda: window.can_start)
    window.page.request.start.invoke()
    window.wait_until(window.running)
    assert label(window) == "Add to queue" and not window.can_start, "this very download is running"
    add_days(window, "2021-02-02", "2021-02-02")
    window.app.actions.start()  # the same again
    window.wait_until(lambda: "already" in window.page.banner.text)
    window.pick("an.pl/u")
    add_days(window, "2021-02-01", "2021-02-02")
    window.wait_until(lambda: "Then 2 downloads" in str(window.page.request._plan_summary._obstacle["text"]))
    window.app.actions.show_sessions()
    window.root.update()
    panel = window.app.pages.sessions.jobs
    assert [texts[3] for texts in panel.table.texts_shown()] == ["Waiting", "Waiting"]
    panel.table.canvas.focus_force()
    panel.table.select([2])
    window.root.update()
    panel.table.canvas.event_generate("<Alt-Up>")
    window.wait_until(lambda: [job.number for job in window.app.controllers.jobs._jobs] == [2, 1])
    panel.table.canvas.event_generate("<space>")
    window.wait_until(lambda: states(window) == [JobState.PAUSED, JobState.WAITING])
    assert str(panel.pause["text"]) == "Resume"
    fault_server.link = Link()
    window.wait_until(lambda: states(window) == [JobState.PAUSED, JobState.DONE] and not window.app.service.busy)
    window.wait_until(lambda: label(window) == "Start download")
    panel.pause.invoke()
    window.wait_until(lambda: states(window)[0] is JobState.WAITING)
    window.press(panel.run)
    window.wait_until(lambda: str(panel.run["text"]) == "Stop the queue" or states(window)[0] is JobState.DONE)
    window.wait_until(lambda: set(states(window)) == {JobState.DONE} and not window.app.service.busy)
    wanted = {key: data for key, data in objects.items() if "_t." in key or "_u." in key}
    assert len(wanted) == 4 and not wrong(tmp_path / "era5", wanted)
    assert not panel.winfo_manager(), "nothing waits, so nothing is shown"


def test_a_job_that_cannot_be_started_is_reported_and_the_next_one_runs(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = open_window(**options(fault_server, tmp_path / "era5"))
    selection = Selection(select_variables(["an.pl/t"]), select_days(start="2021-02-01", end="2021-02-02"))
    (tmp_path / "file").write_text("in the way")
    settings = settings_of_job(window.app.store.current.to_settings(), {})
    for folder in ("file", "era5"):
        window.app.service.jobs.add(Request(folder=tmp_path / folder, selection=selection, settings=settings))
    window.wait_until(lambda: len(states(window)) == 2)
    texts: list[str] = []
    monkeypatch.setattr(window.page.banner, "show", lambda _kind, text, _action=None: texts.append(text))
    window.app.actions.run_queue()
    window.wait_until(lambda: states(window) == [JobState.FAILED, JobState.DONE] and not window.app.service.busy)
    assert any("was not downloaded" in text and "is not a folder" in text for text in texts)
    assert not wrong(tmp_path / "era5", {key: data for key, data in objects.items() if "_t." in key})


@pytest.mark.slow
def test_stopped_job_waits_and_the_next_window_offers_it(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=100_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-02")
    window.wait_until(lambda: window.can_start)
    window.app.actions.add_to_queue()
    window.wait_until(lambda: states(window) == [JobState.WAITING])
    assert not window.running(), "it waits until the queue is run"
    window.app.actions.run_queue()
    window.wait_until(window.running)
    window.app.actions.stop()
    window.wait_until(lambda: not window.app.service.busy)
    window.wait_until(lambda: states(window) == [JobState.WAITING])
    window.close()
    with JobList().runner():
        other = open_window(**options(fault_server, tmp_path / "era5"))
        other.app.actions.show_sessions()
        other.wait_until(lambda: "Another program" in str(other.app.pages.sessions.jobs._hint["text"]))
        assert other.app.pages.sessions.jobs.run.instate(["disabled"])
        other.close()
    fault_server.link = Link()
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.wait_until(lambda: "1 download waits" in window.page.banner.text)
    window.page.banner._button.invoke()
    window.wait_until(lambda: states(window) == [JobState.DONE] and not window.app.service.busy)
    assert not wrong(tmp_path / "era5", {key: data for key, data in objects.items() if "_t." in key})


@pytest.mark.slow
def test_update_fetches_a_new_month_and_asks_before_it_takes_a_replaced_file(
    open_window: Callable[..., Window], fault_server: FaultServer, tmp_path: Path
) -> None:
    variable = find_variable("an.sfc/2d")
    today = datetime.now(timezone.utc).date()
    start = (today.replace(day=1) - timedelta(days=130)).replace(day=1)
    keys = [key_of(variable, period) for period in periods(variable.product, start, today)][:3]
    stored = {key: pseudo_random(key, 50_000) for key in keys[:2]}
    for key, data in stored.items():
        fault_server.put(key, data)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    page = window.app.pages.sessions
    window.pick("an.sfc/2d")
    window.choose_days(str(start), "latest")
    assert not window.page.request.last.error
    window.wait_until(lambda: window.can_start)
    published = list(periods(variable.product, start, today))[1].end.date()
    assert f"published until {published}" in str(window.page.request._plan_summary._expected["text"])
    window.page.request.start.invoke()
    window.wait_until(lambda: "2 files downloaded" in window.page.banner.text)

    def update() -> None:
        window.app.actions.show_sessions()
        window.wait_until(lambda: page.table.texts_shown())
        page.table.select(list(page._model.row_ids()))
        window.root.update()
        window.press(page._update_button)

    update()
    window.wait_until(lambda: "no new files" in page._banner.text)
    stored[keys[2]] = pseudo_random("new", 50_000)
    fault_server.put(keys[2], stored[keys[2]])
    update()
    window.wait_until(lambda: "3 files downloaded" in window.page.banner.text or not wrong(tmp_path / "era5", stored))
    window.wait_until(lambda: not window.app.service.busy)
    new = pseudo_random("replaced", 50_000)
    fault_server.put(keys[0], new)
    update()
    window.wait_until(lambda: window.app.dialogs.replaced is not None)
    window.app.dialogs.replaced.no.invoke()
    window.wait_until(lambda: "no new files" in page._banner.text)
    assert not wrong(tmp_path / "era5", stored), "the old file stays"
    window.app.dialogs.replaced = None
    update()
    window.wait_until(lambda: window.app.dialogs.replaced is not None)
    window.app.dialogs.replaced.yes.invoke()
    stored[keys[0]] = new
    window.wait_until(lambda: not wrong(tmp_path / "era5", stored))
    window.wait_until(lambda: not window.app.service.busy)
