"""Tests of the settings dialog and its form: bounds, messages, live changes, reset; and of the help dialog."""

from __future__ import annotations

import tkinter as tk
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.formatting import format_exact_size, parse_size
from era5dl.gui.dialogs.help import HelpDialog, citation
from era5dl.gui.dialogs.settings import SettingsCallbacks, SettingsDialog
from era5dl.gui.models import settings_form
from era5dl.gui.models.preferences import BOUNDS, Preferences
from era5dl.gui.models.settings_form import FIELDS, read, texts
from era5dl.gui.text import i18n
from era5dl.gui.text.i18n import N_
from era5dl.gui.theme.palette import DARK
from era5dl.gui.theme.theme import Theme

pytest_plugins = ["tests.gui_screen"]

HIDDEN = {
    "geometry",
    "request_width",
    "queue_grouped",
    "queue_keys",
    "selection",
}  # preferences that the window saves by itself


def test_every_setting_has_a_field() -> None:
    assert set(FIELDS) == {field.name for field in fields(Preferences)} - HIDDEN


def test_every_number_has_bounds_and_a_unit() -> None:
    numbers = {field.name for field in fields(Preferences) if type(field.default) in (int, float)} | {"workers"}
    assert numbers == set(BOUNDS)
    assert all(FIELDS[name].unit for name in numbers - HIDDEN)


def test_displayed_values_can_be_read_back() -> None:
    odd = Preferences(
        folder="/data/x", workers=16, rate_limit=1_234_567, retries=0, connect_timeout=2.5, read_timeout=600,
        disk_reserve=3 * 1024**3, verify=False, flat=True, proxy="http://u:p@h:1", endpoint_url="https://m.example",
        bucket="other", region="eu-west-1", language="zh_CN", theme="dark", notifications=False, geometry="+1+1",
        selection="{}",
    )  # fmt: skip
    for preferences in (Preferences(), odd):
        assert read(
            texts(preferences), Preferences(geometry=preferences.geometry, selection=preferences.selection)
        ) == (
            preferences,
            {},
        )


@pytest.mark.parametrize(
    ("name", "entered", "problem"),
    [
        ("workers", "0", "Enter a value from 1 to 64."),
        ("workers", "65", "Enter a value from 1 to 64."),
        ("workers", "", "Enter a number."),
        ("workers", "eight", "Enter a number."),
        ("workers", "٨", "Enter a number."),
        ("workers", "9" * 5000, "Enter a number."),
        ("retries", "-1", "Enter a value from 0 to 100."),
        ("read_timeout", "1", "Enter a value from 2 to 600."),
        ("read_timeout", "nan", "Enter a value from 2 to 600."),
        ("read_timeout", "inf", "Enter a value from 2 to 600."),
        ("rate_limit", "fast", "Enter a value such as 500K, 5M or 1.5G."),
        ("rate_limit", "-5M", "Enter a value such as 500K, 5M or 1.5G."),
        ("rate_limit", "0.5", "Enter a value such as 500K, 5M or 1.5G."),
        ("rate_limit", "900T", "The maximum is 100G."),
        ("rate_limit", "8h,1M", "Enter a timetable such as 08:00,1M 20:00,off or Mon-08:00,1M Sat-00:00,off."),
        ("disk_reserve", "5 apples", "Enter a value such as 500K, 5M or 1.5G."),
        ("proxy", "ftp://x", "This is not a proxy address. Use http://host:port or socks5h://host:port."),
        ("endpoint_url", "nowhere", "This is not a web address. Use http://host:port."),
        ("ca_bundle", "/no/such/file", "This file does not exist."),
        ("bucket", "s3://x/y", "Enter only the name, without s3:// or a path."),
        ("region", "us west", "Enter a region such as us-west-2."),
        ("folder", "relative/path", "Enter the full path."),
        ("proxy", "http://a\x00b", "It contains invalid characters."),
    ],
)
def test_errors_are_described_and_other_fields_are_accepted(name: str, entered: str, problem: str) -> None:
    before = Preferences()
    made, problems = read({**texts(before), name: entered, "theme": "dark"}, before)
    assert problems == {name: problem}
    assert made == replace(before, theme="dark")


@pytest.mark.parametrize(
    ("name", "entered", "value"),
    [
        ("workers", "Auto", "auto"),
        ("workers", "auto (23)", "auto"),
        ("workers", " 12 ", 12),
        ("rate_limit", "", 0),
        ("rate_limit", "5 MB/s", 5_000_000),
        ("rate_limit", "08:00,1M   20:00,OFF ", "08:00,1M 20:00,off"),
        ("rate_limit", "off", 0),
        ("rate_limit", "1.5M", 1_500_000),
        ("disk_reserve", "512MiB", 512 * 1024 * 1024),
        ("bucket", " ", "nsf-ncar-era5"),
        ("proxy", " http://h:1 ", "http://h:1"),
        ("read_timeout", " 30 ", 30.0),
        ("folder", "~", str(Path.home())),
    ],
)
def test_common_notations_are_accepted(name: str, entered: str, value: object) -> None:
    made, problems = read({name: entered}, Preferences())
    assert not problems
    assert getattr(made, name) == value


@given(st.integers(0, 10**14))
def test_sizes_can_be_read_back_exactly(count: int) -> None:
    assert parse_size(format_exact_size(count)) == count


@pytest.mark.slow
@example({"folder": "~0"})
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=30)))
def test_no_input_raises(entered: dict[str, str]) -> None:
    chosen = {name: text for name, text in entered.items() if FIELDS[name].kind is not settings_form.Kind.CHOICE}
    made, problems = read(chosen, Preferences())
    assert all(getattr(made, name) == getattr(Preferences(), name) for name in problems)


class Scene:
    def __init__(self, root: tk.Tk, preferences: Preferences) -> None:
        self.root, self.theme = root, Theme(root)
        self.changes: list[Preferences] = []
        self.closed = 0
        self.answer = ""
        root.update()
        callbacks = SettingsCallbacks(
            self.changes.append, lambda _path: self.answer, lambda _path: self.answer, self._close
        )
        self.dialog = SettingsDialog(root, self.theme, preferences, callbacks)
        root.update()

    def _close(self) -> None:
        self.closed += 1

    def below(self, name: str) -> str:
        return str(self.dialog._lines[name].below["text"])


@pytest.fixture
def scene(root: tk.Tk) -> Scene:
    return Scene(root, Preferences(workers=5, geometry="900x700+1+1"))


def test_opening_the_dialog_changes_nothing(scene: Scene) -> None:
    assert scene.changes == []
    assert scene.dialog.preferences == Preferences(workers=5, geometry="900x700+1+1")


def test_valid_input_takes_effect_at_once(scene: Scene) -> None:
    scene.dialog.enter("workers", "12")
    scene.dialog.enter("rate_limit", "5M")
    scene.dialog.enter("verify", False)
    scene.dialog.enter("theme", "dark")
    last = scene.changes[-1]
    assert (last.workers, last.rate_limit, last.verify, last.theme) == (12, 5_000_000, False, "dark")
    assert last.geometry == "900x700+1+1"


def test_an_error_is_shown_below_its_field_and_changes_nothing(scene: Scene) -> None:
    scene.dialog.enter("proxy", "ftp://x")
    scene.root.update()
    assert scene.changes == []
    assert scene.below("proxy").startswith("This is not a proxy")
    assert scene.dialog._lines["proxy"].below.winfo_manager()
    assert scene.dialog._lines["proxy"].control.instate(["invalid"])
    assert not scene.dialog._lines["workers"].control.instate(["invalid"])
    scene.dialog.enter("proxy", "http://x:1")
    assert scene.changes[-1].proxy == "http://x:1"
    assert scene.dialog._lines["proxy"].control.instate(["!invalid"])
    assert scene.dialog.error("proxy") == ""


def test_a_number_out_of_bounds_is_an_error(scene: Scene) -> None:
    scene.dialog.enter("workers", "900")
    assert scene.dialog.error("workers") == "Enter a value from 1 to 64."
    assert scene.changes == []


def test_reset_to_defaults_keeps_settings_without_a_field(scene: Scene) -> None:
    scene.dialog.enter("proxy", "ftp://x")
    scene.dialog.enter("flat", True)
    scene.dialog._reset.invoke()
    assert scene.changes[-1] == Preferences(geometry="900x700+1+1")
    assert scene.dialog.error("proxy") == ""
    assert scene.dialog._lines["workers"].get() == texts(Preferences())["workers"]


def test_choosing_a_folder(scene: Scene, tmp_path: Path) -> None:
    button = next(
        child
        for child in scene.dialog._lines["folder"].control.master.winfo_children()
        if child.winfo_class() == "TButton"
    )
    button.invoke()
    assert scene.changes == []  # the user has cancelled
    scene.answer = str(tmp_path)
    button.invoke()
    assert scene.changes[-1].folder == str(tmp_path)


def test_changes_made_elsewhere_are_shown(scene: Scene) -> None:
    scene.dialog.show(Preferences(workers=33, theme="dark"))
    assert scene.dialog._lines["workers"].get() == "33"
    assert scene.dialog._lines["theme"].get() == "dark"
    assert scene.changes == []


def test_escape_closes_the_dialog(scene: Scene) -> None:
    scene.dialog.focus_force()
    scene.root.update()
    scene.dialog.event_generate("<Escape>")
    scene.root.update()
    assert scene.closed == 1
    assert not scene.dialog.winfo_exists()


def test_language_and_theme_can_change(scene: Scene) -> None:
    i18n.switch("zh_CN")
    scene.theme.use(DARK)
    scene.root.update()
    try:
        assert scene.dialog._close["text"] == "关闭"
        assert scene.dialog._lines["theme"].control.get() == "浅色"
        assert scene.dialog._lines["theme"].get() == "light"
        assert scene.dialog["background"] == DARK.page
        assert scene.changes == []
    finally:
        i18n.switch("en")


def test_the_dialog_fits_on_a_small_screen(scene: Scene) -> None:
    assert scene.dialog.winfo_reqheight() < 640 and scene.dialog.winfo_reqwidth() < 960


def test_the_help_dialog_contains_the_citation(root: tk.Tk) -> None:
    closed: list[bool] = []
    theme = Theme(root)
    root.update()
    places: Any = [(N_("Log"), "/state/logs")]
    dialog = HelpDialog(root, theme, places, lambda: closed.append(True))
    root.update()
    dialog._copy.invoke()
    assert root.clipboard_get() == citation()
    assert "10.5065/BH6N-5N20" in citation(date(2026, 3, 1)) and "Accessed 2026-03-01" in citation(date(2026, 3, 1))
    i18n.switch("zh_CN")
    i18n.switch("en")
    dialog.focus_force()
    dialog.event_generate("<Escape>")
    root.update()
    assert closed == [True]
