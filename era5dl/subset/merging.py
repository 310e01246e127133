"""Merges several groups of downloaded files, one after the other, and reports each: merged, or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from era5dl.errors import DiskError, Era5Error, FileTooLarge, Stopped, WillNotFit
from era5dl.formatting import format_count, format_size
from era5dl.subset import import_writer
from era5dl.subset.merge_plan import Group, MergedFile, describe_spans, moment_of


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """What has become of one group. name: of the merged file, or of the variable. file: None if it was not merged,
    because of `error`. csv: the CSV file, if there is one. kind: class of the error."""

    name: str
    file: MergedFile | None = None
    csv: Path | None = None
    error: str = ""
    remedy: str = ""
    kind: str = ""


def merge_groups(
    root: Path,
    groups: Sequence[Group],
    errors: Mapping[str, Era5Error],
    *,
    only_complete: bool = False,
    csv: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[MergeOutcome]:
    """Merge these groups into files in the folder `root`, and yield what has become of each.

    groups, errors: from `plan_groups`. only_complete: leave out groups with absent parts. csv: also write the values at
    points as CSV files. Raises UsageError without h5py, Stopped, and DiskErrors, which concern the next group, too.
    """
    for name, error in errors.items():
        yield _failed(name, error)
    import_writer()  # raises UsageError, as the imports below would fail without h5py
    from era5dl.subset.merge import merge_group
    from era5dl.subset.point_csv import write_csv

    for group in groups:
        if only_complete and group.absent:
            yield _incomplete(group)
            continue
        try:
            merged = merge_group(root, group, stopped)
            table = write_csv(root, merged.path, stopped) if csv and group.has_points else None
            yield MergeOutcome(group.name, merged, table)
        except (Stopped, DiskError) as error:
            if not isinstance(error, (FileTooLarge, WillNotFit)):  # these concern this group only
                raise
            yield _failed(group.name, error)
        except Era5Error as error:
            yield _failed(group.name, error)


def describe_outcome(outcome: MergeOutcome) -> list[str]:
    """Return one line, or more where something is missing or wrong."""
    if outcome.file is None:
        return [f"not merged: {outcome.name}: {outcome.error}", *([f"  {outcome.remedy}"] if outcome.remedy else [])]
    file = outcome.file
    lines = [
        f"{'merged before, still the same' if file.kept else 'merged'}: {file.path}: "
        f"{format_count(file.files, 'file')}, {format_count(file.times, 'time')} from "
        f"{moment_of(file.first):%Y-%m-%d %H} to {moment_of(file.last):%Y-%m-%d %H} UTC, {format_size(file.size)}"
    ]
    if file.missing:
        lines.append(f"  no data between these for {describe_spans(file.missing)}")
    return lines + ([f"  as CSV: {outcome.csv}"] if outcome.csv else [])


def _failed(name: str, error: Era5Error) -> MergeOutcome:
    return MergeOutcome(name, error=str(error), remedy=error.remedy, kind=error.kind)


def _incomplete(group: Group) -> MergeOutcome:
    more = f" and {len(group.absent) - 1:,} more" if len(group.absent) > 1 else ""
    error = f"not all of its files are there: {group.absent[0]}{more} {'are' if more else 'is'} missing"
    remedy = "Run the download again; or merge what is there with `era5dl merge`."
    return MergeOutcome(group.name, error=error, remedy=remedy, kind="Era5Error")
