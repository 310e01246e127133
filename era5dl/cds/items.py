"""Names of variables in CDS requests: each is found in the bucket, derived from others, or absent, with the reason.

The dataset decides between variables of the same name: `geopotential` is an.pl/z on pressure levels, and the invariant
field at the surface on single levels.
"""

from __future__ import annotations

import re

from era5dl.catalog import Cadence, Variable, find_derived, find_product, find_variable, variables
from era5dl.catalog.lookup import closest_matches, find_absent, find_named, normalize
from era5dl.cds.datasets import PRESSURE_LEVELS, SINGLE_LEVELS, Family
from era5dl.cds.request import CdsItem, Note, Status
from era5dl.errors import AmbiguousName, UnknownName

_FOUND = Note("", "")


def resolve(asked: str, family: Family) -> CdsItem:
    """Return what one name of a request is in the bucket. family: SINGLE or PRESSURE."""
    name = re.sub(r"^time[-_]mean", "mean", asked.strip())
    on_levels = family is Family.PRESSURE
    derived = None if on_levels else find_derived(name)
    if derived is not None:
        text = f"It is {derived.formula}, in {derived.units}: {derived.note}."
        values = {"formula": derived.formula, "units": derived.units, "short": derived.short}
        return CdsItem(asked, Status.DERIVED, derived.sources, Note("derived", text, values))
    named = _named(name)
    here = [variable for variable in named if bool(variable.product.levels_hpa) is on_levels]
    if len(here) > 1:
        here = _preferred(here, name)
    if len(here) == 1:
        return CdsItem(asked, Status.FOUND, (here[0],), _found_note(here[0]))
    return CdsItem(asked, Status.ABSENT, (), _absent_note(name, named, here, family))


def _named(name: str) -> list[Variable]:
    """Return all variables with this name, which may begin with a product."""
    if "/" in name:
        try:
            return [find_variable(name)]
        except (UnknownName, AmbiguousName):
            return []
    return list(find_named(name))


def _preferred(found: list[Variable], name: str) -> list[Variable]:
    """Return the variable that a number of ECMWF alone means: that of table 128 (165, 129)."""
    number = re.fullmatch(r"[0-9]{1,3}", name)
    return [variable for variable in found if variable.table == "128"] if number else found


def _found_note(variable: Variable) -> Note:
    if variable.product.cadence is Cadence.FIXED:
        text = "It does not change with time: one file, whatever the dates."
        if variable.name == "invariant/z":
            text += " The geopotential of the surface, in m**2 s**-2; divide it by 9.80665 for metres."
        return Note("invariant", text)
    return _FOUND


def _absent_note(name: str, named: list[Variable], here: list[Variable], family: Family) -> Note:
    """Return why a name is not in the bucket, and where it is."""
    if here:
        names = ", ".join(variable.name for variable in here)
        return Note("ambiguous", f"It can mean {names}: write which one.", {"names": names})
    if named:
        other = PRESSURE_LEVELS if named[0].product.levels_hpa else SINGLE_LEVELS
        levels = "on pressure levels" if named[0].product.levels_hpa else "not on pressure levels"
        text = f"It is {levels}: request it from {other} ({named[0].name} in this bucket)."
        return Note("other-levels", text, {"dataset": other, "name": named[0].name})
    absent = find_absent(name)
    if absent is not None:
        kind = "waves" if "waves" in absent["remedy"] else "not-in-bucket"
        instead = absent["instead"]
        text = f"It is not in this bucket. {absent['remedy']}"
        return Note(kind, text, {"instead": instead.replace(" ", ", ")})
    try:
        find_variable(name, find_product("an.pl") if family is Family.PRESSURE else None)
        near: list[str] = []
    except UnknownName as error:  # such as z500, which is a level of a variable
        if "level" in error.remedy:
            return Note("level", f"{error} {error.remedy}", {"name": ", ".join(error.candidates)})
        near = _nearest(name, family)
    except AmbiguousName as error:
        near = list(error.candidates)
    hint = f" Did you mean {', '.join(near)}?" if near else " `era5dl variables TEXT` searches the catalogue."
    return Note("unknown", f"ERA5 has no variable of this name.{hint}", {"near": ", ".join(near)})


def _nearest(name: str, family: Family) -> list[str]:
    """Return the CDS names that are most similar."""
    on_levels = family is Family.PRESSURE
    known = {normalize(v.cds_name): v.cds_name for v in variables() if bool(v.product.levels_hpa) is on_levels}
    known |= {} if on_levels else {"totalprecipitation": "total_precipitation"}
    shorts = {normalize(v.short): v.short for v in variables() if bool(v.product.levels_hpa) is on_levels}
    hits = closest_matches(normalize(name), [*known, *shorts])
    return list(dict.fromkeys(known.get(hit) or shorts[hit] for hit in hits))[:4]
