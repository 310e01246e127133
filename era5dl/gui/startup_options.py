"""Startup options of the window, from its command line, and their effect on preferences and request fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.request_form import Fields, Period, from_text
from era5dl.validation import Malformed, read_regular_file


@dataclass(frozen=True, slots=True)
class StartupOptions:
    """folder: folder of a session to resume. scale: scale factor; None uses the scaling of the desktop."""

    demo: bool = False
    endpoint_url: str | None = None
    bucket: str | None = None
    out: Path | None = None
    folder: Path | None = None
    scale: float | None = None

    def override(self, saved: Preferences) -> Preferences:
        """Return the saved preferences, with the values from the command line instead of the saved ones."""
        out = self.out or (Path("era5dl-demo") / "era5" if self.demo else None)
        given: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "bucket": self.bucket,
            "folder": str(out.absolute()) if out else None,
        }
        return replace(saved, **{name: value for name, value in given.items() if value is not None})


_MAX_BYTES = 256 * 1024  # of a saved request


def demo_request_file(folder: str) -> Path:
    """Return the file with the latest request of the demo with this download folder."""
    return Path(folder).with_name("request.json")


def demo_fields(folder: str) -> Fields:
    """Return the latest request of the demo; the first time, the one for all its files."""
    from era5dl.demo import DAYS, VARIABLES

    try:
        saved = from_text(read_regular_file(demo_request_file(folder), _MAX_BYTES).decode(), folder)
    except (OSError, ValueError, Malformed):
        saved = Fields()
    if saved.variables:
        return saved
    return Fields(
        variables=frozenset(VARIABLES),
        period=Period.GRID,
        first=DAYS[0].isoformat(),
        last=DAYS[0].isoformat(),
        years=frozenset(day.year for day in DAYS),
        months=frozenset(day.month for day in DAYS),
        days=frozenset(day.day for day in DAYS),
        folder=folder,
    )
