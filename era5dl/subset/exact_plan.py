"""Exact figures of a plan with a subset: reads the indexes of all files at the same time, and counts their chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from era5dl.bucket.cancellation import current_abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.catalog.keys import parse_key
from era5dl.errors import Era5Error, UsageError
from era5dl.hdf5 import DamagedFile, Index, UnsupportedLayout
from era5dl.planner.concurrent_requests import Progress, run_concurrently
from era5dl.planner.estimate import PlanEstimate, product_folder
from era5dl.planner.plan import Plan
from era5dl.subset.estimate import Estimate, Estimator
from era5dl.subset.index_cache import IndexCache
from era5dl.subset.ranges import FileSubset, plan_file
from era5dl.subset.read_index import read_object_index

PARALLEL = 12
"""Files at a time; each one takes up to 20 requests at the same time."""

_METADATA = 30_000  # bytes of a small netCDF-4 file besides the data


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Figures of one file. fetched: exact, unless `error` is set. written: about, as values are compressed again.

    reason: why the whole file is fetched. error: why its index could not be read; then the figures are estimated.
    """

    obj: ObjectInfo
    figures: Estimate
    reason: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExactPlan:
    """Figures of each file of a plan, in its order."""

    files: tuple[FilePlan, ...]

    @property
    def estimate(self) -> PlanEstimate:
        """The sums for each product. They are exact if all indexes could be read."""
        nothing, products = Estimate(0, 0, 0), dict[str, Estimate]()
        for file in self.files:
            name = product_folder(file.obj.key)
            products[name] = products.get(name, nothing) + file.figures
        return PlanEstimate(products, is_exact=not any(file.error for file in self.files))


def exact_plan(
    plan: Plan,
    bucket: Bucket,
    cache: IndexCache | None,
    *,
    parallel: int = PARALLEL,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ExactPlan:
    """Return what is fetched of each file. Indexes that are not in the cache are read, `parallel` at a time, and kept.

    A file whose index cannot be read, also after retries, gets estimated figures. on_progress and cancelled: see
    `run_concurrently`. Raises Stopped, OutOfThreads, and BadSelection when nothing is selected in a file.
    """
    estimator = Estimator(plan.subset)

    def estimated(number: int, error: Era5Error) -> FilePlan:
        if isinstance(error, UsageError):
            raise error
        obj = plan.objects[number]
        key = parse_key(obj.key)
        assert key is not None
        return FilePlan(obj, estimator.estimate(key, obj.size), error=str(error))

    tasks = [partial(_file_plan, plan, obj, bucket, cache) for obj in plan.objects]
    files = run_concurrently(tasks, parallel=parallel, on_progress=on_progress, cancelled=cancelled, on_error=estimated)
    return ExactPlan(tuple(files))


def _file_plan(plan: Plan, obj: ObjectInfo, bucket: Bucket, cache: IndexCache | None) -> FilePlan:
    key = parse_key(obj.key)
    if key is None:
        return _whole(obj)
    subset = plan.subset.for_file(key)
    if subset.is_everything:
        return _whole(obj)
    if subset.prove:  # the whole file is fetched, whatever its index says
        return FilePlan(obj, Estimator(plan.subset).estimate(key, obj.size))
    try:
        return FilePlan(obj, _figures(plan_file(_index(obj, bucket, cache), key, subset)))
    except (UnsupportedLayout, DamagedFile) as error:
        return _whole(obj, str(error))


def _index(obj: ObjectInfo, bucket: Bucket, cache: IndexCache | None) -> Index:
    index = cache.get(obj) if cache else None
    if index is None:
        index = read_object_index(bucket, obj, current_abort())
        if cache:
            cache.put(obj, index)
    return index


def _figures(part: FileSubset) -> Estimate:
    fetched = sum(stop - start for start, stop in part.ranges())
    stored = sum(chunk.size for chunk in part.chunks)
    shape = part.geometry.shape
    touched = sum(
        math.prod(
            min(edge, length - start)  # the last chunk in each direction is not full
            for start, edge, length in zip(chunk.origin, part.geometry.chunk_shape, shape, strict=True)
        )
        for chunk in part.chunks
    )
    size = part.index.size
    return Estimate(fetched, min(round(stored * len(part.elements) / touched) + _METADATA, size), size)


def _whole(obj: ObjectInfo, reason: str = "") -> FilePlan:
    return FilePlan(obj, Estimate(obj.size, obj.size, obj.size), reason)
