"""Tests of the Sessions page: its rows, the actions of each, and their effect."""

from __future__ import annotations

import tkinter as tk
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from era5dl.engine.events import State
from era5dl.gui.models.sessions import RowState, ago, parts_of_title, rows
from era5dl.gui.pages.jobs_panel import JobsCallbacks
from era5dl.gui.pages.sessions import SessionsCallbacks, SessionsPage
from era5dl.gui.text import i18n
from era5dl.gui.theme.palette import DARK
from era5dl.gui.theme.theme import Theme
from era5dl.session.summary import SessionStatus, SessionSummary

pytest_plugins = ["tests.gui_screen"]

NOW = 1_790_000_000.0
ONE = SessionSummary(
    id="a" * 12, folder=Path("/data/one"), title="t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28", created=NOW - 500,
    updated=NOW - 120, files=10, done_files=4, total_bytes=1000, done_bytes=437, failed=0, ended=False,
    status=SessionStatus.INTERRUPTED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("title", "parts"),
    [
        ("t, u of e5.oper.an.pl, 2021-02-01 to 2021-02-28", ("t, u · Pressure levels", "2021-02-01 – 2021-02-28")),
        ("2t of e5.oper.an.sfc, 2021-02-01", ("2t · Surface", "2021-02-01")),
        (
            "9 variables of e5.oper.an.sfc and e5.oper.an.pl, 1979-01-01 to 2024-12-31 (with gaps)",
            ("9 variables · Surface, Pressure levels", "1979-01-01 – 2024-12-31 (with gaps)"),
        ),
        (
            "2t of e5.oper.an.sfc, 2021-02-01; 0,12 UTC; 850 hPa; area 54/73/18/135",
            ("2t · Surface · 0,12 UTC · 850 hPa · 54/73/18/135", "2021-02-01"),
        ),
        (
            "12,345 keys from a list; 8 hours a day; 1,200 points",
            ("12,345 files from a list · 8 hours · 1,200 points", ""),
        ),
        ("2t of e5.oper.an.sfc, 2021-02-01; only these days", ("2t · Surface · selected days", "2021-02-01")),
        ("12,345 variables", ("12,345 variables", "")),
        ("1 key from a list", ("1 file from a list", "")),
        ("12,345 keys from a list", ("12,345 files from a list", "")),
        ("t of some.other.product", ("t · some.other.product", "")),
        ("ERA5 files", ("ERA5 files", "")),
        ("", ("", "")),
        ("a\nb\x1b[31m of c", ("a\ufffdb\ufffd[31m · c", "")),
    ],
)
def test_titles_are_split_into_name_and_period(title: str, parts: tuple[str, str]) -> None:
    assert parts_of_title(title) == parts


@pytest.mark.parametrize(
    ("change", "standing", "can"),
    [
        ({}, RowState.INTERRUPTED, "resume verify forget open"),
        ({"status": SessionStatus.DONE, "ended": True}, RowState.DONE, "verify forget open"),
        ({"status": SessionStatus.DONE, "ended": True, "failed": 2}, RowState.FAILED, "resume verify forget open"),
        ({"status": SessionStatus.RUNNING}, RowState.RUNNING, "open"),
        ({"status": SessionStatus.FOLDER_MISSING, "files": 0}, RowState.FOLDER_MISSING, "forget"),
        ({"status": SessionStatus.DAMAGED, "files": 0, "title": "?"}, RowState.DAMAGED, "forget open"),
    ],
)
def test_possible_actions_of_a_session(change: dict[str, Any], standing: RowState, can: str) -> None:
    (row,) = rows([replace(ONE, **change)], now=NOW)
    assert row.state is standing
    possible = {
        "resume": row.can_resume, "verify": row.can_verify, "forget": row.can_forget, "open": row.can_open_folder
    }  # fmt: skip
    assert {name for name, yes in possible.items() if yes} == set(can.split())


def test_the_state_of_this_window_overrides_the_saved_status() -> None:
    for state, standing in (
        (State.RUNNING, RowState.RUNNING),
        (State.PAUSED, RowState.PAUSED),
        (State.WAITING_FOR_DISK, RowState.PAUSED),
        (State.WAITING_FOR_ROOM, RowState.PAUSED),
    ):
        (row,) = rows([replace(ONE, status=SessionStatus.RUNNING)], {(ONE.id, ONE.folder): state}, now=NOW)
        assert (row.state, row.can_resume, row.can_forget, row.can_verify) == (standing, False, False, False)
    (other,) = rows([ONE], {(ONE.id, Path("/data/two")): State.RUNNING}, now=NOW)
    assert other.state is RowState.INTERRUPTED


def test_a_hundred_percent_means_complete() -> None:
    found = rows(
        [replace(ONE, done_bytes=1000, done_files=9), replace(ONE, done_files=10), replace(ONE, total_bytes=0)], now=NOW
    )
    assert [row.percent for row in found] == [99, 100, 0]
    assert rows([replace(ONE, files=0)], now=NOW)[0].percent is None


def test_a_damaged_session_is_named_after_its_folder() -> None:
    assert rows([replace(ONE, title="?", status=SessionStatus.DAMAGED)], now=NOW)[0].name == "one"


@pytest.mark.parametrize("then", [0.0, -1.0, NOW + 1e6, 1e11, NOW - 5])
def test_impossible_times_are_tolerated(then: float) -> None:
    assert isinstance(ago(then, NOW), str)


def test_times_are_relative_to_now() -> None:
    assert ago(NOW - 30, NOW) == "just now"
    assert ago(NOW - 600, NOW) == "10 min ago"
    assert ago(NOW - 9e6, NOW).startswith("20")


class Scene:
    """A page, and the callbacks it called."""

    def __init__(self, root: tk.Tk) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.theme = Theme(root)
        self.root = root

        def note(name: str) -> Any:
            return lambda *given: self.asked.append((name, *given))

        self.page = SessionsPage(
            root,
            self.theme,
            SessionsCallbacks(
                *map(note, ("resume", "update", "verify", "cancel", "open", "forget", "add", "manifest", "cite")),
                jobs=JobsCallbacks(*map(note, ("run", "stop", "move", "pause", "resume-job", "remove"))),
            ),
        )
        self.page.pack(fill="both", expand=True)
        root.update()

    def show(self, *summaries: SessionSummary) -> None:
        self.page.show(rows(summaries, now=NOW))
        self.root.update()

    def click(self, line: int, *, double: bool = False) -> None:
        canvas, high = self.page.table.canvas, self.page.table.row_height
        canvas.focus_force()
        for _time in range(1 + double):
            canvas.event_generate("<Button-1>", x=60, y=int(high * (line + 1.5)))
            canvas.event_generate("<ButtonRelease-1>", x=60, y=int(high * (line + 1.5)))
        self.root.update()


@pytest.fixture
def scene(root: tk.Tk) -> Scene:
    return Scene(root)


def test_the_newest_session_is_first_and_titles_sort(scene: Scene) -> None:
    scene.show(
        ONE,
        replace(ONE, id="b" * 12, title="new", updated=NOW - 1),
        replace(ONE, id="c" * 12, title="abc", updated=0.0),
    )
    assert [row[0][:4] for row in scene.page.table.texts_shown()] == ["new", "t, u", "abc"]
    scene.page._sort_by("name")
    assert [row[0][:4] for row in scene.page.table.texts_shown()] == ["abc", "new", "t, u"]
    scene.page._sort_by("name")
    assert [row[0][:4] for row in scene.page.table.texts_shown()] == ["t, u", "new", "abc"]


def test_every_column_sorts(scene: Scene) -> None:
    scene.show(ONE, replace(ONE, id="b" * 12, files=0))
    for name in ("name", "period", "progress", "files", "size", "used", "status"):
        scene.page._sort_by(name)
        assert len(scene.page.table.texts_shown()) == 2


def test_buttons_follow_the_selection(scene: Scene) -> None:
    page = scene.page
    buttons = (page._resume_button, page._verify_button, page._open_button, page._forget_button)
    scene.show(ONE, replace(ONE, id="b" * 12, status=SessionStatus.RUNNING, updated=0.0))
    assert all(button.instate(["disabled"]) for button in buttons)
    scene.click(0)
    assert [button.instate(["!disabled"]) for button in buttons] == [True] * 4
    scene.click(1)
    assert [button.instate(["!disabled"]) for button in buttons] == [False, False, True, False]


def test_resume_verify_open(scene: Scene) -> None:
    scene.show(ONE)
    scene.click(0)
    for button in (scene.page._resume_button, scene.page._verify_button, scene.page._open_button, scene.page._add):
        button.invoke()
    assert scene.asked == [
        ("resume", ONE.folder, ONE.id), ("verify", ONE.folder, ONE.id), ("open", ONE.folder), ("add",)
    ]  # fmt: skip


def test_a_double_click_and_return_resume(scene: Scene) -> None:
    scene.show(ONE)
    scene.click(0, double=True)
    assert scene.asked == [("resume", ONE.folder, ONE.id)]
    scene.page.table.canvas.event_generate("<Return>")
    assert len(scene.asked) == 2


def test_a_double_click_does_not_resume_a_complete_or_running_session(scene: Scene) -> None:
    scene.show(replace(ONE, status=SessionStatus.RUNNING))
    scene.click(0, double=True)
    assert scene.asked == []


def test_removing_a_session_asks_once(scene: Scene) -> None:
    scene.show(ONE)
    scene.click(0)
    scene.page._forget_button.invoke()
    assert scene.asked == []
    assert "complete files are kept" in scene.page._banner.text
    scene.page._banner._button.invoke()
    assert scene.asked == [("forget", ONE.folder, ONE.id)]
    assert scene.page._banner.text == ""


def test_the_selection_survives_new_rows(scene: Scene) -> None:
    scene.show(ONE, replace(ONE, id="b" * 12, updated=0.0))
    scene.click(1)
    scene.show(replace(ONE, id="b" * 12, updated=NOW), ONE)
    assert scene.page.chosen is not None and scene.page.chosen.id == "b" * 12
    scene.show(ONE)
    assert scene.page.chosen is None
    assert scene.page._resume_button.instate(["disabled"])


def test_an_empty_page_explains_itself(scene: Scene) -> None:
    canvas = scene.page.table.canvas
    assert "resume them where they left off" in canvas.itemcget("empty", "text")
    scene.show(ONE)
    assert canvas.itemcget("empty", "text") == ""


def test_progress_of_a_verification_is_shown_until_it_ends(scene: Scene) -> None:
    scene.page.show_verifying(3, 10)
    scene.root.update()
    assert "3 of 10" in scene.page._progress_text["text"]
    scene.page._cancel.invoke()
    assert scene.asked == [("cancel",)]
    scene.page.show_verified(9, 0, 1)
    scene.root.update()
    assert not scene.page._verification.winfo_ismapped()
    assert "1 file is missing" in scene.page._banner.text
    scene.page.show_verified(10, 0, 0)
    assert "10 files verified" in scene.page._banner.text
    assert "checked" not in scene.page._banner.text


def test_checked_files_are_not_called_verified(scene: Scene) -> None:
    scene.page.show_verified(0, 3, 0)
    assert "3 files checked" in scene.page._banner.text
    assert "byte by byte" not in scene.page._banner.text
    scene.page.show_verified(2, 1, 0)
    assert "2 files verified" in scene.page._banner.text
    assert "1 file checked" in scene.page._banner.text
    scene.page.show_verified(0, 0, 0, parts=2)
    assert scene.page._banner.text.startswith("2 subsets of files are in place")


def test_language_and_theme_can_change(scene: Scene) -> None:
    scene.show(ONE)
    i18n.switch("zh_CN")
    scene.theme.use(DARK)
    scene.root.update()
    try:
        assert scene.page._resume_button["text"] == "继续"
        assert scene.page.table.canvas["background"] == DARK.card
        assert parts_of_title("9 variables of e5.oper.an.sfc")[0] == "9 个变量 · 地面"
    finally:
        i18n.switch("en")
