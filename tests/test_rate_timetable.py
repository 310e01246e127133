"""Tests of the rate limit's timetable: notation, and the limit at a time."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.errors import UsageError
from era5dl.formatting import MAX_RATE, MIN_RATE
from era5dl.rate_timetable import DAYS, Entry, RateTimetable, normalize_rate_limit, parse_rate_limit
from era5dl.settings import Settings

MONDAY = datetime(2024, 1, 1)
M = 1_000_000


def timetable(text: str) -> RateTimetable:
    parsed = parse_rate_limit(text)
    assert isinstance(parsed, RateTimetable)
    return parsed


def at(day: str, clock: str) -> datetime:
    hour, minute = clock.split(":")
    return MONDAY + timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("text", "day", "clock", "rate"),
    [
        ("08:00,1M 20:00,off", "Mon", "08:00", M),
        ("08:00,1M 20:00,off", "Mon", "19:59", M),
        ("08:00,1M 20:00,off", "Mon", "20:00", None),
        ("08:00,1M 20:00,off", "Thu", "07:59", None),  # across midnight
        ("08:00,1M 20:00,off", "Mon", "00:00", None),  # across the end of the week
        ("20:00,off 08:00,1M", "Mon", "09:00", M),  # the order does not matter
        ("12:00,3M", "Mon", "00:00", 3 * M),  # a single entry holds always
        ("12:00,3M", "Sun", "23:59", 3 * M),
        ("Wed-12:00,3M", "Tue", "10:00", 3 * M),
        ("00:00,0", "Mon", "10:00", None),
        ("08:00,1M 18:00,off Sat-08:00,off Sun-08:00,off", "Fri", "10:00", M),
        (
            "08:00,1M 18:00,off Sat-08:00,off Sun-08:00,off",
            "Sat",
            "10:00",
            None,
        ),  # its own entry replaces the daily one
        ("Sat-08:00,off 08:00,1M", "Sat", "10:00", None),
        ("Mon-08:00,1M Fri-18:00,off", "Wed", "03:00", M),  # from Monday morning to Friday evening
        ("Mon-08:00,1M Fri-18:00,off", "Sun", "12:00", None),
        ("Mon-08:00,1M Fri-18:00,off", "Mon", "07:59", None),
        ("Mon-08:00,1M 20:00,off", "Tue", "09:00", None),
    ],
)
def test_limit_at_a_time_of_the_week(text: str, day: str, clock: str, rate: int | None) -> None:
    assert timetable(text).rate_at(at(day, clock)) == rate


def test_the_seconds_of_a_minute_have_the_limit_of_the_minute() -> None:
    chosen = timetable("08:00,1M 20:00,off")
    assert chosen.rate_at(at("Mon", "19:59").replace(second=59, microsecond=999_999)) == M
    assert chosen.rate_at(at("Mon", "20:00")) is None


def test_when_the_clock_jumps_for_summer_time_the_limit_follows_the_clock() -> None:
    """In Berlin 02:00 to 03:00 is left out on 2024-03-31, and comes twice on 2024-10-27."""
    chosen = timetable("02:30,1M 03:30,2M")
    try:
        berlin = ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip("this system has no time zones")

    def limits(begin: datetime) -> list[int | None]:
        steps = [begin + timedelta(minutes=30 * step) for step in range(5)]
        return [chosen.rate_at(step.astimezone(berlin)) for step in steps]

    spring = datetime(2024, 3, 31, 0, 30, tzinfo=timezone.utc)
    assert limits(spring) == [2 * M, M, 2 * M, 2 * M, 2 * M]  # 01:30, 03:00, 03:30, 04:00, 04:30
    autumn = datetime(2024, 10, 27, 0, 0, tzinfo=timezone.utc)
    assert limits(autumn) == [2 * M, M, 2 * M, M, M]  # 02:00, 02:30, 02:00, 02:30, 03:00


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5M", 5 * M),
        ("off", 0),
        ("OFF", 0),
        ("0", 0),
        ("1.5 MB/s", 1_500_000),
        ("8:00,1M", "08:00,1M"),
        (" 08:00,1500KB/s   20:00,OFF ", "08:00,1500K 20:00,off"),
        ("monday-08:00,512Ki SATUR-09:05,1001", "Mon-08:00,512Ki Sat-09:05,1001"),
    ],
)
def test_notation_is_normalized(text: str, limit: int | str) -> None:
    assert normalize_rate_limit(text) == limit


@pytest.mark.parametrize(
    "text",
    [
        "24:00,1M", "12:60,1M", "8,1M", "08:00", "08:00,", "08:00,fast", "08:00,-1", "08:00,1M:off",
        "08:00,1M,20:00,off",
        "Mo-08:00,1M", "Mon-Fri-08:00,1M", "Montag-08:00,1M", "-08:00,1M", "1,5M", ",", ":", "08:00,1M 20:00",
        "٠٨:٠٠,1M", "08:00,1M 5M",
    ],
)  # fmt: skip
def test_an_invalid_entry_is_named_and_the_error_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rate_limit(text)
    assert any(repr(word) in str(caught.value) for word in text.split())
    assert "08:00,1M 20:00,off" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "fast", "5 m m", "on"])
def test_an_invalid_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a speed"):
        parse_rate_limit(text)


def test_two_entries_for_one_time_are_refused() -> None:
    with pytest.raises(UsageError, match="two entries for the time of '8:00,2M'"):
        parse_rate_limit("08:00,1M 8:00,2M")
    parse_rate_limit("08:00,1M Mon-08:00,2M")


def test_a_text_of_unreasonable_length_is_refused() -> None:
    with pytest.raises(UsageError, match="100,000 entries"):
        parse_rate_limit("08:00,1M " * 100_000)


rates = st.just(0) | st.integers(MIN_RATE, MAX_RATE)
entries = st.builds(Entry, st.none() | st.integers(0, 6), st.integers(0, 1439), rates)


@given(st.lists(entries, min_size=1, max_size=20, unique_by=lambda entry: (entry.day, entry.minute)))
def test_text_of_a_timetable_reads_back_as_the_same_timetable(chosen: list[Entry]) -> None:
    text = str(RateTimetable(tuple(chosen)))
    assert timetable(text).entries == tuple(chosen)
    assert normalize_rate_limit(text) == text


@pytest.mark.parametrize(
    "text",
    ["0.5", "0.4", "0.0004K", "0.000000001", "999", "0.9 kB/s", "5", "7 B/s", "08:00,0.4", "08:00,1M Sat-20:00,0.4K"],
)
def test_a_rate_that_is_almost_zero_is_refused_instead_of_being_no_limit(text: str) -> None:
    with pytest.raises(UsageError, match="less than 1,000 bytes per second") as caught:
        normalize_rate_limit(text)
    assert "M is " in caught.value.remedy


def test_the_remedy_shows_what_the_number_would_be_with_a_unit() -> None:
    for text in ("0.5", "08:00,0.5"):
        with pytest.raises(UsageError) as caught:
            normalize_rate_limit(text)
        assert "0.5M is 500,000 bytes per second" in caught.value.remedy


@pytest.mark.parametrize("text", ["0", "0.0", "00.000", "0K", "0 MB/s", "off"])
def test_zero_and_off_are_no_limit(text: str) -> None:
    assert normalize_rate_limit(text) == 0


@pytest.mark.parametrize("text", ["999999999999999P", "1001T", "1.1P", "08:00,999999999999999P", "08:00,1001T"])
def test_a_rate_above_the_maximum_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="more than 1,000,000,000,000,000 bytes per second"):
        normalize_rate_limit(text)


numbers = st.from_regex(r"\A[0-9]{1,15}(\.[0-9]{0,9})? ?[kKmMgGtTpP]?i?([bB]|bytes)?(/s|ps)?\Z")
NUMBERS = numbers | st.builds("08:00,{} Sun-20:00,{}".format, numbers, numbers)


@given(NUMBERS)
@example("999999999999999P")
@example("08:00,999999999999999P")
@example("08:00,0.4")
def test_a_normalized_limit_can_be_read_and_stays_the_same(text: str) -> None:
    with contextlib.suppress(UsageError):
        limit = normalize_rate_limit(text)
        assert normalize_rate_limit(str(limit)) == limit
        assert Settings(rate_limit=limit).rate_limit == (limit or None)
        if isinstance(limit, int):
            assert limit == 0 or MIN_RATE <= limit <= MAX_RATE


@given(st.text(max_size=40) | st.text("0123456789:,-Monoff MK", max_size=40))
def test_no_text_raises_another_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        limit = normalize_rate_limit(text)
        assert normalize_rate_limit(str(limit)) == limit
