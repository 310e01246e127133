"""What the command line of the window says, and what that means for what is remembered and for the fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from era5dl.gui.models.preferences import Preferences
from era5dl.gui.models.request_form import Fields, Period


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. scale: pixels for one of ours, None is what the desktop says."""

    demo: bool = False
    endpoint_url: str | None = None
    bucket: str | None = None
    out: Path | None = None
    folder: Path | None = None  # of a session to open
    scale: float | None = None

    def preset(self, remembered: Preferences) -> Preferences:
        """The command line goes before what is remembered."""
        out = self.out or (Path("era5dl-demo") / "era5" if self.demo else None)
        given: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "bucket": self.bucket,
            "folder": str(out.absolute()) if out else None,
        }
        return replace(remembered, **{name: value for name, value in given.items() if value is not None})


def demo_fields(folder: str) -> Fields:
    """What the demo downloads, as the fields would say it."""
    from era5dl.demo import DAYS, VARIABLES

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
