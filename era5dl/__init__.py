"""Fetch ERA5 reanalysis files from NSF NCAR's public S3 bucket, every byte proven.

From Python: `era5dl.select`, `era5dl.plan`, `era5dl.download` (see `era5dl.api`). They are imported when first used, so
that `import era5dl` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from era5dl.api import Result, download, plan, select
    from era5dl.selection import Selection
    from era5dl.settings import Settings

__version__ = "0.1.0"
__all__ = ["Result", "Selection", "Settings", "__version__", "download", "plan", "select"]

_HOMES = {
    "Result": "era5dl.api",
    "download": "era5dl.api",
    "plan": "era5dl.api",
    "select": "era5dl.api",
    "Selection": "era5dl.selection",
    "Settings": "era5dl.settings",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
