"""Data files of the catalogue (CSV and JSON), and functions that read them.

csv, json and pathlib are imported only when a file is read, because that takes a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file that has a header line."""
    import csv

    with _path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(name: str) -> Any:
    """Return the content of a JSON file."""
    import json

    return json.loads(_path(name).read_text(encoding="utf-8"))


def _path(name: str) -> Path:
    from pathlib import Path

    return Path(__file__).with_name(name)
