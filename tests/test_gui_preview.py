"""Tests of the map of a file in the window: from the queue, by keyboard and mouse, and for files that are damaged."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tkinter import filedialog
from typing import Any

import pytest

from era5dl.gui.backend import messages
from era5dl.gui.controllers.preview import PreviewController
from era5dl.gui.text import i18n
from era5dl.gui.theme.palette import DARK, LIGHT
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.slider import Slider
from era5dl.preview.shown_map import MapRequest
from tests.faultlab import FaultServer
from tests.gui_driver import Window, options
from tests.netcdf_files import write_sample

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]


def shown(window: Window) -> Callable[[], bool]:
    """Return whether the wanted map is on the screen."""
    preview = window.app.controllers.preview
    return lambda: preview.window is not None and preview.window._shown is not None and preview._running is None


def test_a_finished_file_of_the_queue_is_shown_and_the_keyboard_changes_time_and_level(
    open_window: Callable[..., Window], fault_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2):
        sample = write_sample(tmp_path, "an.pl/t", datetime(2021, 2, day), step=20.0)
        fault_server.put(sample.key, sample.path.read_bytes())
    window = open_window(**options(fault_server, tmp_path / "out"))
    window.plan("an.pl/t")
    preview, queue = window.app.controllers.preview, window.page.queue
    queue.table.select((0,))
    queue._open(0)  # a planned file has no map
    assert preview.window is None
    window.press(window.page.request.start)
    window.wait_until(lambda: window.app.service.runs.file_path(0) is not None and not window.app.service.runs.busy)
    window.wait_until(lambda: queue._finished([0, 1]) == [0, 1])
    queue.table.canvas.focus_force()
    queue.table.canvas.event_generate("<Home>")
    queue.table.canvas.event_generate("<Return>")
    window.wait_until(shown(window))
    field_map = preview.window
    assert field_map is not None and field_map._shown is not None
    assert field_map._name.cget("text") == "Temperature"
    assert field_map._when.cget("text").startswith("500 hPa · 2021-02-0")
    assert "mean (area-weighted)" in field_map._statistics.cget("text")

    field_map.slider.focus_force()
    for key, time, level in (
        ("Right", 1, 500), ("Next", 23, 500), ("Left", 22, 500), ("Up", 22, 450), ("Down", 22, 500), ("Home", 0, 500),
        ("End", 23, 500),
    ):  # fmt: skip
        field_map.event_generate(f"<{key}>")
        window.wait_until(lambda time=time: shown(window)() and field_map._shown.time == time)  # type: ignore[misc]
        window.wait_until(lambda level=level: field_map._shown.levels[field_map._shown.level] == level)  # type: ignore[misc]
    assert field_map._moment.cget("text").endswith("23:00 UTC")

    first = field_map._shown.path
    view = field_map.view
    x, y = view._corner
    view.event_generate("<Motion>", x=x + 5, y=y + 5)
    assert field_map._point.cget("text").startswith("90° N  180° W")
    queue.table.canvas.focus_force()
    queue.table.canvas.event_generate("<Down>")  # the window follows the selection
    window.wait_until(lambda: shown(window)() and field_map._shown.path != first)

    picture = tmp_path / "map.png"
    monkeypatch.setattr(filedialog, "asksaveasfilename", lambda **_options: str(picture))
    field_map.slider.focus_force()
    field_map.event_generate("<Control-s>")
    window.wait_until(lambda: field_map._point.cget("text") == f"Saved: {picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    before = field_map.view._images[0]
    window.app.theme.use(DARK)
    i18n.switch("zh_CN")
    window.wait_until(lambda: shown(window)() and field_map.view._images[0] is not before)
    assert field_map._save.cget("text") == "保存图片…"
    field_map.slider.focus_force()
    field_map.event_generate("<Escape>")
    assert preview.window is None


def test_files_that_cannot_be_shown_and_missing_libraries_give_a_message(
    open_window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = write_sample(tmp_path, "invariant/z", datetime(2021, 2, 1), step=20.0)
    half = tmp_path / "half.nc"
    half.write_bytes(sample.path.read_bytes()[:5000])
    window = open_window()
    preview = window.app.controllers.preview

    def message_of(path: Path) -> str:
        preview.show(path)
        window.wait_until(lambda: preview._running is None and preview.window.view._message != "Reading…")  # type: ignore[union-attr]
        assert preview.window is not None
        return preview.window.view._message

    def no_numpy() -> Any:
        from era5dl.preview import INSTALL, UsageError

        raise UsageError("Maps of files need NumPy, which is not installed.", remedy=INSTALL)

    with monkeypatch.context() as patch:
        patch.setattr("era5dl.gui.backend.previews.import_rendering", no_numpy)
        assert 'pip install "era5dl[preview]"' in message_of(sample.path)
    text = message_of(half)
    assert "This file cannot be shown." in text and "half.nc is damaged or not complete" in text
    assert "gone.nc is not a file" in message_of(tmp_path / "gone.nc")
    preview.show(sample.path)
    window.wait_until(shown(window))
    assert preview.window is not None and not preview.window.slider.grid_info()  # it applies to all dates


def test_while_a_map_is_made_only_the_newest_request_waits(root: tk.Tk) -> None:
    class Service:
        def __init__(self) -> None:
            self.requests: list[MapRequest] = []

        def request_map(self, request: MapRequest) -> None:
            self.requests.append(request)

        def release(self) -> None: ...

    service = Service()
    controller = PreviewController(root, Theme(root, LIGHT, 1.0), service, lambda _index: None)  # type: ignore[arg-type]
    controller.show(Path("a.nc"))
    root.update()
    for time in range(1, 6):
        controller._change(time=time)
    assert len(service.requests) == 1
    controller.handle(messages.MapFailed(service.requests[0], messages.ErrorInfo("Era5Error", "no")))
    controller._change(time=7)
    controller._change(time=8)
    controller.show(Path("b.nc"))  # does not wait for the map of another file
    assert [(one.path.name, one.time) for one in service.requests] == [("a.nc", 0), ("a.nc", 7), ("b.nc", 0)]
    controller.handle(messages.MapFailed(service.requests[1], messages.ErrorInfo("Era5Error", "late")))
    assert controller.window is not None and controller.window.view._message == "Reading…"
    controller.close()


def test_slider_by_mouse_and_wheel(root: tk.Tk) -> None:
    chosen: list[int] = []
    slider = Slider(root, Theme(root, LIGHT, 1.0), on_change=chosen.append)
    slider.pack(fill="x")
    slider.show(0, 101)
    root.update()
    slider.event_generate("<Button-1>", x=slider.winfo_width() // 2, y=10)
    slider.event_generate("<B1-Motion>", x=slider.winfo_width() + 50, y=10)
    slider.event_generate("<Button-4>", x=5, y=5)
    assert chosen == [50, 100, 99] and slider.position == 99
