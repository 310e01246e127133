"""Reads the HDF5 index of one object of the bucket: range requests for its front and end, then for what is missing.

A file of the bucket takes two or three rounds; the requests of a round are sent at the same time: two requests, and
then up to 18 for the B-tree nodes of a monthly file, which are between its chunks. They fetch about 0.2 MB in all.
"""

from __future__ import annotations

from collections.abc import Callable

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.interface import Bucket, ObjectInfo
from era5dl.hdf5 import Index, SparseBytes, complete_index, first_ranges
from era5dl.subset.range_requests import RangeRequests
from era5dl.subset.ranges import coalesce

PARALLEL = 20
"""Requests at the same time, so that one round is enough for all B-tree nodes of a monthly file."""


def read_object_index(
    bucket: Bucket,
    obj: ObjectInfo,
    abort: Abort | None = None,
    *,
    parallel: int = PARALLEL,
    on_received: Callable[[int], None] | None = None,
) -> Index:
    """Return the index of this version of an object. Ends at the first failed request: retries are up to the caller.

    abort: ends the requests within a tenth of a second; Stopped is raised. on_received: called, from several threads,
    with the number of bytes of each read. Raises BucketErrors (ObjectChanged for another version), DamagedFile for what
    is not a complete HDF5 file, UnsupportedLayout for an object that has to be fetched whole, and OutOfThreads.
    """
    requests = RangeRequests(bucket, obj, parallel, abort=abort, on_received=on_received)
    source = SparseBytes(obj.size)
    return complete_index(source, lambda ranges: requests.fetch(coalesce(ranges), source.add), first_ranges(obj.size))
