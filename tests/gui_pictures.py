"""Pictures of the running program on the demo bucket, for the eyes and for the README: python -m tests.gui_pictures OUT

    --palette light dark   --lang en zh_CN   --scale 1 2   --pages download sessions diagnostics log grid done

Each combination is the real program on a private screen: it starts, plans, downloads and is photographed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import tempfile
import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from era5dl.gui.app import App
from era5dl.gui.options import Options
from era5dl.gui.preferences import Preferences
from tests.gui_screen import Screen

LONG = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--palette", nargs="*", default=["light", "dark"])
    parser.add_argument("--lang", nargs="*", default=["en", "zh_CN"])
    parser.add_argument("--scale", nargs="*", type=int, default=[1, 2])
    parser.add_argument(
        "--pages", nargs="*", default=["download", "planned", "grid", "sessions", "diagnostics", "log", "done"]
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cache = Path(tempfile.gettempdir()) / "era5dl-pictures"
    for palette, lang, factor in itertools.product(given.palette, given.lang, given.scale):
        screen = Screen(f"{1280 * factor}x{820 * factor}x24")
        os.environ["DISPLAY"] = screen.name
        try:
            one(given.out, cache, palette, lang, factor, given.pages)
        finally:
            screen.close()


def one(out: Path, cache: Path, palette: str, lang: str, factor: int, pages: list[str]) -> None:
    """All pages in one look."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(_folder(cache)):
        os.environ["ERA5DL_STATE_DIR"] = name
        wanted = asdict(Preferences(theme=palette, language=lang))
        Path(name, "window.json").write_text(json.dumps({"theme": wanted["theme"], "language": lang}))
        root = tk.Tk(className="Era5dl")
        app = App(root, Options(demo=True, out=Path(name) / "era5", scale=float(factor)))
        root.geometry(f"{1280 * factor}x{820 * factor}+0+0")
        root.update()
        root.event_generate("<Motion>", warp=True, x=2, y=2)  # away, so that no tooltip comes

        def shoot(page: str) -> None:
            if page in pages:
                settle(root, 0.6)
                target = out / f"{page}_{palette}_{lang[:2]}_{factor}x.png"
                subprocess.run(["import", "-window", "root", str(target)], check=True)
                print(target)

        def until(reached: Callable[[], bool]) -> None:
            end = time.monotonic() + LONG
            while not reached():
                root.update()
                time.sleep(0.01)
                assert time.monotonic() < end

        request = app.download.request
        until(lambda: not request.start.instate(["disabled"]))
        shoot("planned")
        app.download.show_grid()
        app.download.grid_panel.show(frozenset(range(1991, 2021)), frozenset({6, 7, 8}), frozenset())
        shoot("grid")
        app.download.hide_grid()
        app.start()
        until(lambda: (s := app.conductor.snapshot()) is not None and s.done_bytes > 0.45 * s.total_bytes)
        app.download.queue.table.select([2])
        shoot("download")
        for page in ("sessions", "diagnostics", "log"):
            getattr(app, f"show_{page}")()
            settle(root, 2.2 if page == "diagnostics" else 0.5)
            shoot(page)
        app.show_download()
        if "done" in pages:
            until(lambda: not app.conductor.occupied)
            shoot("done")
        else:
            app.conductor.stop()
            until(lambda: not app.conductor.occupied)
        app.close()
        with contextlib.suppress(tk.TclError):
            root.mainloop()


def settle(root: tk.Tk, seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        root.update()
        time.sleep(0.01)


def _folder(cache: Path) -> Path:
    cache.mkdir(exist_ok=True)
    return cache


if __name__ == "__main__":
    main()
