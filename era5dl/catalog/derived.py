"""Derived variables: names that are not in the bucket, but can be computed exactly from variables that are.

Total precipitation (tp) is large-scale plus convective precipitation, for example. A selection of a derived name
contains the variables it is computed from. Only definitions of ECMWF's documentation are in the table
(`data/derived.json`); what is merely similar is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from era5dl.catalog import data
from era5dl.catalog.lookup import find_product, find_variable, normalize
from era5dl.catalog.products import Product
from era5dl.catalog.variables import Variable


@dataclass(frozen=True, slots=True)
class DerivedVariable:
    """A variable that is computed from others.

    short: ECMWF's short name, "tp". cds_name: its name in the Climate Data Store. sources: the variables of the bucket
    that it is computed from, all of one product. formula: for people, in the short names of the sources. note: what the
    values mean. operation, factor: see `compute`.
    """

    short: str
    cds_name: str
    long_name: str
    units: str
    also: tuple[str, ...]
    sources: tuple[Variable, ...]
    formula: str
    note: str
    operation: str
    factor: float

    @property
    def product(self) -> Product:
        """The product of its sources."""
        return self.sources[0].product

    def compute(self, values: Sequence[Any]) -> Any:
        """Return its values (numbers or arrays) from those of the sources, in their order.

        The sum ("sum"), or the square root of the sum of squares ("norm"), times the factor.
        """
        if len(values) != len(self.sources):
            raise ValueError(f"{self.short} is computed from {len(self.sources)} variables, not {len(values)}")
        total = values[0] if self.operation == "sum" else values[0] * values[0]
        for value in values[1:]:
            total = total + (value if self.operation == "sum" else value * value)
        result = total if self.operation == "sum" else total**0.5
        return result if self.factor == 1.0 else result * self.factor

    def __str__(self) -> str:
        return f"{self.short} = {self.formula} ({', '.join(source.name for source in self.sources)})"


@cache
def derived_variables() -> tuple[DerivedVariable, ...]:
    """Return all derived variables."""
    return tuple(
        DerivedVariable(
            short=row["short"],
            cds_name=row["cds_name"],
            long_name=row["long_name"],
            units=row["units"],
            also=tuple(row["also"]),
            sources=tuple(map(find_variable, row["sources"])),
            formula=row["formula"],
            note=row["note"],
            operation=row["operation"],
            factor=row["factor"],
        )
        for row in data.read_json("derived.json")
    )


def find_derived(name: str, product: Product | None = None) -> DerivedVariable | None:
    """Return the derived variable with this name, such as "tp" or "fc.sfc.accumu/tp"; None if there is none.

    product: None, or the product that its sources must belong to. Raises UnknownName if the name begins with a product
    that does not exist.
    """
    front, slash, short = name.strip().rpartition("/")
    found = _derived_names().get(normalize(short))
    if found is None:
        return None
    if slash and find_product(front) != found.product:
        return None
    return found if product is None or product == found.product else None


def find_variables(name: str, product: Product | None = None) -> tuple[Variable, ...]:
    """Return the variable with this name, or those that a derived variable with this name is computed from.

    Raises AmbiguousName or UnknownName, as `find_variable`.
    """
    derived = find_derived(name, product)
    return derived.sources if derived else (find_variable(name, product),)


def derived_among(names: Iterable[str]) -> tuple[DerivedVariable, ...]:
    """Return the derived variables among these names, each once."""
    found = (_derived_names().get(normalize(name.rpartition("/")[2])) for name in names)
    return tuple(dict.fromkeys(derived for derived in found if derived is not None))


@cache
def _derived_names() -> dict[str, DerivedVariable]:
    return {
        normalize(name): derived
        for derived in derived_variables()
        for name in (derived.short, derived.cds_name, derived.long_name, *derived.also)
    }
