"""The catalogue's facts as files, and how they are read.

csv, json and pathlib are imported when a file is read, not before: importing the catalogue costs a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read_csv(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file with a header line."""
    import csv

    with _path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(name: str) -> Any:
    """What a JSON file holds."""
    import json

    return json.loads(_path(name).read_text(encoding="utf-8"))


def _path(name: str) -> Path:
    from pathlib import Path

    return Path(__file__).with_name(name)
