"""Wanted files: those of a selection or a list of keys, and those between the first and last file of a variable."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from era5dl.archive.scan import FoundFile, Scan
from era5dl.catalog import Cadence, KeyParts, Period, Variable, key_of, parse_key, periods
from era5dl.days import is_open
from era5dl.errors import UsageError
from era5dl.planner.from_selection import selected_periods
from era5dl.selection import Selection
from era5dl.session.object_paths import subset_key, subset_of
from era5dl.subset.selection import EVERYTHING, Subset


@dataclass(frozen=True, slots=True)
class Wanted:
    """A wanted file. name: of the file, the last part of its path. subset: what is wanted of the object."""

    name: str
    key: str
    parts: KeyParts
    subset: Subset

    @classmethod
    def of_key(cls, key: str, subset: Subset = EVERYTHING) -> Wanted | None:
        """Return what is wanted of the object with this key; None if it is not an ERA5 file."""
        parts = parse_key(key)
        if parts is None:
            return None
        return cls(subset_key(key, subset).rpartition("/")[2], key, parts, subset_of(key, subset))

    @property
    def is_part(self) -> bool:
        return not self.subset.is_everything


def wanted_keys(selection: Selection | None, keys: Iterable[str], scan: Scan) -> Iterator[Wanted]:
    """Yield the files of a selection, and those with these keys. Raises UsageError for a key that is not of ERA5.

    A selection that ends in "latest" ends with the newest file of each product that is known in the folder.
    """
    for key in keys:
        wanted = Wanted.of_key(key)
        if wanted is None:
            raise UsageError(
                f"{key[:200]!a} is not the key of an ERA5 file.",
                remedy="Write keys such as e5.oper.an.sfc/202001/….nc, one per line.",
            )
        yield wanted
    if selection is None:
        return
    limits = newest_starts(scan) if is_open(selection.days) else {}
    spelled = _spelled_keys(scan)
    for variable in selection.variables:
        for period in selected_periods(variable.product, selection.days):
            limit = limits.get(variable.product.prefix, datetime.now(timezone.utc).replace(tzinfo=None))
            if is_open(selection.days) and period.start > limit:
                break
            key = spelled.get(_place(variable, period), "") or key_of(variable, period)
            wanted = Wanted.of_key(key, selection.subset)
            if wanted is not None and selection.subset.selects_any_of(wanted.parts):
                yield wanted


def code_of(parts: KeyParts) -> tuple[str, str, str]:
    """Return what identifies a variable: product, table and parameter."""
    return parts.product.prefix, parts.table, parts.param


def keys_between(files: Iterable[FoundFile], there: Container[str]) -> Iterator[Wanted]:
    """Yield the files from the first to the last one of each variable of these files, except those of the keys
    `there`."""
    spans: dict[Variable, tuple[datetime, datetime]] = {}
    for file in files:
        if (variable := file.variable) is not None and variable.product.cadence is not Cadence.FIXED:
            first, last = spans.get(variable, (file.start, file.start))
            spans[variable] = (min(first, file.start), max(last, file.start))
    for variable, (first, last) in spans.items():
        for period in periods(variable.product, first.date(), last.date()):
            if not first <= period.start <= last or (key := key_of(variable, period)) in there:
                continue
            if wanted := Wanted.of_key(key):
                yield wanted


def _place(variable: Variable, period: Period) -> tuple[str, str, str, str]:
    return variable.product.prefix, variable.table, variable.param, period.stamp


def _spelled_keys(scan: Scan) -> dict[tuple[str, str, str, str], str]:
    """Return the keys of known objects whose spelling differs from that of the catalogue, by what they contain."""
    found: dict[tuple[str, str, str, str], str] = {}
    known = {file.key: file.parts for file in scan.files}
    for key, parts in (*scan.records.parts.items(), *known.items()):
        if parts.variable is None:
            stamp = key.rpartition(".ll025")[2][3:-3]
            found[parts.product.prefix, parts.table, parts.param, stamp] = key
    return found


def newest_starts(scan: Scan) -> dict[str, datetime]:
    """Return the start of the newest file of each product that is in the folder, or known to be in the bucket."""
    newest: dict[str, datetime] = {}
    known = [file.parts for file in scan.files]
    known += [scan.records.parts[key] for key in scan.records.newest if key in scan.records.parts]
    for parts in known:
        prefix = parts.product.prefix
        if prefix not in newest or parts.start > newest[prefix]:
            newest[prefix] = parts.start
    return newest
