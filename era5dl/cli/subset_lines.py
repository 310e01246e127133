"""Lines about the subset of a plan: what is fetched and written, and where a subset saves no traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.catalog import Cadence, parse_key, products
from era5dl.formatting import format_count, format_size
from era5dl.subset.description import describe_subset
from era5dl.subset.grid import era5_grid

if TYPE_CHECKING:
    from era5dl.planner import Plan, PlanEstimate
    from era5dl.subset.selection import Subset

_CHUNKS = {
    Cadence.DAY: "A chunk has all levels of the globe for one hour, so only fewer hours save traffic.",
    Cadence.MONTH: "A chunk has a day's hours for a part of the globe, so only an area or fewer days save traffic.",
    Cadence.HALF_MONTH: "A chunk has 12 hours of a forecast for the globe, so only fewer days save traffic.",
}
_MOST_POINTS = 5  # whose grid points are listed


def subset_lines(plan: Plan, estimate: PlanEstimate) -> list[str]:
    """Return the lines; none for whole files."""
    if plan.subset.is_everything:
        return []
    about, total = "" if estimate.is_exact else "about ", estimate.total
    return [
        f"subset of each file: {describe_subset(plan.subset)}",
        *_place_lines(plan.subset),
        f"to fetch: {about}{format_size(total.fetched)} of {format_size(total.size)}; "
        f"on disk: about {format_size(total.written)}",
        *_whole_file_lines(plan),
        *([] if plan.subset.prove else _advice(estimate)),
    ]


def _place_lines(subset: Subset) -> list[str]:
    """Return which grid points an area or points stand for."""
    if not subset.area and not subset.points:
        return []
    cells = era5_grid().cells(subset)
    if subset.area:
        rows, columns = cells.shape
        edges = (cells.latitudes[0], cells.longitudes[0], cells.latitudes[-1], cells.longitudes[-1])
        return [f"grid points (every 0.25 degrees): {rows} x {columns}, {'/'.join(f'{edge:g}' for edge in edges)}"]
    places = zip(subset.points, cells.latitudes, cells.longitudes, strict=True)
    lines = [
        f"nearest grid point of {point.name + ' ' if point.name else ''}{point}: {latitude:g},{longitude:g}"
        for point, latitude, longitude in list(places)[:_MOST_POINTS]
    ]
    return lines + ([f"and {len(cells) - _MOST_POINTS:,} more points"] if len(cells) > _MOST_POINTS else [])


def _whole_file_lines(plan: Plan) -> list[str]:
    other = sum(parse_key(obj.key) is None for obj in plan.objects)
    verb = "is" if other == 1 else "are"
    return [f"fetched whole: {format_count(other, 'file')} that {verb} not of ERA5"] if other else []


def _advice(estimate: PlanEstimate) -> list[str]:
    """Return two lines for each product of which all is fetched anyway."""
    cadences = {product.prefix: product.cadence for product in products()}
    return [
        line
        for name in estimate.without_saving
        if (cadence := cadences.get(name)) in _CHUNKS
        for line in (
            f"{name}: the subset saves disk space, but not traffic. {_CHUNKS[cadence]}",
            "  Whole files take as long, and each is verified by its MD5, as with --prove.",
        )
    ]
