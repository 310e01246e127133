"""Keys that a plan leaves out: they name no data file, or a file in which the subset selects nothing."""

from __future__ import annotations

from collections.abc import Sequence

from era5dl.catalog import parse_key
from era5dl.formatting import format_count

WEB_PAGE = "index.html"
"""The bucket's own file browser."""

_KEYS_NAMED = 3  # keys that a message lists


def describe_passed_over(keys: Sequence[str]) -> str:
    """Describe keys of `Plan.passed_over`, for example "2 keys that name a folder and no file (a/, b/)"."""
    files = [key for key in keys if parse_key(key)]
    others = [key for key in keys if not parse_key(key)]
    parts: list[str] = []
    if others:
        folders = all(key.endswith("/") for key in others)
        what = "a folder and no file" if folders else "a folder, or the bucket's web page, and no file of data"
        name = "names" if len(others) == 1 else "name"
        parts.append(f"{format_count(len(others), 'key')} that {name} {what} ({_listed(others)})")
    if files:
        names = _listed([key.rpartition("/")[2] for key in files])
        parts.append(f"{format_count(len(files), 'file')} in which no selected hour is ({names})")
    return ", and ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_KEYS_NAMED]) + (" ..." if len(names) > _KEYS_NAMED else "")
