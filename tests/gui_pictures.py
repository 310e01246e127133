"""Takes pictures of the running program on the demo bucket, for review and for the README:

    python -m tests.gui_pictures OUT --palette light dark --lang en zh_CN --scale 1 2 --size 1280x820
        --pages planned grouped nosaving grid part download queue sessions diagnostics log done settings help offer
        --folder /data/era5

Each combination is the real program on a private display: it starts, creates a plan and downloads. --folder: download
folder that the pictures show; its parent must not exist, and is removed afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from era5dl.gui.app import App
from era5dl.gui.models import area_presets
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.request_form import Period
from era5dl.gui.models.subset_form import SubsetFields
from era5dl.gui.startup_options import StartupOptions
from tests.gui_screen import Screen

LONG = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--palette", nargs="*", default=["light", "dark"])
    parser.add_argument("--lang", nargs="*", default=["en", "zh_CN"])
    parser.add_argument("--scale", nargs="*", type=int, default=[1, 2])
    parser.add_argument(
        "--pages",
        nargs="*",
        default=[
            "download",
            "planned",
            "grid",
            "part",
            "sessions",
            "diagnostics",
            "log",
            "done",
            "settings",
            "help",
            "offer",
        ],
    )
    parser.add_argument("--size", default="1280x820", help="of the window, in unscaled pixels")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.folder and given.folder.parent.exists():
        parser.error(f"{given.folder.parent} exists already")
    given.out.mkdir(parents=True, exist_ok=True)
    cache = Path(tempfile.gettempdir()) / "era5dl-pictures"
    for palette, lang, factor in itertools.product(given.palette, given.lang, given.scale):
        wide, high = (int(length) * factor for length in given.size.split("x"))
        screen = Screen(f"{wide}x{high}x24")
        os.environ["DISPLAY"] = screen.name
        try:
            what = (given.out.absolute(), cache, palette, lang, factor, given.pages, f"{wide}x{high}+0+0", given.folder)
            process = multiprocessing.get_context("spawn").Process(target=one, args=what)  # Tk never releases a display
            process.start()
            process.join()
        finally:
            screen.close()


def one(
    out: Path, cache: Path, palette: str, lang: str, factor: int, pages: list[str], place: str, folder: Path | None
) -> None:
    """Take the pictures of all pages with one palette, language and scale."""
    os.chdir(_folder(cache))
    with tempfile.TemporaryDirectory() as name:
        os.environ["ERA5DL_STATE_DIR"] = name
        folder = folder or Path(name) / "own" / "era5"
        wanted = asdict(Preferences(theme=palette, language=lang))
        Path(name, "window.json").write_text(json.dumps({"theme": wanted["theme"], "language": lang}))
        root = tk.Tk(className="Era5dl")
        app = App(root, StartupOptions(demo=True, out=folder, scale=float(factor)))
        root.geometry(place)
        root.update()
        root.event_generate("<Motion>", warp=True, x=2, y=2)  # so that no tooltip appears

        def shoot(page: str) -> None:
            shoot_as(page, page)

        def shoot_as(page: str, name: str) -> None:
            if page in pages:
                settle(root, 0.6)
                target = out / f"{name}_{palette}_{lang[:2]}_{factor}x.png"
                subprocess.run(["import", "-window", "root", str(target)], check=True)
                print(target)

        def wait_until(reached: Callable[[], bool]) -> None:
            end = time.monotonic() + LONG
            while not reached():
                root.update()
                time.sleep(0.01)
                assert time.monotonic() < end

        request = app.pages.download.request
        wait_until(lambda: not request.start.instate(["disabled"]))
        shoot("planned")
        if "grouped" in pages:
            queue = app.pages.download.queue
            for choice, shown in ((queue._grouped, True), (queue._keys, True), (queue._keys, False)):
                choice.set(shown)
                queue._change_view()
                shoot_as("grouped", "keys" if queue._keys.get() else "grouped")
            queue._grouped.set(False)
            queue._change_view()
        if "nosaving" in pages:
            request.show_subset_choice(SubsetFields(levels=frozenset({500})))
            settle(root, 2.0)
            shoot("nosaving")
            request.show_subset_choice(SubsetFields())
            wait_until(lambda: not request.start.instate(["disabled"]))
        app.pages.download.show_grid()
        app.pages.download.grid_panel.show(frozenset(range(1991, 2021)), frozenset({6, 7, 8}), frozenset())
        shoot("grid")
        app.pages.download.hide_grid()
        if "part" in pages:
            app.pages.download.show_subset()
            editor = app.pages.download.subset_panel
            area = next(one for one in area_presets.presets() if one.english == "China")
            editor.region.presets._choose(area.name)
            editor.hours._quick[1].invoke()
            settle(root, 1.0)
            wait_until(lambda: not request.start.instate(["disabled"]))
            settle(root, 4.0)  # until the indexes are read, and the figures exact
            shoot("part")
            editor.whole_files.invoke()
            app.pages.download.hide_subset()
            wait_until(lambda: not request.start.instate(["disabled"]))
        app.actions.start()
        wait_until(lambda: (s := app.service.runs.snapshot()) is not None and s.done_bytes > 0.45 * s.total_bytes)
        app.pages.download.queue.table.select([2])
        shoot("download")
        if "queue" in pages:
            _fill_queue(app, wait_until)
            app.actions.show_download()
            shoot_as("queue", "adding")
            app.actions.show_sessions()
            app.pages.sessions.jobs.table.select([2])
            app.pages.sessions.jobs._update()
            shoot("queue")
        for page in ("sessions", "diagnostics", "log"):
            getattr(app.actions, f"show_{page}")()
            settle(root, 2.2 if page == "diagnostics" else 0.5)
            shoot(page)
        app.actions.show_download()
        if "settings" in pages:
            app.actions.show_settings()
            dialog = app.dialogs._settings
            assert dialog is not None
            tabs: Any = dialog._tabs
            for number in range(tabs.index("end")):
                tabs.select(number)
                shoot_as("settings", f"settings{number}")
            dialog.close()
        if "help" in pages:
            app.actions.show_help()
            shoot("help")
            assert app.dialogs._help is not None
            app.dialogs._help.close()
        if "offer" in pages:
            app.service.runs.stop()
            wait_until(lambda: not app.service.runs.busy)
            app.controllers.download._resume_offered = False
            app.service.sessions.request_list()
            settle(root, 0.5)
            shoot("offer")
            app.pages.download.banner._button.invoke()
            settle(root, 1.0)
        if "done" in pages:
            wait_until(lambda: not app.service.runs.busy)
            shoot("done")
        else:
            app.service.runs.stop()
            wait_until(lambda: not app.service.runs.busy)
        app.actions.close()
        with contextlib.suppress(tk.TclError):
            root.mainloop()
        shutil.rmtree(folder.parent, ignore_errors=True)


def _fill_queue(app: App, wait_until: Callable[[Callable[[], bool]], None]) -> None:
    """Add three downloads to the queue, and pause one of them."""
    request, jobs = app.pages.download.request, app.controllers.jobs
    for number, last in enumerate(("2021-03-31", "2022-12-31", "latest"), start=1):
        app.controllers.request.fill(replace(request.fields, period=Period.RANGE, first="2021-01-01", last=last))
        wait_until(lambda: not request.start.instate(["disabled"]))
        app.actions.add_to_queue()
        wait_until(lambda number=number: len(jobs._jobs) == number)  # type: ignore[misc]
    app.service.jobs.pause(3)
    wait_until(lambda: str(jobs._jobs[2].state.value) == "paused")


def settle(root: tk.Tk, seconds: float) -> None:
    """Run the event loop for some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        root.update()
        time.sleep(0.01)


def _folder(cache: Path) -> Path:
    cache.mkdir(exist_ok=True)
    return cache


if __name__ == "__main__":
    main()
