"""Fixtures for tests of the whole window: pytest_plugins = ["tests.gui_screen", "tests.gui_window"]."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from era5dl.gui.models import preferences
from era5dl.gui.models.preferences import Preferences
from era5dl.gui.text import i18n
from tests.faultlab import FaultServer
from tests.gui_driver import Window, two_days


@pytest.fixture
def open_window(screen: object, quick: None) -> Iterator[Callable[..., Window]]:
    """Opens windows. Closes those still open at the end, and fails the test if a Tk callback raised."""
    failures: list[str] = []
    opened: list[Window] = []

    def open_one(**options: Any) -> Window:
        opened.append(Window(failures, **options))
        return opened[-1]

    yield open_one
    for window in opened:
        if window.exists():
            window.close()
    opened.clear()
    gc.collect()  # a Tk variable collected on another thread would abort Python
    assert not failures, "in a callback of Tk:\n" + "\n".join(failures)


@pytest.fixture
def objects(fault_server: FaultServer) -> dict[str, bytes]:
    """The objects in the bucket."""
    return two_days(fault_server)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Preferences with short timeouts, and no access to the desktop of the person who runs the tests."""
    monkeypatch.setattr("era5dl.gui.backend.desktop._spawn", lambda *_args, **_more: None)
    preferences.save(Preferences(language="en", disk_reserve=0, connect_timeout=2.0, read_timeout=3.0, workers=3))
    yield
    i18n.switch("en")
