"""Fuzz tests of user input and keys: a value, or one of our errors with a remedy."""

from __future__ import annotations

import contextlib
import json
import ntpath
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.catalog import find_variable, key_of, parse_key, periods
from era5dl.cds import from_cds
from era5dl.days import parse_date, select_days
from era5dl.errors import Era5Error, UnsafeKey, UsageError
from era5dl.folder.paths import check_key, safe_path
from era5dl.formatting import parse_rate, parse_size, printable
from era5dl.gui.models.request_form import FieldError, read_date, read_folder, read_limit
from era5dl.gui.widgets import date_input
from era5dl.planner import plan_keys, read_keys
from era5dl.redaction import REDACTED, Redactor, redact_secrets
from era5dl.selection import Selection
from era5dl.session import plan_file
from era5dl.settings import Settings
from era5dl.subset.parsing import parse_subset, read_points
from era5dl.subset.selection import Subset
from tests.fuzzing import NASTY, NASTY_TEXTS, bounded, spoilt
from tests.memory_bucket import MemoryBucket

pytestmark = pytest.mark.slow

SCRIPT = """
def fetch(year, months=(1, 2)):
    request = {"variable": ["2t", "tp"], "year": str(year), "month": [f"{m:02d}" for m in months], "day": "1"}
    request.update(time="00/to/18/by/6", area=[54, 73] + [18.0, 135])
    c.retrieve("reanalysis-era5-single-levels", dict(request, grid="%s/%s" % (0.25, 0.25)), "x.nc")
for year in range(2000, 2003):
    if year % 2 == 0:
        continue
    fetch(year, months=[int(m) for m in "1 2".split()])
"""
CDS_KEYS = (
    *("variable", "param", "year", "month", "day", "date", "time", "area", "pressure_level", "levelist"),
    *("product_type", "format", "grid", "location", "levtype", "stream", "type", "step", "other"),
)
CDS_VALUES = st.sampled_from(
    [
        *("2t", "tp", "z500", "130.128", "ml", "fc", "pl", "00/to/23/by/6", "1/to/", "by", "500 hPa", "all", "31"),
        *([90, -180, -90, 180], [[1, [2]]], {"latitude": 1, "longitude": None}, 2021, "2021-01-01/2021-01-03"),
    ]
)
CHANGES = st.tuples(st.integers(0, len(SCRIPT)), st.integers(0, 9), st.sampled_from("[](){}'\",:=+-*/%\n 1aé\0"))
BOUNDS = (date(1940, 1, 1), date(2030, 12, 31))
NUMBERS = st.from_regex(r"[ +-]?[0-9]{0,20}\.?[0-9]{0,12} ?[kKMGTPi]{0,3}[Bb]?(ytes)?(/s)?(ec)? ?")
TYPED = st.one_of(NASTY_TEXTS, st.text(max_size=30), NUMBERS, st.text("0123456789-/. ", max_size=14))


@bounded(250)
@given(TYPED)
@example("9" * 5000)
@example("999999999999999P")
@example("١٢M")
@example("1e999")
@example("8:00,1M sun-20:00,off")
def test_any_size_and_rate_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 <= parse_size(text) < 2**110
    with contextlib.suppress(UsageError):
        assert 0 <= parse_rate(text) < 2**110
    limit = read_limit(text)
    if isinstance(limit, str):
        assert read_limit(limit) == limit, "a timetable in its usual notation"
    else:
        assert limit is None or isinstance(limit, FieldError) or limit > 0


@bounded(250)
@given(TYPED | st.dates().map(str))
@example("0000-00-00")
@example("9999-99-99")
@example("٢٠٢١-01-01")
@example("2021-02-30")
@example("-" * 5000)
def test_any_date_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_date(text) == date.fromisoformat("-".join(p.zfill(2) for p in text.strip().split("-")))
    assert isinstance(read_date(text, BOUNDS), date | str)
    assert isinstance(date_input.parse_date(text), date | None)
    with contextlib.suppress(UsageError):
        assert select_days(start=text, end=text)


NUMBER_LISTS = st.lists(st.floats() | st.integers() | st.text(max_size=5), max_size=5)
DEGREES = NUMBER_LISTS | st.text("0123456789-/.,", max_size=25)


@bounded(500)
@given(
    st.sampled_from(["hours", "levels", "area", "point"]),
    TYPED | DEGREES | st.lists(TYPED | st.integers() | DEGREES, max_size=3),
)
@example("hours", "0-23")
@example("levels", 10**400)
@example("area", "90/-180/-90/180")
@example("area", [10**400] * 4)
@example("point", [10**400, 1])
def test_any_subset_is_parsed_or_refused(name: str, value: Any) -> None:
    try:
        subset = parse_subset(**{name: value})
    except UsageError as error:
        assert error.remedy
    else:
        assert Subset.from_json(json.loads(json.dumps(subset.to_json()))) == subset


@bounded(150)
@given(st.binary(max_size=40) | st.text('0123456789-;,. \n\t\r"#a', max_size=40).map(str.encode))
def test_any_list_of_points_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "points.csv"
    path.write_bytes(data)
    try:
        assert read_points(path)
    except UsageError as error:
        assert error.remedy


@bounded(150)
@given(st.lists(TYPED, max_size=3), st.lists(TYPED, max_size=3), st.lists(TYPED | st.integers(), max_size=3))
@example(["1940-2049"], ["1-12"], ["31"])
def test_any_date_grid_is_parsed_or_refused(years: list[Any], months: list[Any], days: list[Any]) -> None:
    with contextlib.suppress(UsageError):
        select_days(years=years, months=months, days=days)


@bounded(120)
@given(spoilt({"variables": ["an.pl/t"], "days": [["2021-02-01", "2021-02-28"]]}) | NASTY)
def test_any_json_selection_is_parsed_or_refused(raw: Any) -> None:
    try:
        found = Selection.from_json(raw)
    except UsageError:
        return
    assert Selection.from_json(found.to_json()) == found


@bounded(150)
@given(TYPED)
def test_any_folder_is_accepted_or_refused(text: str) -> None:
    assert isinstance(read_folder(text), Path | FieldError)


@bounded(150)
@given(
    st.fixed_dictionaries(dict.fromkeys(("ENDPOINT_URL", "BUCKET", "REGION", "PROXY"), TYPED)),
    st.fixed_dictionaries(dict.fromkeys(("WORKERS", "LIMIT_RATE", "RETRIES", "FLAT", "READ_TIMEOUT"), TYPED)),
)
def test_any_environment_gives_settings_or_an_error(addresses: dict[str, str], numbers: dict[str, str]) -> None:
    for found in (addresses, numbers):
        for name, text in found.items():
            with contextlib.suppress(UsageError):
                Settings.from_environment({f"ERA5DL_{name}": text})


# --- keys


@bounded(150)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), st.lists(TYPED, max_size=4).map("\n".join)))
@example(b"\xff\xfe\x00")
@example("k" * 5000)
@example("a/" + "\U0001f600" * 400)
@example("\udc80")
def test_any_list_of_keys_is_planned_and_restored_equal(
    tmp_path_factory: pytest.TempPathFactory, data: str | bytes
) -> None:
    try:
        plan = plan_keys(read_keys(data), MemoryBucket([]), parallel=1)
    except UsageError:
        return
    path = tmp_path_factory.getbasetemp() / "keys.plan.jsonl"
    plan_file.write(path, plan)
    assert plan_file.read(path, plan.digest) == plan


T = find_variable("an.pl/t")
RIGHT = key_of(T, next(periods(T.product, *BOUNDS)))


@bounded(250)
@given(st.integers(0, len(RIGHT)), st.integers(0, len(RIGHT)), TYPED)
@example(0, len(RIGHT), RIGHT + "\n")
def test_any_key_is_parsed_or_none(start: int, stop: int, text: str) -> None:
    key = RIGHT[:start] + text + RIGHT[stop:]
    found = parse_key(key)
    assert found is None or (found.end >= found.start and found.product.prefix in key)


PIECES = st.one_of(
    st.sampled_from(["..", ".", "", "a", ".era5dl", "CON", "a:b", "a\\..\\b", "C:", "x" * 255, "é" * 130, "a ", "a."]),
    st.sampled_from(["~", "-rf", "NUL.nc", "com¹", "ERA5DL~1", ".ERA5DL ", "\u202e", "\0", "\x7f", "\ufeff", "aux .x"]),
    st.text(max_size=6),
)


@bounded(300)
@given(st.lists(PIECES, min_size=1, max_size=5).map("/".join), st.booleans())
@example("a/..\\..\\..\\x", False)
@example("C:/x", False)
@example("a/.era5dl\u200d/x", True)
def test_any_key_stays_within_the_folder(tmp_path_factory: pytest.TempPathFactory, key: str, flat: bool) -> None:
    root = tmp_path_factory.getbasetemp()
    with contextlib.suppress(UnsafeKey):
        path = safe_path(root, key, flat=flat, windows=False)
        assert os.path.normpath(path) == str(path)
        assert path.is_relative_to(root)
        assert path != root
        assert path.relative_to(root).parts[0].casefold() != ".era5dl"
    with contextlib.suppress(UnsafeKey):
        names = check_key(key, flat=flat, windows=True)
        path_there = ntpath.join("C:\\out", *names)
        assert ntpath.normpath(path_there) == path_there
        assert path_there.startswith("C:\\out\\")
        assert not any(letter in name for name in names for letter in '<>:"|?*\\')


# --- redaction and log


SECRET = st.text("abcXYZ019%@:/!", min_size=6, max_size=20).filter(lambda text: "//" not in text).map("zQ{}".format)


@bounded(150)
@given(SECRET, st.sampled_from(["http", "https", "socks5h", "HTTP"]), TYPED)
@example("zQp@ss/w:rd9", "http", "")
def test_any_password_of_a_proxy_is_redacted(secret: str, scheme: str, around: str) -> None:
    url = f"{scheme}://user:{secret}@proxy.example.org:3128"
    for said in (f"{around} {url} {around}", f"{around} Proxy-Authorization: Basic {secret}\n", f"password={secret}"):
        assert secret not in redact_secrets(said)
        assert REDACTED in redact_secrets(said)
    assert secret not in Redactor(urls=[url])(f"{around} cannot reach {url} ({secret}) {around}")


@pytest.mark.timeout(30)  # catastrophic backtracking would take hours
@pytest.mark.parametrize(
    "piece", ["a:", "a@", "/home/", "\\", "a.", ":", "ab:@", "password=", "1.", "token", "f:f:", "/a"]
)
def test_any_text_is_redacted_quickly(piece: str) -> None:
    text = piece * (4000 // len(piece))
    redact_secrets(text)
    Redactor(homes=["/home/me"], folders=["/data/x"], user="me", machine="box", urls=["http://u:p@h:1"])(text)


@bounded(100)
@given(TYPED)
def test_any_text_is_printable_on_a_terminal(text: str) -> None:
    assert not any(letter in printable(text) for letter in "\x1b\n\r\b\u202e\x9b")
    assert isinstance(str(Era5Error(text)), str)


@bounded(120)
@given(st.lists(CHANGES))
@example([(0, 0, "'")])
def test_any_script_gives_requests_or_an_error(changes: list[tuple[int, int, str]]) -> None:
    """Parts of a script are replaced; whatever it then says is read without running it."""
    text = SCRIPT
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    with contextlib.suppress(UsageError):
        for request in from_cds(text).requests:
            json.dumps(request.to_json())


@bounded(120)
@given(st.dictionaries(st.sampled_from(CDS_KEYS), CDS_VALUES | NASTY, max_size=8), st.booleans())
@example({"variable": "2t", "date": "2021-01-01", "grid": float("inf")}, False)
@example({"param": "2t", "levtype": float("nan"), "date": 20210101}, False)
def test_any_cds_request_is_translated_or_refused(values: dict[str, Any], on_levels: bool) -> None:
    dataset = "reanalysis-era5-pressure-levels" if on_levels else ""
    with contextlib.suppress(UsageError):
        translation = from_cds({"variable": "t2m", "year": 2021, **values}, dataset)
        assert all(item.reason for item in translation.items if not item.variables)
        json.dumps([request.to_json() for request in translation.requests])
        for selection in translation.selections:
            assert Selection.from_json(selection.to_json()) == selection
