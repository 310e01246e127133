"""End-to-end test of the window: select, plan, start, pause, resume, stop, close, reopen, finish."""

from __future__ import annotations

import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.engine.events import State
from era5dl.engine.progress import FileState
from era5dl.gui.controllers import download
from tests.faultlab import Fault, FaultServer, Link, pseudo_random
from tests.gui_driver import NAMES, Window, options, two_days, wrong
from tests.runs import running
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.gui_screen", "tests.gui_window"]


@pytest.fixture
def real_objects(seaweed: Seaweed) -> dict[str, bytes]:
    """Objects of a real S3 server: six plain ones, one of them replaced by a multipart upload."""
    seaweed.clear()
    objects = two_days(seaweed)
    key = min(objects)
    objects[key] = pseudo_random(99, 6 * 1024**2)
    seaweed.put(key, objects[key], part_size=5 * 1024**2)
    return objects


def begun(server: FaultServer, out: Path) -> Path:
    """Return the folder of a session that was stopped after some bytes. The link stays slow."""
    server.link = Link(speed=50_000)
    with running(server, out, workers=2) as ran:
        ran.wait_until(lambda: ran.engine.snapshot().done_bytes > 50_000)
        ran.engine.stop()
        ran.wait_for_end()
    return out


def test_a_download_from_selection_to_completion(
    open_window: Callable[..., Window], seaweed: Seaweed, real_objects: dict[str, bytes], tmp_path: Path
) -> None:
    objects, out = real_objects, tmp_path / "era5"
    window = open_window(**options(seaweed, out))
    assert not window.can_start
    window.page.totals.limit.insert(0, "800 kB/s")
    window.page.totals.limit.event_generate("<FocusOut>")
    window.plan(*NAMES)
    assert "6 files · 8.29 MB" in str(window.page.request._plan_summary.figures["text"])
    assert window.page.queue.table.texts_shown()[0][6] == "Planned"

    window.page.request.start.invoke()
    window.wait_until(window.running)
    assert not window.can_start
    window.wait_until(window.app.controllers.monitoring.log.lines)
    assert window.app.controllers.monitoring.log.lines()[0].text == f"t, u, v · an.pl, 2021-02-01 – 2021-02-02 → {out}"
    window.wait_until(lambda: (s := window.app.service.runs.snapshot()) is not None and s.done_bytes > 300_000)
    window.press(window.page.totals.pause)
    window.wait_until(lambda: window.page.totals.can_resume)
    assert str(window.page.totals.pause["text"]) == "Resume"
    window.press(window.page.totals.pause)
    window.wait_until(lambda: window.app.service.runs.snapshot().state is State.RUNNING)  # type: ignore[union-attr]
    window.press(window.page.totals.stop)
    window.wait_until(lambda: not window.app.service.runs.busy and "Stopped" in window.page.banner.text)
    assert wrong(out, objects)
    window.close()

    second = open_window(**options(seaweed, out))
    second.wait_until(lambda: "was interrupted at" in second.page.banner.text)
    second.page.banner._button.invoke()
    second.wait_until(second.running)
    second.page.totals.limit.delete(0, "end")
    second.page.totals.limit.event_generate("<FocusOut>")
    second.wait_until(lambda: "6 files downloaded and verified" in second.page.banner.text)
    assert wrong(out, objects) == []
    assert second.page.queue._files.counts()[second.page.queue._files.shown] == 6
    second.close()


def test_totals_and_chart_alternate_on_a_slow_computer(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If refreshes are further apart than SPEED_INTERVAL, the chart is due each time; numbers must still be shown."""
    fault_server.link = Link(speed=50_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    monkeypatch.setattr(download, "SPEED_INTERVAL", 0.0)
    window.plan("an.pl/t")
    window.app.actions.start()
    window.press(window.page.totals.pause, timeout=5.0)
    window.wait_until(lambda: window.page.totals.can_resume, timeout=5.0)
    assert len(window.app.controllers.download._speeds) > 1
    window.close()


def test_closing_during_a_download_asks_once_and_is_quick(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=50_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.plan("an.pl/t")
    window.app.actions.start()
    window.wait_until(window.running)
    window.app.actions.close()
    question = window.app.dialogs.question
    assert question is not None
    window.app.actions.close()
    assert window.app.dialogs.question is question
    question.no.invoke()
    assert window.app.service.runs.busy
    began = time.monotonic()
    window.close()
    assert time.monotonic() - began < 2.0
    assert list((tmp_path / "era5" / ".era5dl").glob("*.json"))


def test_failed_files_are_explained_and_retried(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    bad = next(key for key in objects if "_u." in key)
    fault_server.script(Fault("no-such-key", times=1), key=bad)
    out = tmp_path / "era5"
    window = open_window(**options(fault_server, out))
    window.plan(*NAMES)
    window.app.actions.start()
    window.wait_until(lambda: "1 file failed" in window.page.banner.text)
    model = window.app.queue
    (index,) = model.failed()
    assert model.objects[index].key == bad
    window.page.queue.table.select([index])
    window.page.queue.refresh()
    assert "The server does not have this file" in str(window.page.queue._detail["text"])
    window.page.banner._button.invoke()
    window.wait_until(lambda: not window.app.queue.failed() and not window.app.service.runs.busy)
    window.wait_until(lambda: "verified" in window.page.banner.text)
    assert wrong(out, objects) == []
    window.close()


def test_the_newest_selection_is_planned_and_invalid_dates_are_explained(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.pick("an.pl/t")
    window.choose_days("2021-02-01", "2021-02-30")
    window.wait_until(lambda: "does not exist" in str(window.page.request._period._error["text"]))
    assert not window.can_start
    window.choose_days("2021-02-01", "2021-02-02")
    window.root.update()
    window.pick("an.pl/u")
    window.wait_until(lambda: window.can_start)
    assert "4 files" in str(window.page.request._plan_summary.figures["text"])
    window.choose_days("2021-02-02", "2021-02-01")
    window.wait_until(lambda: not window.can_start)
    assert "before the start" in str(window.page.request._period._error["text"])
    window.close()


def test_language_and_theme_change_during_a_download(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    fault_server.link = Link(speed=100_000)
    window = open_window(**options(fault_server, tmp_path / "era5"))
    window.plan("an.pl/t")
    window.app.actions.start()
    window.wait_until(window.running)
    window.app.controllers.preferences.use_language("zh_CN")
    window.app.actions.switch_theme()
    window.root.update()
    assert str(window.page.totals.stop["text"]) == "停止"
    assert "完整文件" in str(window.page.request._subset._state["text"]), "texts that depend on the fields, too"
    assert window.app.theme.palette.dark
    window.close()


def test_a_folder_on_the_command_line_resumes_its_session(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    out = begun(fault_server, tmp_path / "era5")
    fault_server.link = Link()
    window = open_window(endpoint_url=fault_server.endpoint_url, bucket=fault_server.bucket, folder=out)
    window.wait_until(lambda: "downloaded and verified" in window.page.banner.text)
    assert wrong(out, objects) == []
    window.close()


def test_a_session_of_another_server_needs_consent_and_is_marked(
    open_window: Callable[..., Window], fault_server: FaultServer, objects: dict[str, bytes], tmp_path: Path
) -> None:
    out = begun(fault_server, tmp_path / "era5")
    window = open_window(folder=out)
    window.wait_until(lambda: window.app.dialogs.consent)
    assert window.app.dialogs.consent is not None
    window.app.dialogs.consent.yes.invoke()
    window.wait_until(lambda: f"come from {fault_server.endpoint_url}, not from Amazon" in window.page.banner.text)
    window.close()
    window = open_window(**options(fault_server, out) | {"folder": out})
    window.wait_until(window.running)
    window.press(window.page.totals.pause)
    assert "Amazon" not in window.page.banner.text, "it is the one that was asked for"
    window.close()


def test_files_are_held_and_released_by_shortcut_and_menu(
    open_window: Callable[..., Window],
    fault_server: FaultServer,
    objects: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault_server.link = Link(speed=100_000)
    out = tmp_path / "era5"
    window = open_window(**options(fault_server, out))
    window.plan(*NAMES)
    queue = window.page.queue
    queue.hold_or_release()  # does nothing before a run
    window.app.actions.start()
    window.wait_until(lambda: (s := window.app.service.runs.snapshot()) is not None and s.done_bytes > 100_000)

    queue.table.canvas.focus_force()
    queue.table.canvas.event_generate("<Control-a>")
    queue.table.canvas.event_generate("<Control-h>")
    window.wait_until(lambda: "Only held files remain" in window.page.banner.text)
    window.wait_until(lambda: {row[6] for row in queue.table.texts_shown() if row[0]} == {"Held"})
    window.wait_until(lambda: "6 held" in str(window.page.totals._detail["text"]))
    window.wait_until(lambda: window.page.totals.can_resume)

    fault_server.link = Link()
    queue.table.select([2])
    shown: list[tk.Menu] = []
    monkeypatch.setattr(tk.Menu, "tk_popup", lambda menu, *_place: shown.append(menu))
    queue._show_menu(0, 0)
    (menu,) = shown
    entries = {menu.entrycget(i, "label"): i for i in range(menu.index("end") + 1) if menu.type(i) == "command"}
    assert str(menu.entrycget(entries["Hold"], "state")) == "disabled"
    menu.invoke(entries["Release"])
    window.wait_until(lambda: window.app.queue.states.count(FileState.VERIFIED) == 1)
    assert window.app.queue.states[2] == FileState.VERIFIED
    window.wait_until(lambda: "Only held files remain" in window.page.banner.text)

    window.wait_until(lambda: window.page.totals.can_resume)  # the button follows the banner
    window.press(window.page.totals.pause)
    window.wait_until(lambda: "6 files downloaded and verified" in window.page.banner.text)
    assert wrong(out, objects) == []
    window.close()


def test_a_hundred_thousand_files_are_held_at_once(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(endpoint_url="http://127.0.0.1:9", bucket="b", out=tmp_path)
    queue, model, asked = window.page.queue, window.app.queue, []
    model.load([ObjectInfo(f"e5/{i:06}.nc", 1000, "") for i in range(100_000)])
    queue._callbacks = replace(queue._callbacks, hold=asked.append, release=asked.append)
    queue.begin(True)
    queue.table.canvas.focus_force()
    window.root.update()
    queue.table.canvas.event_generate("<Control-a>")
    window.app.actions.hold_or_release()
    model.update(None, bytes([FileState.HELD]) * 100_000, time.monotonic() + 1e6)
    queue.refresh()
    window.app.actions.hold_or_release()
    assert [len(chosen) for chosen in asked] == [100_000, 100_000]
    assert "100,000 files selected" in str(queue._detail["text"])
    window.close()
