"""Tests of the Archive page: its calendar by mouse and keyboard, the hours of a month, and what its buttons do."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from era5dl.archive.audit import audit_folder
from era5dl.archive.calendar import calendar_of
from era5dl.archive.manifest_format import MANIFEST_NAME
from era5dl.archive.states import State
from era5dl.gui.pages.archive import STYLES, ArchiveCallbacks, ArchivePage
from era5dl.gui.theme.palette import DARK
from era5dl.gui.theme.theme import Theme
from era5dl.planner import plan_keys
from era5dl.subset.selection import Subset
from tests.archive_samples import keys_of, make_session, plan_for
from tests.faultlab import FaultServer
from tests.gui_driver import Window, options, wrong

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]

FIRST, LAST = date(2019, 11, 1), date(2021, 2, 28)
T2 = keys_of("an.sfc/2t", FIRST, LAST)


class Scene:
    """A page with an archive that lacks February 2020 of 2t, and has three hours a day of skt in January 2020."""

    def __init__(self, root: tk.Tk, folder: Path) -> None:
        self.root, self.asked = root, list[str]()
        self.theme = Theme(root)
        names = ("choose", "refresh", "gaps", "csv", "manifest", "cite")
        self.page = ArchivePage(root, self.theme, ArchiveCallbacks(*(self.note(name) for name in names)))
        self.page.pack(fill="both", expand=True)
        root.geometry("1000x600")
        root.update()
        make_session(folder, plan_for(["2t"], FIRST, LAST), verified=range(len(T2)))
        part = Subset(hours=(0, 6, 12))
        make_session(folder, plan_for(["skt"], date(2020, 1, 1), date(2020, 1, 31), part), verified=[0])
        (folder / T2[3]).unlink()
        audit = audit_folder(folder)
        self.page.show(folder, audit, calendar_of(audit))
        root.update()

    def note(self, name: str) -> Callable[[], Any]:
        return lambda: self.asked.append(name)

    def texts(self, canvas: tk.Canvas) -> list[str]:
        return [canvas.itemcget(item, "text") for item in canvas.find_all() if canvas.type(item) == "text"]


@pytest.fixture
def scene(root: tk.Tk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path / "state"))
    return Scene(root, tmp_path / "era5")


def test_every_state_can_be_told_from_the_others_without_colours() -> None:
    assert set(STYLES) == {state.value for state in State}
    assert len({style.letter for style in STYLES.values()}) == len(STYLES)


def test_calendar_and_the_hours_of_a_month(scene: Scene) -> None:
    page, grid = scene.page, scene.page.grid_widget
    texts = scene.texts(grid.canvas)
    assert {"2 m temperature", "Skin temperature", "M", "2020"} <= set(texts)
    assert scene.texts(page._legend) == ["Proven: 15", "Not proven: 1", "M", "Missing: 1"]
    months = calendar_of(page.audit).months if page.audit else ()
    x, y = grid.centre_of(0, months.index("202002"))
    grid.canvas.event_generate("<Button-1>", x=x, y=y)
    scene.root.update()
    assert page._detail_title["text"] == "2 m temperature, Feb 2020"
    assert page._reasons["text"] == "Missing: It was complete, and is gone."
    grid.canvas.focus_force()
    for key in ("<Down>", "<Left>", "<Return>"):
        grid.canvas.event_generate(key)
    scene.root.update()
    assert page._detail_title["text"] == "Skin temperature, Jan 2020"
    boxes = [item for item in page._hours.find_all() if page._hours.type(item) == "rectangle"]
    assert len(boxes) == 31 * 3
    for key in ("<Home>", "<Control-Right>", "<Control-Right>", "<End>", "<Next>", "<Prior>"):
        grid.canvas.event_generate(key)
    scene.root.update()
    assert grid.cursor == (0, len(months) - 1)
    scene.theme.use(DARK)
    scene.root.update()
    for button in (page._gaps, page._csv, page._manifest, page._cite, page._choose, page._refresh):
        button.invoke()
    assert scene.asked == ["gaps", "csv", "manifest", "cite", "choose", "refresh"]


def test_nothing_can_be_pressed_without_an_archive(scene: Scene, tmp_path: Path) -> None:
    scene.page.show(tmp_path, None, None)
    scene.root.update()
    assert all(button.instate(["disabled"]) for button in (scene.page._gaps, scene.page._csv, scene.page._cite))
    assert scene.texts(scene.page.grid_widget.canvas)[0].startswith("Choose the folder of an archive")


@pytest.mark.slow
def test_gaps_are_fetched_and_the_manifest_is_written(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    window = open_window(**options(fault_server, out))
    settings = window.app.store.current.to_settings()
    plan = plan_keys(list(objects), window.app.service._access.bucket(settings))
    window.app.actions.download_plan(plan, out)
    window.wait_until(lambda: not wrong(out, objects) and not window.app.service.runs.busy)
    gone = next(iter(objects))
    (out / gone).unlink()
    window.app.actions.show_archive()
    page = window.app.pages.archive
    window.wait_until(lambda: page.audit is not None and page.audit.gaps)
    window.press(page._gaps)
    window.wait_until(lambda: "1 file to fetch" in page.banner.text)
    page.banner._button.invoke()
    window.wait_until(lambda: not wrong(out, objects) and not window.app.service.runs.busy)
    window.app.actions.show_archive()
    window.wait_until(lambda: page.audit is not None and page.audit.is_complete)
    window.press(page._manifest)
    window.wait_until(lambda: "Manifest of 6 files" in page.banner.text)
    assert (out / MANIFEST_NAME).is_file()
    window.press(page._cite)
    window.wait_until(lambda: window.app.dialogs.citation is not None)
    assert window.app.dialogs.citation is not None
    window.app.dialogs.citation._copy.invoke()
    assert "10.5065/BH6N-5N20" in window.root.clipboard_get()
    window.app.dialogs.citation.close()
