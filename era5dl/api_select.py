"""Python API: `select`, which makes a selection from what users write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from era5dl.days import select_days
from era5dl.errors import BadSelection, UnknownName
from era5dl.selection import Selection, select_variables
from era5dl.subset.parsing import parse_subset
from era5dl.subset.selection import Area, Point

if TYPE_CHECKING:
    from era5dl.catalog import Variable

Names = str | Sequence[str]
Numbers = int | str | Sequence[int | str]
Place = str | tuple[float, float] | tuple[float, float, str] | Point
Places = Place | Sequence[Place]


def select(
    variables: Names = (),
    *,
    product: Names | None = None,
    preset: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    years: Numbers = (),
    months: Numbers = (),
    days: Numbers = (),
    hours: Numbers = (),
    levels: Numbers = (),
    area: str | Sequence[float] | Area | None = None,
    point: Places | None = None,
    points: Sequence[Place] | None = None,
    only_days: bool = False,
    prove: bool = False,
) -> Selection:
    """Select variables and days (UTC), without network access.

    variables: one or several names, such as "2t", "an.pl/t", "128_130_t" or "t2m". A derived name such as "tp" selects
        the variables that it is computed from (lsp and cp); `era5dl.catalog.find_derived("tp")` has the formula.
    product: one or several products, such as "an.pl", to which the names belong; without names, all variables of these
        products are selected.
    preset: adds the variables that a model needs, such as "wrf".
    start, end: first and last day, both included, as dates or as "YYYY-MM-DD". With end="latest" everything that is
        published when the selection is planned.
    years, months, days: numbers or ranges, such as 2020, range(2000, 2006) or "2000-2005,2010"; days of the month. They
        restrict the days from start to end. With years, start and end may be omitted.


    By default whole files are selected. The following select a subset of each file, with the selected days only:

    hours: of the day (UTC), such as range(0, 24, 6) or "0,6,12,18"; for forecasts, of the valid time.
    levels: in hPa, such as 500, "500,850" or "850-1000" (all levels between); for variables on pressure levels.
    area: [north, west, south, east] in degrees, as text "54/73/18/135", or an Area.
    point: (latitude, longitude) in degrees, as text "30.6,114.3", or a Point; one or a list of them. Each stands for
        the nearest grid point. (latitude, longitude, name) gives it a name.
    points: a list of points; the same as `point` with a list.
    only_days: select only these days of each file, even if nothing else is restricted.
    prove: fetch whole files and verify them by their MD5 before the subsets are taken out of them.

    Raises UnknownName or AmbiguousName, which list candidates, and BadSelection if nothing remains.
    """
    chosen = _variables(_as_list(variables), _as_list(product or ()), preset)
    when = select_days(start=start, end=end, years=_as_list(years), months=_as_list(months), days=_as_list(days))
    if point is not None and points is not None:
        raise BadSelection("Both point and points are given.", remedy="Use one of them; each may be a list.")
    subset = parse_subset(
        hours=hours,
        levels=levels,
        area=area,
        point=points if point is None else point,
        days=when if only_days else (),
        prove=prove,
    )
    if subset.levels and not any(variable.product.levels_hpa for variable in chosen):
        raise BadSelection(
            "Levels are selected, but none of the variables is on pressure levels.",
            remedy="Omit the levels, or choose variables of a product on pressure levels, such as an.pl.",
        )
    return Selection(chosen, when, subset)


def _as_list(value: Any) -> list[Any]:
    """Return one or several values as a list. A text may contain several values, separated by commas."""
    if value is None:
        return []
    items = [value] if isinstance(value, (str, int)) else list(value)
    return [part for item in items for part in _split(item)]


def _split(item: Any) -> list[Any]:
    return [part.strip() for part in item.split(",") if part.strip()] if isinstance(item, str) else [item]


def _variables(names: list[str], products: list[str], preset: str | None) -> tuple[Variable, ...]:
    """Return the selected variables. A name is looked up in all given products, and must be in at least one."""
    from era5dl.catalog import find_product, search

    presets = [preset] if preset else []
    if products and not names:
        if presets:
            raise BadSelection(
                "A preset has its own variables; it cannot be combined with a whole product.",
                remedy="Omit one of them, or specify the names of variables of the product.",
            )
        return tuple(variable for name in products for variable in search("", find_product(name)))
    if len(products) <= 1:
        return select_variables(names, presets=presets, product=products[0] if products else None)
    found = list(select_variables((), presets=presets))
    for name in names:
        found += _find_in_products(name, products)
    return tuple(dict.fromkeys(found))


def _find_in_products(name: str, products: list[str]) -> list[Variable]:
    """Return the variable with this name of each product that has it. Raises UnknownName if none has it."""
    found: list[Variable] = []
    refusals: list[UnknownName] = []
    for product in products:
        try:
            found += select_variables([name], product=product)
        except UnknownName as refusal:  # noqa: PERF203 - a handful of products at most
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return found
