"""Names of variables in a data set: those of the bucket's files (VAR_2T), or those of the Climate Data Store (t2m)."""

from __future__ import annotations

from collections.abc import Iterable

from era5dl.catalog import Cadence, DerivedVariable, Variable
from era5dl.errors import UsageError

NAMES = ("bucket", "cds")

_CDS = {  # where the Data Store's netCDF files have another name than the short name
    "100u": "u100",
    "100v": "v100",
    "10fg": "fg10",
    "10si": "si10",
    "10u": "u10",
    "10v": "v10",
    "100si": "si100",
    "2d": "d2m",
    "2t": "t2m",
    "ci": "siconc",
    "laihv": "lai_hv",
    "lailv": "lai_lv",
    "sstk": "sst",
    "vitoed": "vited",
    "vitoee": "vitee",
    "vitoen": "viten",
    "viwvd": "vimdf",
}
_MEAN_RATE = "avg_"  # as mean rates and fluxes begin in the Data Store


def check_names(names: str) -> None:
    """Raise UsageError unless `names` is one of NAMES."""
    if names not in NAMES:
        raise UsageError(f"There are no names {names!r}.", remedy=f"Use one of {', '.join(map(repr, NAMES))}.")


def dataset_names(chosen: Iterable[Variable | DerivedVariable], names: str) -> dict[Variable | DerivedVariable, str]:
    """Return the name of each variable in a data set.

    Where two have the same one (geopotential: an.pl/z and invariant/z), that of the invariant gets "_invariant", and
    that of any other product its name.
    """
    found: dict[Variable | DerivedVariable, str] = {}
    for one in sorted(chosen, key=lambda one: one.product.cadence is Cadence.FIXED):  # stable; invariants last
        name = _name(one, names)
        if name in found.values():
            name = f"{name}_{one.product.name.replace('.', '_')}"
        found[one] = name
    return found


def _name(variable: Variable | DerivedVariable, names: str) -> str:
    if names == "cds":
        known = _CDS.get(variable.short)
        rate = next((name for name in variable.also if name.startswith(_MEAN_RATE)), None)
        return known or rate or variable.short
    if isinstance(variable, Variable):
        return variable.nc_var
    return f"VAR_{variable.short.upper()}" if variable.short[0].isdigit() else variable.short.upper()
