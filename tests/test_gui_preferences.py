"""Tests of the window's preferences: saved, loaded, and never a reason not to start."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from era5dl.errors import UsageError
from era5dl.gui.models import settings_form
from era5dl.gui.models.preference_store import PreferenceStore
from era5dl.gui.models.preferences import BOUNDS, Preferences, load, preferences_file, save
from era5dl.gui.models.request_form import to_text
from era5dl.gui.models.subset_form import SubsetFields
from era5dl.gui.startup_options import demo_fields, demo_request_file
from era5dl.gui.window_geometry import ScreenArea
from era5dl.settings import Settings


def test_the_defaults_are_those_of_the_engine() -> None:
    assert Preferences().to_settings() == Settings()


def test_saved_preferences_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "window.json"
    chosen = Preferences(
        folder="/data/雪 α",
        workers=16,
        rate_limit=5_000_000,
        proxy="http://u:p@h:1",
        theme="dark",
        selection='{"a": 1}',
    )
    assert save(chosen, path)
    assert load(path) == chosen
    assert chosen.to_settings() == Settings(workers=16, rate_limit=5_000_000, proxy="http://u:p@h:1")


def test_automatic_workers_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    path.write_text('{"workers": "auto"}')
    assert load(path).workers == "auto"
    assert load(path).to_settings() == Settings(workers="auto")
    assert save(Preferences(workers="auto", retries=3), path)
    assert load(path) == Preferences(workers="auto", retries=3)


def test_a_timetable_of_the_rate_limit_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    chosen = Preferences(rate_limit="08:00,1M 20:00,off")
    assert save(chosen, path)
    assert load(path) == chosen
    assert chosen.to_settings() == Settings(rate_limit="08:00,1M 20:00,off")


def test_only_values_that_differ_from_defaults_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    save(Preferences(workers=9), path)
    assert json.loads(path.read_text()) == {"workers": 9}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_user_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    save(Preferences(proxy="http://u:secret@h:1"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == Preferences()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff\xfe", b"nul", b"[" * 100_000, b'{"workers": NaN}', b'{"workers": ' + b"9" * 400 + b"}"],
)  # fmt: skip
def test_a_damaged_file_is_renamed(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "window.json"
    path.write_bytes(damage)
    assert load(path) == Preferences()
    assert not path.exists()
    assert path.with_name("window.json.damaged").read_bytes() == damage
    assert save(Preferences(workers=3), path)
    assert load(path).workers == 3


def test_a_far_too_large_file_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    path.write_bytes(b" " * 1_000_000 + b"{}")
    assert load(path) == Preferences()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 10**6),
        ("workers", "8"),
        ("workers", True),
        ("workers", 8.0),
        ("read_timeout", "20"),
        ("read_timeout", -1),
        ("rate_limit", -5),
        ("rate_limit", 999),
        ("rate_limit", "5M"),
        ("rate_limit", "8h,1M"),
        ("theme", "pink"),
        ("language", "xx"),
        ("proxy", 7),
        ("proxy", "http://h\n:1"),
        ("folder", "x" * 5000),
        ("verify", 1),
        ("no such thing", 1),
        ("geometry", "999999x10+0+0"),
        ("geometry", "30000x30000+0+0 ; exec true"),
        ("geometry", "١٠x١٠"),
        ("geometry", "0x10"),
        ("geometry", "=1x1"),
        ("request_width", 10**9),
    ],
)
def test_only_the_invalid_entry_gets_its_default(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "window.json"
    path.write_text(json.dumps({name: value, "retries": 3}))
    assert load(path) == Preferences(retries=3)


def test_an_integer_is_valid_for_seconds(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    path.write_text('{"read_timeout": 30}')
    assert load(path).read_timeout == 30


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_engine_accepts_all_values_within_the_bounds(name: str) -> None:
    for value in BOUNDS[name]:
        entry: dict[str, Any] = {name: value}
        assert Preferences(**entry).to_settings()


def test_a_missing_ca_file_is_kept_and_reported_when_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "window.json"
    save(Preferences(ca_bundle="/no/such/file.pem"), path)
    loaded = load(path)  # its network share may be mounted again later
    assert loaded.ca_bundle == "/no/such/file.pem"
    with pytest.raises(UsageError):
        loaded.to_settings()


def test_a_folder_that_cannot_be_written_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not save(Preferences(workers=2), tmp_path / "file" / "window.json")
    assert load(tmp_path / "file" / "window.json") == Preferences()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text('{"workers": 3}')
    path = tmp_path / "window.json"
    path.symlink_to(tmp_path / "real.json")
    assert load(path) == Preferences()
    assert json.loads((tmp_path / "real.json").read_text()) == {"workers": 3}


def test_the_state_folder_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path))
    assert preferences_file() == tmp_path / "window.json"
    assert save(Preferences(workers=5))
    assert load().workers == 5


def test_every_field_has_a_plain_default() -> None:
    assert {type(field.default) for field in fields(Preferences)} <= {str, int, float, bool}


SCREEN = ScreenArea(0, 0, 1600, 900)


@pytest.mark.parametrize(
    ("remembered", "fitting"),
    [
        ("1280x820+100+50", "1280x820+100+50"),
        ("1280x820", "1280x820"),
        ("32767x32767+0+0", "1600x900+0+0"),
        ("99999x99999", "1600x900"),
        ("1280x820+5000+50", "1280x820"),  # the second monitor was removed
        ("1280x820+100+-2000", "1280x820"),
        ("1280x820+-1200+10", "1280x820+-1200+10"),  # a part of it is visible
        ("1280x820+-1900+10", "1280x820"),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_a_saved_geometry_is_adapted_to_the_screen(remembered: str, fitting: str) -> None:
    assert SCREEN.fit(remembered) == fitting


def test_a_monitor_to_the_left_counts_as_screen() -> None:
    assert ScreenArea(-1920, 0, 3840, 1080).fit("1280x820+-1900+10") == "1280x820+-1900+10"


def test_a_demo_remembers_its_request_in_its_own_folder(tmp_path: Path) -> None:
    class NoTimer:
        def after(self, _ms: int, _act: object) -> str:
            return "1"

        def after_cancel(self, _scheduled: str) -> None: ...

    folder = str(tmp_path / "era5")
    first = demo_fields(folder)
    assert first.variables and not first.subset.hours
    file = demo_request_file(folder)
    store = PreferenceStore(Preferences(folder=folder), NoTimer(), lambda: "", request_file=file)  # type: ignore[arg-type]
    store.update(selection=to_text(replace(first, subset=SubsetFields(hours=frozenset({0, 12})))))
    store.save()
    assert demo_fields(folder).subset.hours == {0, 12}
    for damaged in (b"{", b"\xff", b"[]", b""):
        file.write_bytes(damaged)
        assert demo_fields(folder) == first


def test_no_rate_limit_is_an_empty_field() -> None:
    assert settings_form.texts(Preferences())["rate_limit"] == ""
    assert settings_form.texts(Preferences(rate_limit=5_000_000))["rate_limit"] == "5M"
