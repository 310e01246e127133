"""Example archives: folders with small files that have names of ERA5 files, and sessions that have recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import find_variable, key_of, periods
from era5dl.planner.plan import Missing, Plan
from era5dl.ranges import RangeSet
from era5dl.selection import Selection, select_variables
from era5dl.session import Checkpoint, FailedObject, Session
from era5dl.session.finished_files import FinishedFile
from era5dl.session.object_paths import subset_key
from era5dl.settings import Settings
from era5dl.subset.selection import EVERYTHING, Subset

SIZE = 64  # bytes of each object
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8) + b"\xff" * 8 + bytes(8)


def keys_of(name: str, first: date, last: date) -> list[str]:
    """Return the keys of a variable's files that contain these days."""
    variable = find_variable(name)
    return [key_of(variable, period) for period in periods(variable.product, first, last)]


def hdf5_bytes(size: int = SIZE) -> bytes:
    """Return a file whose superblock says that it has `size` bytes."""
    return (HDF5[:40] + size.to_bytes(8, "little")).ljust(size, b"d")[:size]


def write_file(folder: Path, place: str, size: int = SIZE) -> Path:
    """Write a file of this size, whose superblock says so."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hdf5_bytes(size))
    return path


def plan_for(
    names: Iterable[str],
    first: date,
    last: date,
    subset: Subset = EVERYTHING,
    missing: Mapping[str, str] | None = None,
    etag: str = "",
) -> Plan:
    """Return a plan in which every object has SIZE bytes. missing: by key, the reasons of those not in the bucket.

    etag: of all objects; by default each has one of its own, which is not its MD5.
    """
    absent = missing or {}
    selection = Selection(select_variables(names), ((first, last),), subset)
    keys = [key for variable in selection.variables for key in keys_of(variable.name, first, last)]
    return Plan(
        {"selection": selection.to_json()},
        tuple(
            ObjectInfo(key, SIZE, etag or f'"{n:032x}"', 1_600_000_000)
            for n, key in enumerate(keys)
            if key not in absent
        ),
        tuple(Missing(key, absent[key]) for key in keys if key in absent),
    )


def make_session(
    folder: Path,
    plan: Plan,
    *,
    verified: Iterable[int] = (),
    checked: Iterable[int] = (),
    failed: Mapping[int, str] | None = None,
    flat: bool = False,
    write: bool = True,
) -> Session:
    """Create a session that has finished these objects of its plan, and close it. write: also write their files.

    With a subset, finished objects are parts.
    """
    is_part = not plan.subset.is_everything
    done, loose = (RangeSet((n, n + 1) for n in numbers) for numbers in (verified, checked))
    failures = tuple(
        FailedObject(n, plan.objects[n].key, reason, "", 1_700_000_000.0) for n, reason in (failed or {}).items()
    )
    with Session.begin(folder, plan, Settings(flat=flat)) as session:
        stamps = []
        if write:
            for obj in (plan.objects[n] for members in (done, loose) for span in members for n in range(*span)):
                key = subset_key(obj.key, plan.subset)
                place = key.rpartition("/")[2] if flat else key
                modified = write_file(folder, place).stat().st_mtime_ns
                stamps.append(FinishedFile(place, obj.etag, SIZE, modified, SIZE))
            session.record_finished(stamps)
        sets = (RangeSet(), RangeSet(), done) if is_part else (done, loose, RangeSet())
        session.save(Checkpoint(sets[0], sets[1], (), failures, {}, 0, False, sets[2]))
    return session
