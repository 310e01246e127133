"""Shows the Sessions, Diagnostics and Log pages and the dialogs with sample values:

    python -m tests.gui_pages --page sessions --palette dark --lang zh_CN --scale 2 --shot FILE

Without --shot the window stays open. With it, the program takes a picture on a private display and ends.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
import tkinter as tk
from dataclasses import replace
from pathlib import Path
from tkinter import ttk

from era5dl.diagnosis.measured_bucket import Traffic
from era5dl.diagnosis.metrics import Process, Sample
from era5dl.diagnosis.network_test import NetworkTest, Timing
from era5dl.engine.events import (
    FileDone,
    FileFailed,
    FileRetrying,
    FileStarted,
    Outcome,
    State,
    StateChanged,
    Throttled,
)
from era5dl.gui.dialogs.help import HelpDialog
from era5dl.gui.dialogs.settings import SettingsCallbacks, SettingsDialog
from era5dl.gui.models.charts import chart_data
from era5dl.gui.models.log import LogModel
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.sessions import rows
from era5dl.gui.pages.diagnostics import DiagnosticsCallbacks, DiagnosticsPage
from era5dl.gui.pages.jobs_panel import JobsCallbacks
from era5dl.gui.pages.log import LogCallbacks, LogPage
from era5dl.gui.pages.sessions import SessionsCallbacks, SessionsPage
from era5dl.gui.text import diagnosis_text, i18n
from era5dl.gui.text.event_text import LogLevel
from era5dl.gui.text.i18n import N_, _
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.session.summary import SessionStatus, SessionSummary

PAGES = ("sessions", "empty", "diagnostics", "untested", "log", "settings", "connection", "window", "help")
NOW = 1_790_000_000.0


def nothing(*_given: object) -> str:
    return ""


def summaries() -> list[SessionSummary]:
    """Return a session of each status."""
    first = SessionSummary(
        id="0123456789ab", folder=Path("/data/era5/typhoon"),
        title="t, u, v of e5.oper.an.pl, 2021-02-01 to 2021-02-28",
        created=NOW - 9e5, updated=NOW - 130, files=84, done_files=51, total_bytes=99_000_000_000,
        done_bytes=61_380_000_000, failed=0, ended=False, status=SessionStatus.INTERRUPTED,
    )  # fmt: skip
    return [
        replace(first, id="0" * 12, updated=NOW - 20, status=SessionStatus.RUNNING,
                title="2t of e5.oper.an.sfc, 2023-01-01 to 2023-12-31",
                files=12, done_files=3, total_bytes=17_800_000_000, done_bytes=5_900_000_000),
        first,
        replace(first, id="1" * 12, updated=NOW - 9000,
                title="9 variables of e5.oper.an.sfc and e5.oper.an.pl, 1979-01-01 to 2024-12-31 (with gaps)",
                files=100_000, done_files=99_999, done_bytes=98_999_999_999),
        replace(first, id="2" * 12, updated=NOW - 86400, status=SessionStatus.DONE, ended=True, done_files=84,
                done_bytes=99_000_000_000,
                folder=Path("/data/era5/wind"), title="100u, 100v of e5.oper.an.sfc, 2020-06-01 to 2020-08-31"),
        replace(first, id="3" * 12, updated=NOW - 3e5, status=SessionStatus.DONE, ended=True, failed=2, done_files=82,
                title="12,345 keys from a list"),
        replace(first, id="4" * 12, updated=NOW - 9e5, status=SessionStatus.FOLDER_MISSING, files=0,
                title="tp of e5.oper.fc.sfc.accumu, 2022-07-01 to 2022-07-31"),
        replace(first, id="5" * 12, updated=NOW - 2e6, status=SessionStatus.DAMAGED, files=0, title="?"),
    ]  # fmt: skip


def samples(now: float) -> list[Sample]:
    """Return metrics of an hour with an outage, a throttle and a suspend."""
    dice = random.Random(4)
    taken = []
    speed = 40e6
    for number in range(1800):
        at = now - 3600 + 2 * number
        if 900 < number < 990:
            continue
        down = 500 < number < 560
        speed = max(4e6, min(90e6, speed + dice.gauss(0, 2.5e6)))
        fine = not down
        taken.append(
            Sample(
                at,
                Process(
                    16 + (number % 7) if fine else 4, 1, int(96e6 + 6e6 * math.sin(number / 200)), 44 + number % 5, 21
                ),
                running=number > 60,
                speed=speed if fine and number > 60 else 0.0,
                in_flight=16 if fine and number > 60 else 0,
                allowed=16, workers=16,
                retries=dice.randrange(2) if number % 30 == 0 or down else 0,
                throttles=int(1200 < number < 1230 and number % 5 == 0),
                first_byte_p50=0.18 + 0.02 * dice.random() if fine and number % 3 == 0 else None,
                first_byte_p95=0.31 + 0.2 * dice.random() if fine and number % 3 == 0 else None,
                traffic=Traffic(number, {"Interrupted": number // 400}, 0.7 * number, 0.1 * number, (5e6,) * 8),
            )
        )  # fmt: skip
    return taken


def diagnosis() -> NetworkTest:
    near = Timing(10, 0.0924, 0.0891, 0.1012, 0.0031, 0)
    return NetworkTest(
        endpoint="https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/", proxy="http://proxy.example.edu:3128",
        addresses=("10.1.2.3",), dns_seconds=0.0123, connect=near, tls=Timing(9, 0.2011, 0.188, 0.231, 0.01, 1),
        tls_version="TLSv1.3", issuer="Amazon", first_byte=Timing(10, 0.214, 0.190, 0.410, 0.034, 0), status=200,
        clock_ahead=0.0, throughput=34e6, sample_bytes=32_000_000, failed_step="", error="", proxy_source="HTTPS_PROXY",
    )  # fmt: skip


def book() -> LogModel:
    made = LogModel(clock=lambda: NOW)
    key = "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.20210201{:02}_20210201{:02}.nc"
    made.add(LogLevel.INFO, "t, u, v of e5.oper.an.pl, 2021-02-01 to 2021-02-28")
    made.handle_event(StateChanged(State.RUNNING, ""))
    for hour in range(0, 24, 4):
        made.handle_event(FileStarted(hour, key.format(hour, hour + 3), 1_190_000_000, 0 if hour else 402_000_000))
    made.handle_event(FileRetrying(4, key.format(4, 7), "the connection ended 8000000 bytes too early", 0, 1.0))
    made.handle_event(Throttled(4, 3.0))
    made.handle_event(FileDone(0, key.format(0, 3), 1_190_000_000, "", Outcome.VERIFIED, "", adopted=False))
    made.handle_event(StateChanged(State.WAITING_FOR_NETWORK, "no route to host"))
    made.handle_event(StateChanged(State.RUNNING, ""))
    made.handle_event(FileFailed(8, key.format(8, 11), "There is no such object in the bucket.", "Leave it out."))
    return made


def build(root: tk.Tk, theme: Theme, page: str) -> None:
    """Build the window around the pages."""
    px = theme.px
    root.geometry(f"{px(1280)}x{px(800)}+0+0")
    top = ttk.Frame(root, style="Page.TFrame")
    top.pack(fill="x", padx=px(18), pady=(px(12), px(4)))
    ttk.Label(top, text="ERA5 Downloader", style="Page.Title.TLabel").pack(side="left")
    tabs = ttk.Notebook(root)
    tabs.pack(fill="both", expand=True, padx=px(10), pady=(0, px(10)))
    callbacks = SessionsCallbacks(*[nothing] * 9, jobs=JobsCallbacks(*[nothing] * 6))
    sessions = SessionsPage(tabs, theme, callbacks)
    diagnostics = DiagnosticsPage(tabs, theme, DiagnosticsCallbacks(nothing, nothing))
    log = LogPage(tabs, theme, LogCallbacks(nothing, nothing))
    for frame, title in ((sessions, _("Sessions")), (diagnostics, _("Diagnostics")), (log, _("Log"))):
        frame.configure(padding=(px(6), px(12), px(6), 0))
        tabs.add(frame, text=title)
    if page != "empty":
        sessions.show(rows(summaries(), {("0" * 12, Path("/data/era5/typhoon")): State.RUNNING}, now=NOW))
        sessions.table.canvas.focus_set()
    now = time.monotonic()
    if page != "untested":
        diagnostics.show(chart_data(samples(now), now))
        diagnostics.show_steps(diagnosis_text.network_test_rows(diagnosis()))
        diagnostics.show_diagnoses(diagnosis_text.describe_diagnoses(samples(now), diagnosis()))
    else:
        diagnostics.show_diagnoses(diagnosis_text.describe_diagnoses([], None))
        diagnostics.show_testing(True)
    log.show(book())
    tabs.select({"diagnostics": 1, "untested": 1, "log": 2}.get(page, 0))  # type: ignore[arg-type]
    root.update()
    if page == "sessions":
        sessions.table.canvas.event_generate("<Button-1>", x=px(60), y=int(sessions.table.row_height * 2.5))
    if page in ("settings", "connection", "window"):
        dialog = SettingsDialog(root, theme, Preferences(), SettingsCallbacks(nothing, nothing, nothing, nothing))
        dialog._tabs.select({"connection": 1, "window": 2}.get(page, 0))  # type: ignore[arg-type]
        dialog.enter("proxy", "ftp://nowhere")
        dialog.enter("read_timeout", "9999")
    if page == "help":
        HelpDialog(
            root,
            theme,
            [(N_("Settings"), "~/.config/era5dl/window.json"), (N_("Log"), "~/.local/state/era5dl/logs")],
            nothing,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", choices=PAGES, default="sessions")
    parser.add_argument("--palette", choices=tuple(PALETTES), default="light")
    parser.add_argument("--lang", default="en")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--shot", type=Path)
    options = parser.parse_args()
    screen = None
    if options.shot:
        from tests.gui_screen import Screen, look_at

        screen = Screen(f"{int(1280 * options.scale)}x{int(800 * options.scale)}x24")
        os.environ["DISPLAY"] = screen.name
    i18n.switch(options.lang)
    root = tk.Tk()
    theme = Theme(root, PALETTES[options.palette], options.scale)
    build(root, theme, options.page)
    if screen is None:
        root.mainloop()
        return
    root.focus_force()
    for _turn in range(6):
        root.update()
        time.sleep(0.05)
    look_at(screen, options.shot)
    root.destroy()
    screen.close()


if __name__ == "__main__":
    main()
