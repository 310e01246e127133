"""Tests of the queue's table: names of the files, groups, the column of keys, copying keys."""

from __future__ import annotations

import tkinter as tk
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from era5dl.gui.models.queue import QueueModel
from era5dl.gui.pages.queue_panel import QueueCallbacks, QueuePanel
from era5dl.gui.text import i18n
from era5dl.gui.theme.palette import LIGHT
from era5dl.gui.theme.theme import Theme
from tests.test_gui_queue import of_era5

pytest_plugins = ["tests.gui_screen"]


@pytest.fixture
def scene(screen: object) -> Iterator[Any]:
    root = tk.Tk()
    copied: list[str] = []
    views: list[tuple[bool, bool]] = []
    held: list[list[int]] = []

    def ignore(*_arguments: object) -> None: ...

    callbacks = QueueCallbacks(
        retry=ignore,
        promote=ignore,
        hold=lambda chosen: held.append(list(chosen)),
        release=ignore,
        open_folder=ignore,
        show_map=ignore,
        follow_map=ignore,
        copy=copied.append,
        view_changed=lambda grouped, keys: views.append((grouped, keys)),
    )
    model: QueueModel = of_era5()
    panel = QueuePanel(root, Theme(root, LIGHT, 1.0), model, callbacks)
    panel.pack(fill="both", expand=True)
    root.geometry("620x420")
    root.update()
    panel.begin(True)
    yield SimpleNamespace(root=weakref.proxy(root), panel=panel, model=model, copied=copied, views=views, held=held)
    i18n.switch("en")
    root.destroy()


def choose(scene: Any, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose an item of the menu of the table's header."""
    menus: list[tk.Menu] = []
    monkeypatch.setattr(tk.Menu, "tk_popup", lambda menu, *_place: menus.append(menu))
    scene.panel._show_view_menu(0, 0)
    menus[0].invoke(label)
    scene.root.update()


def test_a_row_shows_variable_and_period_and_its_key_in_the_tooltip(scene: Any) -> None:
    rows = scene.panel.table.texts_shown()
    assert [row[:2] for row in rows[:2]] == [("2 m temperature", "Mar 2021"), ("2 m temperature", "Feb 2021")]
    assert rows[4][:2] == ("Land-sea mask", "all dates") and rows[5][:2] == ("notes/readme.nc", "")
    assert all(row[-1] == "" for row in rows), "keys are shown on request only"
    body = scene.panel.table._body
    assert body.tip(0, 0) == scene.model.objects[0].key and body.tip(0, 6) == ""
    i18n.switch("zh_CN")
    scene.panel.retranslate()
    scene.root.update()
    assert scene.panel.table.texts_shown()[1][:2] == ("2 米气温", "2021 年 2 月")


def test_groups_and_keys_are_switched_in_the_menu_and_reported(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(scene, "Group by variable", monkeypatch)
    table = scene.panel.table
    assert [row[:2] for row in table.texts_shown()[:2]] == [
        ("2 m temperature", "2 files"),
        ("2 m temperature", "Feb 2021"),
    ]
    table.select([-2])
    assert scene.panel.selected == [0, 1], "a heading stands for its files"
    scene.panel.hold_or_release()
    assert scene.held == [[0, 1]]
    scene.panel._sort_by("key")
    assert table.texts_shown()[0][1] != "2 files"
    choose(scene, "Show keys", monkeypatch)
    assert table.texts_shown()[0][-1].startswith("an")
    choose(scene, "Group by variable", monkeypatch)
    assert table.texts_shown()[0][1] != "2 files"
    assert scene.views == [(True, False), (True, True), (False, True)]


def test_ctrl_c_copies_the_keys_of_the_selected_files(scene: Any) -> None:
    scene.panel.table.select([4, 0])
    scene.panel.table.canvas.focus_force()
    scene.root.update()
    scene.panel.table.canvas.event_generate("<Control-c>")
    scene.root.update()
    assert scene.copied == ["\n".join(scene.model.objects[index].key for index in (0, 4))]


def test_variable_period_size_and_status_are_shown_in_the_narrowest_window(scene: Any) -> None:
    for language in ("en", "zh_CN"):
        i18n.switch(language)
        scene.panel.retranslate()
        scene.root.geometry("570x420")
        scene.root.update()
        row = scene.panel.table.texts_shown()[2]
        assert "…" not in row[1] + row[4] + row[6] and row[0] and row[1] and row[4] and row[6], row
