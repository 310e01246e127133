"""Estimate of a plan: about how many bytes are fetched and written, per product, against those of whole files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from era5dl.catalog import parse_key
from era5dl.planner.plan import Plan
from era5dl.subset.estimate import Estimate, Estimator

_NOTHING = Estimate(0, 0, 0)


@dataclass(frozen=True, slots=True)
class PlanEstimate:
    """products: sums by the first folder of the keys, such as "e5.oper.an.pl", in the order of the plan.

    is_exact: the figures are those of the indexes of the files, or whole files are fetched. Otherwise they are
    estimated, and should be shown with "about".
    """

    products: Mapping[str, Estimate]
    is_exact: bool = False

    @property
    def total(self) -> Estimate:
        """The sums of all products."""
        return sum(self.products.values(), _NOTHING)

    @property
    def without_saving(self) -> tuple[str, ...]:
        """The products of which about as much is fetched as of whole files, although only a part of it is written."""
        return tuple(
            name for name, sums in self.products.items() if sums.written < sums.size and not sums.saves_traffic
        )


def estimate_plan(plan: Plan) -> PlanEstimate:
    """Return the estimate of a plan, without network access. Files that are not of ERA5 are fetched whole."""
    estimator, whole = Estimator(plan.subset), plan.subset.is_everything
    products: dict[str, Estimate] = {}
    for obj in plan.objects:
        key, name = None if whole else parse_key(obj.key), product_folder(obj.key)
        one = estimator.estimate(key, obj.size) if key else Estimate(obj.size, obj.size, obj.size)
        products[name] = products.get(name, _NOTHING) + one
    return PlanEstimate(products, is_exact=whole or plan.subset.prove)


def fetched_sizes(plan: Plan) -> dict[int, int]:
    """Return about how many bytes are fetched of each object, by its index, where these are not all of them."""
    if plan.subset.is_everything:
        return {}
    estimator = Estimator(plan.subset)
    known = ((index, parse_key(obj.key), obj.size) for index, obj in enumerate(plan.objects))
    fetched = {index: estimator.estimate(key, size).fetched for index, key, size in known if key}
    return {index: size for index, size in fetched.items() if size != plan.objects[index].size}


def product_folder(key: str) -> str:
    """Return the first folder of a key; "" if it has none."""
    return key.partition("/")[0] if "/" in key else ""
