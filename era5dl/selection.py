"""Selection: the variables and days to download, and the subset of each file, in canonical form.

Different ways to ask for the same thing give equal selections and the same JSON. Variables are in the order of the
catalogue, days are the fewest ranges that cover them, and a selection of invariants only has no days at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from era5dl.catalog import Cadence, Product, Variable, find_preset, find_product, find_variables, variables
from era5dl.days import Days, days_from_json, days_to_json, merge_days
from era5dl.errors import AmbiguousName, BadSelection, UnknownName
from era5dl.subset.selection import EVERYTHING, Subset


@dataclass(frozen=True, slots=True)
class Selection:
    """Variables, days, and what is wanted of each file. Raises BadSelection when it is empty, or has days outside of
    ERA5.

    subset: with a restriction of any kind, its days are those of the selection. Without one, whole files are selected:
    those that contain any hour of the days.
    """

    variables: tuple[Variable, ...]
    days: Days = ()
    subset: Subset = EVERYTHING

    def __post_init__(self) -> None:
        chosen = frozenset(self.variables)
        ordered = tuple(v for v in variables() if v in chosen)
        invariant_only = all(v.product.cadence is Cadence.FIXED for v in ordered)
        days = () if invariant_only else merge_days(self.days)
        if not ordered:
            raise BadSelection("No variable is selected.", remedy="Specify at least one variable or a preset.")
        if not days and not invariant_only:
            raise BadSelection("No day is selected.", remedy="Give --start and --end, or --years.")
        object.__setattr__(self, "variables", ordered)
        object.__setattr__(self, "days", days)
        object.__setattr__(self, "subset", self._canonical_subset())

    def _canonical_subset(self) -> Subset:
        """Return the subset without levels and hours that no variable has, and with the days of the selection."""
        subset = self.subset
        if not self.days:  # only invariants
            subset = replace(subset, hours=(), days=())
        if not any(product.levels_hpa for product in self.products):
            subset = replace(subset, levels=())
        if subset.days not in ((), self.days):
            raise BadSelection("The days of the subset are not those of the selection.")
        return EVERYTHING if subset.is_everything else replace(subset, days=self.days)

    @property
    def products(self) -> tuple[Product, ...]:
        """The products of its variables, in the order of the catalogue."""
        return tuple(dict.fromkeys(v.product for v in self.variables))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form, equal for equal selections: names of variables, days as ISO dates, the subset.

        A selection of whole files has no "subset".
        """
        form: dict[str, Any] = {"variables": [v.name for v in self.variables], "days": days_to_json(self.days)}
        if not self.subset.is_everything:
            form["subset"] = self.subset.to_json()
        return form

    @classmethod
    def from_json(cls, value: Any) -> Selection:
        """Return the selection that `to_json` wrote. Raises BadSelection for anything else."""
        if not isinstance(value, Mapping):
            raise BadSelection("A selection must be a JSON object.")
        names = value.get("variables")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadSelection("“variables” of a selection must be a list of names.")
        try:
            chosen = select_variables(names)
        except (UnknownName, AmbiguousName) as error:
            raise BadSelection(str(error), remedy=error.remedy) from error
        return cls(chosen, days_from_json(value.get("days")), Subset.from_json(value.get("subset", {})))


def select_variables(
    names: Iterable[str] = (), *, presets: Iterable[str] = (), product: str | None = None
) -> tuple[Variable, ...]:
    """Return the variables of presets and those with these names, each once.

    names: such as "2t", "an.pl/t", "128_130_t" or "t2m". A derived name such as "tp" gives the variables that it is
    computed from, lsp and cp. product: where to look for the names; does not affect presets.
    Raises UnknownName or AmbiguousName, which list candidates.
    """
    within = find_product(product) if product else None
    chosen = [variable for preset in presets for variable in find_preset(preset).variables]
    chosen += [variable for name in names for variable in find_variables(name, within)]
    return tuple(dict.fromkeys(chosen))
