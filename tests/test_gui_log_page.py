"""Tests of the Log page: texts of the events, filters, maximum length and scrolling."""

from __future__ import annotations

import re
import tkinter as tk
from typing import Any

import pytest

from era5dl.engine.events import (
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
)  # fmt: skip
from era5dl.gui.models.log import LogModel
from era5dl.gui.pages.log import LogCallbacks, LogPage
from era5dl.gui.text import i18n
from era5dl.gui.text.event_text import LogLevel, describe
from era5dl.gui.theme.palette import DARK
from era5dl.gui.theme.theme import Theme

pytest_plugins = ["tests.gui_screen"]

KEY = "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc"
NAME = "Temperature, 1 Feb 2021"
DETAIL, INFO, WARNING, ERROR = LogLevel
DESCRIBED = [
    (FileStarted(0, KEY, 5_000_000, 0), DETAIL, f"{NAME}: started, 5.00 MB"),
    (FileStarted(0, KEY, 5_000_000, 2_000_000), DETAIL, f"{NAME}: resumed, 2.00 MB already on disk"),
    (FileRetrying(0, KEY, "cut off", 1, 2.4), WARNING, f"{NAME}: retrying in 2 s: cut off"),
    (FileRestarted(0, KEY, "another version"), WARNING, f"{NAME}: restarted from the beginning: another version"),
    (FileDone(0, KEY, 5, "", Outcome.VERIFIED, "", adopted=False), DETAIL, f"{NAME}: complete and verified, 5 B"),
    (FileDone(0, KEY, 5, "", Outcome.CHECKED, "odd", adopted=False), DETAIL, f"{NAME}: complete, 5 B; odd"),
    (FileDone(0, KEY, 5, "", Outcome.VERIFIED, "", adopted=True), DETAIL, f"{NAME}: already complete on disk"),
    (FileFailed(0, KEY, "Gone.", "Leave it out."), ERROR, f"{NAME}: failed: Gone. Leave it out."),
    (FileFailed(0, KEY, "Gone.", ""), ERROR, f"{NAME}: failed: Gone."),
    (FileChanged(0, KEY), WARNING,
     f"{NAME}: changed on disk after it was complete; what is wrong is downloaded again"),
    (Throttled(1, 2.0), WARNING, "The server asks to slow down: at most 1 request at a time from now on"),
    (FewerWorkers(1, 8, "No.", "Do."), WARNING, "Using 1 worker instead of 8: No. Do."),
    (StateChanged(State.PAUSED, ""), INFO, "Paused"),
    (StateChanged(State.WAITING_FOR_NETWORK, "no route"), WARNING, "Waiting for the network: no route"),
    (StateChanged(State.WAITING_TO_RETRY, "2 files in 6 s"), WARNING, "Waiting to retry failed files"),
    (StateChanged(State.WAITING_FOR_SESSION, "other", "ClaimedElsewhere"), INFO, "Waiting for another session"),
    (RunEnded(3, 1, 0, 0, False, "", ""), INFO, "The download has ended: 4 files complete"),
    (RunEnded(3, 1, 2, 5, True, "", ""), WARNING,
     "The download has ended: 4 files complete, 2 failed, 5 unfinished"),
    (RunEnded(0, 0, 0, 5, False, "No.", "Do."), ERROR, "The download stopped with an error: No. Do."),
]  # fmt: skip


@pytest.mark.parametrize(("event", "level", "text"), DESCRIBED)
def test_each_event_has_a_level_and_a_text(event: Any, level: LogLevel, text: str) -> None:
    assert describe(event) == (level, text)


def test_the_log_is_bounded_and_control_characters_are_removed() -> None:
    log = LogModel(max_lines=100)
    for number in range(250):
        log.add(LogLevel.INFO, f"line {number}\nforged\x1b[31m")
    assert len(log.lines()) == 100
    assert log.first == 150 and log.count == 250
    assert all("\n" not in line.text and "\x1b" not in line.text for line in log.lines())
    log.add(LogLevel.INFO, "x" * 100_000)
    assert len(log.lines()[-1].text) == 2000


@pytest.mark.parametrize(
    "event",
    [
        FileRetrying(0, KEY, "cut off", 1, 2.4, "Interrupted"),
        FileRestarted(0, KEY, "another version", "ObjectChanged"),
        FileFailed(0, KEY, "There is no such object.", "Leave it out.", "NotFound"),
        StateChanged(State.WAITING_FOR_NETWORK, "cannot connect: refused", "Unreachable"),
        RunEnded(0, 0, 0, 5, False, "only 3 MB are free", "Make room.", "WillNotFit"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_reasons_are_in_the_language_of_the_window(event: Any) -> None:
    i18n.switch("zh_CN")
    try:
        _level, text = describe(event)
    finally:
        i18n.switch("en")
    assert not re.search("[A-Za-z]", text), text


def test_events_above_detail_go_to_the_log_file_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "era5dl")
    log = LogModel()
    for event, _level, _text in DESCRIBED:
        log.handle_event(event)
    assert len(caplog.records) == sum(level > LogLevel.DETAIL for _event, level, _text in DESCRIBED)
    assert f"FileFailed(index=0, key='{KEY}', reason='Gone.'" in caplog.text


def test_lines_are_filtered_by_level_search_and_number() -> None:
    log = LogModel()
    log.add(LogLevel.DETAIL, "Alpha one")
    log.add(LogLevel.WARNING, "alpha TWO")
    log.add(LogLevel.ERROR, "beta two")
    assert len(log.lines(LogLevel.WARNING)) == 2
    assert [line.number for line in log.lines(search="two ALPHA")] == [1]
    assert [line.number for line in log.lines(since=2)] == [2]
    log.clear()
    assert log.lines() == [] and log.first == log.count == 3


class Scene:
    def __init__(self, root: tk.Tk) -> None:
        self.asked: list[str] = []
        self.root, self.theme, self.log = root, Theme(root), LogModel(max_lines=500)
        callbacks = LogCallbacks(lambda: self.asked.append("folder"), self.log.clear)
        self.page = LogPage(root, self.theme, callbacks)
        self.page.pack(fill="both", expand=True)
        self.page._level = LogLevel.DETAIL
        root.update()

    def show(self) -> None:
        self.page.show(self.log)
        self.root.update()

    @property
    def shown(self) -> list[str]:
        return self.page.text.get("1.0", "end-1c").splitlines()


@pytest.fixture
def scene(root: tk.Tk) -> Scene:
    return Scene(root)


def fill(scene: Scene, count: int, level: LogLevel = LogLevel.INFO) -> None:
    for number in range(count):
        scene.log.add(level, f"line {number}")


def test_only_new_lines_are_added_to_the_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(scene, 20)
    scene.show()
    written: list[int] = []
    write = scene.page._write
    monkeypatch.setattr(scene.page, "_write", lambda lines: (written.append(len(lines)), write(lines)))
    scene.show()
    scene.log.add(LogLevel.ERROR, "the end")
    scene.show()
    assert written == [1]
    assert len(scene.shown) == 21
    assert scene.shown[-1].endswith("Error\tthe end")
    assert "ERROR" in scene.page.text.tag_names("21.20")


def test_the_page_follows_new_lines_only_at_its_end(scene: Scene) -> None:
    fill(scene, 200)
    scene.show()
    assert scene.page.text.yview()[1] == 1.0
    fill(scene, 5)
    scene.show()
    assert scene.page.text.yview()[1] == 1.0
    scene.page.text.yview_moveto(0.2)
    scene.root.update()
    before = scene.page.text.index("@0,0")
    fill(scene, 5)
    scene.show()
    assert scene.page.text.index("@0,0") == before


def test_lines_that_the_log_drops_disappear_from_the_page(scene: Scene) -> None:
    fill(scene, 400)
    scene.show()
    fill(scene, 300)
    scene.show()
    assert len(scene.shown) == 500
    assert scene.shown[0].endswith("line 200")
    assert scene.shown[-1].endswith("line 299")


def test_level_and_search(scene: Scene) -> None:
    fill(scene, 5, LogLevel.DETAIL)
    scene.log.add(LogLevel.WARNING, "line of warning")
    scene.show()
    assert len(scene.shown) == 6
    scene.page._choice.current(2)
    scene.page._choice.event_generate("<<ComboboxSelected>>")
    scene.root.update()
    assert len(scene.shown) == 1
    scene.log.add(LogLevel.DETAIL, "unseen")
    scene.log.add(LogLevel.ERROR, "seen")
    scene.show()
    assert len(scene.shown) == 2
    scene.page.search.set("SEEN")
    scene.root.update()
    assert [line.split("\t")[-1] for line in scene.shown] == ["seen"]
    scene.page.search.set("nothing like it")
    scene.root.update()
    assert scene.page._empty.winfo_ismapped()


def test_copy_copies_the_selection_or_everything(scene: Scene) -> None:
    fill(scene, 3)
    scene.show()
    scene.page._copy_button.invoke()
    assert scene.root.clipboard_get().count("line") == 3
    scene.page.text.tag_add("sel", "2.0", "2.end")
    scene.page._copy_button.invoke()
    assert scene.root.clipboard_get().endswith("line 1")


def test_clear_and_folder(scene: Scene) -> None:
    fill(scene, 3)
    scene.show()
    scene.page._clear_button.invoke()
    scene.show()
    assert scene.shown == []
    scene.log.add(LogLevel.INFO, "after")
    scene.show()
    assert len(scene.shown) == 1
    scene.page._folder_button.invoke()
    assert scene.asked == ["folder"]


def test_the_text_cannot_be_edited(scene: Scene) -> None:
    fill(scene, 1)
    scene.show()
    scene.page.text.focus_force()
    scene.page.text.event_generate("<Key-x>")
    scene.root.update()
    assert len(scene.shown) == 1 and "x" not in scene.shown[0]


def test_language_and_theme_can_change(scene: Scene) -> None:
    fill(scene, 2)
    scene.show()
    i18n.switch("zh_CN")
    scene.theme.use(DARK)
    try:
        assert scene.page._copy_button["text"] == "复制"
        assert "信息" in scene.shown[0]
        assert scene.page.text["background"] == DARK.card
    finally:
        i18n.switch("en")
