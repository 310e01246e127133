"""Downloads ERA5 reanalysis files from NSF NCAR's public S3 bucket and verifies every file.

The Python API is `era5dl.select`, `era5dl.plan` and `era5dl.download` (see `era5dl.api`). These names are imported on
first use, so that `import era5dl` takes no time.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it as true; importing it from `typing` would take longer than all the rest
if TYPE_CHECKING:
    from era5dl.api import Result, audit, download, from_cds, merge, open, plan
    from era5dl.api_select import select
    from era5dl.selection import Selection
    from era5dl.settings import Settings
    from era5dl.subset.selection import Area, Point

__version__ = "0.1.0"
__all__ = [
    "Area",
    "Point",
    "Result",
    "Selection",
    "Settings",
    "__version__",
    "audit",
    "download",
    "from_cds",
    "merge",
    "open",
    "plan",
    "select",
]

_MODULES = {
    "Result": "era5dl.api",
    "audit": "era5dl.api",
    "download": "era5dl.api",
    "from_cds": "era5dl.api",
    "merge": "era5dl.api",
    "open": "era5dl.api",
    "plan": "era5dl.api",
    "select": "era5dl.api_select",
    "Selection": "era5dl.selection",
    "Settings": "era5dl.settings",
    "Area": "era5dl.subset.selection",
    "Point": "era5dl.subset.selection",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
