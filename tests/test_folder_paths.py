"""Tests of paths: no key leads out of the folder, and every key that can be a file becomes one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from era5dl.errors import UnsafeKey
from era5dl.folder.paths import check_key, long_path, name_conflicts, safe_path

TRICKS = [
    "",
    "/",
    "/abs",
    "//server/share",
    "..",
    ".",
    "../x",
    "a/../../b",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "a/b/..",
    "./a",
    "a\0b",
    "a\nb",
    "a/\x7f",
    "\x9b1m",
    "\udcff",
    "x" * 256,
    "x" * 300 + "/y",
    ".era5dl/x.json",
    ".ERA5DL/x.json",
    ".era5dl",
    ".era5\u200cdl/x",
    ".era5dl./x",
    "ERA5DL~1/x",
]
WINDOWS_TRICKS = [
    "C:\\x",
    "C:x",
    "a:stream",
    "a\\..\\..\\b",
    "\\\\server\\share",
    "CON",
    "nul.txt",
    "a/COM1/b",
    "lpt9.nc.gz",
    "COM¹",
    "aux ",
    "CON .txt",
    "trailing.",
    "trailing ",
    "a./b",
    "what?",
    "a|b",
    'q"',
    "<x>",
    "star*",
]
FINE = [
    "a",
    "a/b/c.nc",
    "with space/ü é 漢字.nc",
    "...",
    "..x/y..z",
    "a/.hidden",
    "-rf",
    "~/x",
    "$HOME",
    "x" * 255,
    "é" * 127,
]


@pytest.mark.parametrize("key", TRICKS, ids=lambda key: ascii(key)[:30])
@pytest.mark.parametrize("windows", [True, False])
def test_keys_that_leave_the_folder_are_refused_on_all_systems(tmp_path, key, windows):
    with pytest.raises(UnsafeKey) as caught:
        safe_path(tmp_path, key, windows=windows)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", WINDOWS_TRICKS, ids=lambda key: ascii(key)[:30])
def test_names_that_windows_changes_are_refused_on_windows(tmp_path, key):
    with pytest.raises(UnsafeKey):
        check_key(key, windows=True)
    assert safe_path(tmp_path, key, windows=False) == tmp_path.joinpath(*key.split("/"))


@pytest.mark.parametrize("key", FINE, ids=lambda key: ascii(key)[:30])
def test_ordinary_keys_are_accepted(tmp_path, key):
    path = safe_path(tmp_path, key)
    assert path == tmp_path.joinpath(*key.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_name_length_counts_characters_on_windows_and_bytes_elsewhere():
    assert check_key("é" * 200, windows=True)
    for too_long, windows in (("é" * 128, False), ("é" * 256, True), ("𝄞" * 128, True)):
        with pytest.raises(UnsafeKey):
            check_key(too_long, windows=windows)


def test_flat_uses_the_last_component_and_is_validated(tmp_path):
    assert safe_path(tmp_path, "a/b/c.nc", flat=True) == tmp_path / "c.nc"
    for key in ("a/..", "a/.era5dl", "../x", "/x", "a/"):
        with pytest.raises(UnsafeKey):
            safe_path(tmp_path, key, flat=True)


@settings(deadline=None)
@given(key=st.text(st.characters() | st.sampled_from("./\\:~"), max_size=40), flat=st.booleans(), windows=st.booleans())
@example(key="a/../../b", flat=False, windows=False)
def test_any_key_is_refused_or_stays_inside(tmp_path_factory, key, flat, windows):
    folder = str(tmp_path_factory.getbasetemp())
    try:
        path = str(safe_path(Path(folder), key, flat=flat, windows=windows))
    except UnsafeKey:
        return
    inside = os.path.normpath(path)
    assert inside == path
    assert os.path.commonpath([inside, folder]) == folder != inside
    assert not inside.startswith(folder + "/.era5dl")
    if windows:
        assert "\\" not in path.removeprefix(folder)
        assert ":" not in path.removeprefix(folder)


# --- links ----------------------------------------------------------------------------------------------------------


def test_a_link_that_leads_out_is_detected_at_use(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "a").mkdir(parents=True)
    elsewhere.mkdir()
    assert safe_path(out, "a/b/c.nc")
    (out / "a" / "b").symlink_to(elsewhere)
    with pytest.raises(UnsafeKey, match="leads out"):
        safe_path(out, "a/b/c.nc")
    (out / "a" / "broken").symlink_to(elsewhere / "not there yet")
    with pytest.raises(UnsafeKey, match="leads out"):
        safe_path(out, "a/broken/deep/c.nc")
    (tmp_path / "out too").mkdir()
    (out / "a" / "sibling").symlink_to(tmp_path / "out too")  # its path starts with that of `out`
    with pytest.raises(UnsafeKey, match="leads out"):
        safe_path(out, "a/sibling/c.nc")


def test_links_inside_and_a_linked_folder_are_accepted(tmp_path):
    real = tmp_path / "real"
    (real / "a").mkdir(parents=True)
    (real / "b").symlink_to(real / "a")
    (tmp_path / "out").symlink_to(real)
    assert safe_path(tmp_path / "out", "b/c.nc") == tmp_path / "out" / "b" / "c.nc"


# --- conflicting keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "flat", "fold", "refused"),
    [
        (["a", "b", "c/a"], False, False, []),
        (["a", "a"], False, False, [1]),
        (["a", "a/b", "c"], False, False, [1]),
        (["a/b", "a", "a/c"], False, False, [1]),
        (["a/b/c", "a/b", "a", "a/d"], False, False, [1, 2]),
        (["a/b", "a/b/c/d", "a/b/c/e"], False, False, [1, 2]),
        (["x/a", "y/a", "y/b"], True, False, [1]),
        (["A/x", "a/x", "a/y"], False, False, []),
        (["A/x", "a/x", "a/y"], False, True, [1]),
        (["A", "a/x"], False, True, [1]),
        (["é", "e\u0301"], False, True, [1]),
        (["straße", "STRASSE"], False, True, [1]),
    ],
)
def test_the_second_of_two_conflicting_keys_is_reported(keys, flat, fold, refused):
    assert sorted(name_conflicts(keys, flat=flat, fold_case=fold)) == refused


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join), max_size=12))
def test_keys_without_a_conflict_can_be_written(tmp_path_factory, keys):
    folder = tmp_path_factory.mktemp("clash")
    refused = name_conflicts(keys, fold_case=False)
    for index, key in enumerate(keys):
        if index not in refused:
            path = safe_path(folder, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x"):
                pass


def test_conflicting_keys_cannot_be_written():
    for keys in (["a", "a/b"], ["a/b", "a"], ["a", "a"]):
        assert name_conflicts(keys)[1].startswith("'a")


# --- long paths -----------------------------------------------------------------------------------------------------


def test_long_paths_get_the_windows_prefix():
    deep = "\\".join(["e5.oper.an.pl"] * 20)
    assert long_path("C:\\out\\" + deep, windows=True) == "\\\\?\\C:\\out\\" + deep
    assert long_path("C:/out/" + deep, windows=True) == "\\\\?\\C:\\out\\" + deep
    assert long_path("\\\\server\\share\\" + deep, windows=True) == "\\\\?\\UNC\\server\\share\\" + deep
    assert long_path("\\\\?\\C:\\out\\" + deep, windows=True) == "\\\\?\\C:\\out\\" + deep
    assert long_path("C:\\out\\x.nc", windows=True) == "C:\\out\\x.nc"
    assert long_path("/out/" + deep, windows=False) == "/out/" + deep
