"""Hypothesis settings and strategies of the fuzz tests: hostile values, altered JSON, damaged bytes.

    ERA5DL_FUZZ=100 python -m pytest tests/test_fuzz_*.py       a hundred times as many examples, different in each run

Without it the few examples are the same in each run, so that results are reproducible. Inputs that once revealed a bug
are kept beside their tests as @example.
"""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("ERA5DL_FUZZ", "1"))


def bounded(examples: int) -> settings:
    """Return settings for this number of examples, times ERA5DL_FUZZ."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


NASTY_NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, -(2**63), 10**19, 10**400, 0.5, -0.0, 1e308, 253402300800, 1e12]
)
NASTY_TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "\0",
            "a\0b",
            "\n",
            "\x1b[31m",
            "\u202e",
            "\udc80",
            "\ufeff",
            "é",
            "漢" * 40,
            "x" * 5000,
            "../..",
            "/",
        ),
        *("/etc/passwd", "C:\\x", "\\\\h\\s", "NaN", "Infinity", "1e999", "-1", "9" * 40, "0x10", "١٢", "²", "None"),
        *('"', "'", "<", "&", "]]>", "{}", "[]", "{", "a" * 32, "f" * 64, "http://[", "http://h:99999", "%00", "%s"),
    ]
)
NASTY: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    NASTY_NUMBERS,
    NASTY_TEXTS,
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([[], {}, [[]], [{}], [None], [[1, 0]], [[0, 1], [0, 1]], {"": {}}, [[0, "a" * 31]]]),
)


@st.composite
def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """Generate variants of a JSON value, in which one to three items are replaced, duplicated or removed."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)
        if not places:
            return copy.deepcopy(draw(NASTY))
        _spoil(draw, *draw(st.sampled_from(places)))
    return value


def _spoil(draw: st.DrawFn, holder: Any, name: Any) -> None:
    how = draw(st.sampled_from(["another", "gone", "nearly", "twice"]))
    if how == "another":
        holder[name] = copy.deepcopy(draw(NASTY))
    elif how == "nearly":
        holder[name] = _shifted(holder[name], draw(st.sampled_from([-1, 1, 2**40])))
    elif how == "twice" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[name]))
    else:
        del holder[name]


def _shifted(value: Any, by: int) -> Any:
    """Return a value close to this one."""
    if type(value) in (int, float):
        return value + by
    if isinstance(value, str):
        return value[:-1] if by < 0 else value + value[-1:]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key or index) in a JSON value."""
    if isinstance(value, dict):
        inner = [(value, name) for name in value]
    elif isinstance(value, list):
        inner = [(value, number) for number in range(len(value))]
    else:
        return []
    return inner + [place for holder, name in inner for place in _places(holder[name])]


@st.composite
def harmed(draw: st.DrawFn, data: bytes) -> bytes:
    """Generate variants of bytes: truncated, repeated, flipped, zeroed, or with foreign bytes in the middle."""
    at = draw(st.integers(0, len(data)))
    end = draw(st.integers(at, min(len(data), at + 600)))
    return draw(
        st.sampled_from(
            [
                data[:at],
                data[at:],
                data[:at] + data[end:],
                data[:end] + data[at:],
                data[:at] + bytes(end - at) + data[end:],
                data[:at] + bytes(byte ^ 1 for byte in data[at : at + 1]) + data[at + 1 :],
                data[:at] + draw(st.binary(max_size=30)) + data[end:],
                data[:at] + b"[" * 100_000,
                b"",
            ]
        )
    )
