"""Drives the window in tests: the actions of a user, and the objects that a test server needs for them."""

from __future__ import annotations

import hashlib
import time
import tkinter as tk
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tkinter import ttk
from types import TracebackType
from typing import Any

from era5dl.catalog import find_variable, key_of, periods
from era5dl.gui.app import App
from era5dl.gui.startup_options import StartupOptions
from tests.faultlab import FaultServer, pseudo_random
from tests.servers.seaweed import Seaweed

LONG = 30.0
DAYS = (date(2021, 2, 1), date(2021, 2, 2))
NAMES = ("an.pl/t", "an.pl/u", "an.pl/v")


class Window:
    """An App and the actions of a user. failures: collects the tracebacks of exceptions in Tk callbacks."""

    def __init__(self, failures: list[str], **options: Any) -> None:
        self.root = tk.Tk()
        self.app = App(self.root, StartupOptions(scale=1.0, **options))

        def failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            failures.append("".join(traceback.format_exception(kind, error, trace)))

        self.root.report_callback_exception = failed
        self.page = self.app.pages.download

    def wait_until(self, reached: Callable[[], object], timeout: float = LONG) -> None:
        end = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < end, "timed out"
            self.root.update()
            time.sleep(0.003)

    @property
    def can_start(self) -> bool:
        return not self.page.request.start.instate(["disabled"])

    def press(self, button: ttk.Button, timeout: float = LONG) -> None:
        """Press a button as soon as it is enabled; `invoke` of a disabled one does nothing and raises nothing."""
        self.wait_until(lambda: not button.instate(["disabled"]), timeout)
        button.invoke()

    def pick(self, *names: str) -> None:
        """Search for each variable and check it with the keyboard."""
        request = self.page.request
        for name in names:
            product, short = name.split("/")
            request.search.set(name)
            tree = request.tree.tree
            item = next(i for i, leaf in request.tree._leaves.items() if leaf.id == name)
            tree.focus_force()
            tree.focus(item)
            tree.selection_set(item)
            self.root.update()
            tree.event_generate("<space>")
            self.root.update()
            assert name in request.fields.variables, (product, short)
        request.search.set("")

    def choose_days(self, first: str, last: str) -> None:
        for field, text in ((self.page.request.first, first), (self.page.request.last, last)):
            field.entry.delete(0, "end")
            field.entry.insert(0, text)

    def plan(self, *names: str) -> None:
        """Select these variables for the days of `two_days`, and wait for the plan."""
        self.pick(*names)
        self.choose_days(*map(str, DAYS))
        self.wait_until(lambda: self.can_start)

    def running(self) -> bool:
        return self.app.service.runs.snapshot() is not None

    def close(self) -> None:
        """Close the window, confirm if asked, and wait until it is destroyed."""
        self.app.actions.close()
        if self.app.dialogs.question is not None:
            self.app.dialogs.question.yes.invoke()
        end = time.monotonic() + 5
        while self.exists():
            assert time.monotonic() < end, "the window does not close"
            self.root.update()
            time.sleep(0.003)

    def exists(self) -> bool:
        try:
            return bool(self.root.winfo_exists())
        except tk.TclError:
            return False


def wrong(folder: Path, objects: dict[str, bytes]) -> list[str]:
    return [
        key
        for key, data in objects.items()
        if not (folder / key).is_file()
        or hashlib.sha256((folder / key).read_bytes()).digest() != hashlib.sha256(data).digest()
    ]


def options(server: FaultServer | Seaweed, out: Path) -> dict[str, Any]:
    return {"endpoint_url": server.endpoint_url, "bucket": server.bucket, "out": out}


def two_days(server: FaultServer | Seaweed) -> dict[str, bytes]:
    """Put two days of three variables into the bucket, 400 kB per file. Returns the objects by key."""
    stored = {}
    for number, name in enumerate(NAMES):
        variable = find_variable(name)
        for period in periods(variable.product, *DAYS):
            data = pseudo_random(number * 10 + period.start.day, 400_000)
            stored[key_of(variable, period)] = data
            server.put(key_of(variable, period), data)
    return stored
