"""The 224 variables of the bucket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from era5dl.catalog import data
from era5dl.catalog.products import Product, products


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of one product.

    table, param: ECMWF's GRIB1 numbers, three digits each. short: short name in the bucket's keys. grid: "sc" or "uv",
    which follows "ll025" in its keys. nc_var: name in the netCDF file. levels: 37 or 1. cds_name: name in the
    Copernicus Climate Data Store. also: other names. source: entries of data/SOURCES.md. confidence: high, medium or
    low; unless it is high, the planner takes the spelling of the key from the bucket's listing.
    """

    product: Product
    table: str
    param: str
    short: str
    grid: str
    long_name: str
    units: str
    nc_var: str
    levels: int
    cds_name: str
    also: tuple[str, ...]
    source: str
    confidence: str

    @property
    def name(self) -> str:
        """The full name, which is unique: "an.sfc/2t"."""
        return f"{self.product.name}/{self.short}"

    @property
    def code(self) -> str:
        """The part of the key that identifies the variable: "128_167_2t"."""
        return f"{self.table}_{self.param}_{self.short}"

    def __str__(self) -> str:
        return self.name


@cache
def variables() -> tuple[Variable, ...]:
    """Return all variables in the order of variables.csv (product, table, param)."""
    by_prefix = {product.prefix: product for product in products()}
    return tuple(
        Variable(
            product=by_prefix[row["product"]],
            table=row["table"],
            param=row["param"],
            short=row["short"],
            grid=row["grid"],
            long_name=row["long_name"],
            units=row["units"],
            nc_var=row["nc_var"],
            levels=int(row["levels"]),
            cds_name=row["cds_name"],
            also=tuple(row["also"].split()),
            source=row["source"],
            confidence=row["confidence"],
        )
        for row in data.read_csv("variables.csv")
    )
