"""Name lookup: finds products and variables by any of their names, and searches the catalogue.

Case, spaces, underscores, hyphens and dots are ignored. A name of more than one variable raises AmbiguousName, which
lists their full names; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from era5dl.catalog import data
from era5dl.catalog.keys import parse_key
from era5dl.catalog.products import Product, products
from era5dl.catalog.variables import Variable, variables
from era5dl.errors import AmbiguousName, UnknownName

_Index = dict[str, tuple[Variable, ...]]


def find_product(name: str) -> Product:
    """Return the product with this name: "e5.oper.an.pl", "an.pl" or "pl". Raises UnknownName."""
    found = _product_names().get(normalize(name))
    if found is None:
        near = dict.fromkeys(_product_names()[hit].name for hit in closest_matches(normalize(name), _product_names()))
        raise UnknownName(
            f"There is no product “{name}”.",
            candidates=tuple(near),
            remedy="Products: " + ", ".join(product.name for product in products()) + ".",
        )
    return found


def find_variable(name: str, product: Product | None = None) -> Variable:
    """Return the only variable with this name, in `product` if given. Raises AmbiguousName or UnknownName.

    All of these find 2 metre temperature: 2t, t2m, VAR_2T, 2m_temperature, "2 metre temperature", 128_167_2t, 167.128,
    an.sfc/2t, e5.oper.an.sfc/2t, and the key of any of its files.
    """
    product, short = _split(name, product)
    named = find_named(short)
    found = tuple(v for v in named if product is None or v.product == product)
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousName(
            f"“{name}” can mean " + " or ".join(f"{v.name} ({v.long_name})" for v in found) + ".",
            candidates=[v.name for v in found],
            remedy="Specify which one: " + " or ".join(v.name for v in found) + ".",
        )
    if product is not None and named:
        raise UnknownName(
            f"{product.name} has no variable “{short}”.",
            candidates=[v.name for v in named],
            remedy="The variable is in another product: " + ", ".join(v.name for v in named) + ".",
        )
    raise _unknown(short, product)


def find_named(name: str) -> tuple[Variable, ...]:
    """Return all variables that have this name, without a product; () if none has it."""
    return _variable_names().get(normalize(name), ())


def find_absent(name: str) -> dict[str, str] | None:
    """Return the row of absent.csv about an ERA5 variable that this bucket does not have; None if there is none."""
    return _absent().get(normalize(name))


def search(text: str = "", product: Product | None = None) -> tuple[Variable, ...]:
    """Return all variables whose names contain every word of `text`. Exact matches come first.

    The names of a derived variable find the variables that it is computed from: "tp" finds lsp and cp.
    """
    words = text.casefold().replace("_", " ").split()
    hits = [v for v in variables() if (product is None or v.product == product) and _mentions(v, words)]
    starts = normalize(text)
    exact = {v.name for v in _variable_names().get(starts, ())}
    exact |= {source for source, names in _derived_names().items() if starts in map(normalize, names)}
    return tuple(sorted(hits, key=lambda v: (v.name not in exact, not normalize(v.short).startswith(starts))))


def normalize(name: str) -> str:
    """Return a name in a form that is the same for all its spellings."""
    bare = re.sub(r"[^0-9a-z]", "", name.casefold())
    return re.sub(r"met(re|er)s?", "m", bare).replace("vapor", "vapour").replace("vapouur", "vapour")


def closest_matches(name: str, names: Iterable[str]) -> list[str]:
    """Return the most similar names, the best first."""
    from difflib import get_close_matches  # takes 4 ms, and is needed only for mistyped names

    return get_close_matches(name, names, n=5, cutoff=0.6)


def _split(name: str, product: Product | None) -> tuple[Product | None, str]:
    """Split "an.sfc/2t", "2t" or an object key into the product and the variable's name."""
    key = parse_key(name.strip())
    front, slash, short = (key.product.prefix, "/", key.short) if key else name.strip().rpartition("/")
    if not slash:
        return product, short
    specified = find_product(front)
    if product is not None and specified != product:
        raise UnknownName(f"“{name}” is not in {product.name}.", candidates=[f"{specified.name}/{short}"])
    return specified, short


def _spellings(variable: Variable) -> Iterator[str]:
    """Yield all names of a variable."""
    number, table = int(variable.param), int(variable.table)
    yield from (variable.short, variable.nc_var, variable.long_name, variable.cds_name, *variable.also)
    yield from (variable.code, f"{variable.table}_{variable.param}")
    yield from (f"{number}.{table}", f"p{number}.{table}")  # MARS; netCDF variables for which ecCodes has no name
    yield from (str(number), variable.param)
    if table != 128:
        yield f"{table}{variable.param}"  # ECMWF's paramId; for table 128 it is the number alone


@cache
def _variable_names() -> _Index:
    index: dict[str, list[Variable]] = {}
    for variable in variables():
        for name in dict.fromkeys(normalize(spelling) for spelling in _spellings(variable)):
            index.setdefault(name, []).append(variable)
    return {name: tuple(found) for name, found in index.items()}


@cache
def _product_names() -> dict[str, Product]:
    """Return the products by full name and by each shorter name without the first words: an.pl, pl."""
    names: dict[str, Product] = {}
    for product in products():
        words = product.prefix.split(".")
        for first in range(len(words)):
            names.setdefault(normalize("".join(words[first:])), product)
    return names


@cache
def _derived_names() -> dict[str, tuple[str, ...]]:
    """Return the names of derived variables, by the full name of a variable that they are computed from."""
    names: dict[str, tuple[str, ...]] = {}
    for row in data.read_json("derived.json"):
        for source in row["sources"]:
            names[source] = (*names.get(source, ()), row["short"], row["cds_name"], *row["also"])
    return names


@cache
def _absent() -> dict[str, dict[str, str]]:
    """Return the ERA5 variables that this bucket does not contain, by each of their names."""
    names: dict[str, dict[str, str]] = {}
    for row in data.read_csv("absent.csv"):
        for name in (row["short"], row["cds_name"], *row["also"].split()):
            names[normalize(name)] = row
    return names


def _unknown(name: str, product: Product | None) -> UnknownName:
    """Return an error that explains why the variable does not exist, and suggests others."""
    bare = normalize(name)
    absent = _absent().get(bare)
    if absent is not None:
        title = absent["cds_name"].replace("_", " ")
        return UnknownName(
            f"ERA5's {absent['short']} ({title}) is not in this bucket.",
            candidates=absent["instead"].split(),
            remedy=absent["remedy"],
        )
    on_level = next((v for v in variables() if _is_level_of(v, bare)), None)
    if on_level is not None:
        return UnknownName(
            f"“{name}” is not a separate variable.",
            candidates=[on_level.name],
            remedy=f"All {on_level.levels} pressure levels are in one file: use {on_level.name}.",
        )
    known = [
        key for key, found in _variable_names().items() if product is None or product in {v.product for v in found}
    ]
    near = dict.fromkeys(v.name for hit in closest_matches(bare, known) for v in _variable_names()[hit])
    names = [n for n in near if product is None or n.startswith(f"{product.name}/")][:5]
    subject = f"{product.name} has" if product else "There is"
    return UnknownName(
        f"{subject} no variable “{name}”.",
        candidates=names,
        remedy=f"Did you mean {', '.join(names)}?" if names else "`era5dl variables TEXT` searches the catalogue.",
    )


def _is_level_of(variable: Variable, name: str) -> bool:
    """Return whether the name means this variable on one pressure level: z500, t850hpa."""
    level = name.removeprefix(variable.short).removesuffix("hpa")
    return level != name and level in map(str, variable.product.levels_hpa)


def _mentions(variable: Variable, words: list[str]) -> bool:
    names = (variable.name, variable.code, variable.nc_var, variable.long_name, variable.cds_name, *variable.also)
    names += _derived_names().get(variable.name, ())
    haystack = " ".join(names).casefold().replace("_", " ")
    return all(word in haystack for word in words)
