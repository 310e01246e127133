"""Files of a data set: those of each variable in a folder, with the times they have, and what sessions asked for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from era5dl.archive.scan import FoundFile, scan_folder
from era5dl.catalog import Cadence, DerivedVariable, Variable, find_derived, find_variable
from era5dl.dataset.asked_hours import asked_hours
from era5dl.dataset.hours import Hours, hours_of_key
from era5dl.errors import AmbiguousName, BadSelection, Era5Error, SessionDamaged, SessionNotFound, UsageError
from era5dl.folder.paths import OWN_FOLDER
from era5dl.hdf5 import DamagedFile, UnsupportedLayout
from era5dl.planner.plan import Plan
from era5dl.proof.hdf5 import structure_error
from era5dl.session import index, resume_file
from era5dl.session.object_paths import subset_key
from era5dl.subset.description import attribute_form
from era5dl.subset.find_parts import open_part, read_bytes, read_local_index, subset_form
from era5dl.subset.geometry import hours_since_1900
from era5dl.subset.merge_plan import Part, make_part
from era5dl.subset.merge_source import REMEDY
from era5dl.subset.selection import Subset

Chosen = Variable | DerivedVariable

_MOST_NAMES = 12  # that a message lists


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a variable. form: what it has of its object, in JSON, without days: equal for files with the same
    hours, levels and places. when: the hours and days of that. etag: of the object; "" if no session knows it."""

    found: FoundFile
    form: str
    when: Subset
    etag: str

    @property
    def path(self) -> Path:
        return self.found.path

    def hours(self) -> Hours:
        """Return its valid times."""
        return hours_of_key(self.found.parts, self.when)

    def part(self) -> Part:
        """Return what is needed to read it."""
        parts, size = self.found.parts, self.found.size
        if parts.product.cadence is Cadence.FIXED:
            name = f"{parts.product.prefix}.{parts.table}_{parts.param}_{parts.short}.ll025{parts.grid}"
            times = (hours_since_1900(parts.start),)
            return Part(self.path, self.found.key, self.etag, size, name, self.form, times)
        form = json.loads(self.form) | self.when.to_json()
        return make_part(self.path, self.found.key, parts, form, self.etag, size)

    @property
    def source(self) -> str:
        """A line with key, ETag and size of the object."""
        record = self.found.record
        size = record.version.size if record else self.found.size if self.found.is_whole else "-"
        return f"{self.found.key} {self.etag or '-'} {size}"


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder. files: by variable, in the order of the catalogue. asked: by variable, the hours that
    sessions have planned; without an entry, no session knows the variable. left_out: damaged files."""

    root: Path
    files: Mapping[Variable, Sequence[DataFile]]
    asked: Mapping[Variable, Hours]
    left_out: Sequence[Path] = ()


def read_folder(folder: Path, plan: Plan | None = None, *, skip_damaged: bool = False) -> Folder:
    """Return the ERA5 files in a folder and its subfolders. Opens no file but one for each selection that no session
    of the folder knows.

    plan: use only its files. skip_damaged: open every file, and leave out those that are damaged.

    Raises Era5Error, which names the file, for one that has not the size that a session expects, unless damaged files
    are left out; FolderUnusable; UsageError for a folder without ERA5 files.
    """
    scan = scan_folder(folder)
    wanted = None if plan is None else _names_of(plan)
    files: defaultdict[Variable, list[DataFile]] = defaultdict(list)
    forms: dict[str, tuple[str, Subset]] = {}
    left_out: list[Path] = []
    whole: dict[str, FoundFile] = {}
    for found in scan.files:
        if found.variable is None or (wanted is not None and found.name not in wanted):
            continue
        try:
            _check_size(found)
            _check_copy(found, whole)
            if skip_damaged:
                _check_structure(scan.folder, found)
            files[found.variable].append(_data_file(scan.folder, found, forms))
        except Era5Error:
            if not skip_damaged:
                raise
            left_out.append(found.path)
    if not files:
        raise UsageError(
            f"There are no ERA5 files in {folder}"
            + (", except damaged ones." if left_out else "." if plan is None else " that the plan has."),
            remedy="Give the folder with files of the bucket, or subsets of them, under their usual names.",
        )
    ordered = dict(sorted(files.items(), key=lambda one: one[0].name))
    return Folder(scan.folder, ordered, asked_hours(scan, plan, wanted), left_out)


def folder_of_plan(plan: Plan) -> Path:
    """Return the folder that this plan was downloaded to last. Raises UsageError if it is not known."""
    for entry in index.entries():
        home = Path(entry.folder) / OWN_FOLDER
        try:
            saved, _ = resume_file.read(home / f"{entry.id}.json", entry.id)
        except (SessionDamaged, SessionNotFound, OSError):
            continue
        if saved.info.plan_digest == plan.digest:
            return Path(entry.folder)
    raise UsageError(
        "This plan has not been downloaded to a folder that is known here.", remedy="Download it, or give the folder."
    )


def choose(folder: Folder, names: Iterable[str] | None) -> tuple[Chosen, ...]:
    """Return the variables with these names that a folder has; all of them if `names` is None.

    A name that several variables have means the one whose files are there. Raises UnknownName, AmbiguousName, and
    UsageError for a variable without files.
    """
    if names is None:
        return tuple(folder.files)
    chosen = [_choose(folder, name) for name in names]
    if not chosen:
        raise UsageError("No variable is selected.", remedy="Name at least one, or omit the names for all variables.")
    return tuple(dict.fromkeys(chosen))


def sources_of(chosen: Chosen) -> tuple[Variable, ...]:
    """Return the variables of the bucket that are needed for one of a data set."""
    return chosen.sources if isinstance(chosen, DerivedVariable) else (chosen,)


def _choose(folder: Folder, name: str) -> Chosen:
    chosen: Chosen | None = find_derived(name)
    try:
        chosen = chosen or find_variable(name)
    except AmbiguousName as error:
        there = [one for one in folder.files if one.name in error.candidates]
        if len(there) != 1:
            raise
        chosen = there[0]
    absent = [source.name for source in sources_of(chosen) if source not in folder.files]
    if absent:
        known = [variable.name for variable in folder.files]
        more = f" and {len(known) - _MOST_NAMES:,} more" if len(known) > _MOST_NAMES else ""
        raise UsageError(
            f"There are no files of {' and '.join(absent)} in {folder.root}.",
            remedy=f"It has {', '.join(known[:_MOST_NAMES])}{more}.",
        )
    return chosen


def _names_of(plan: Plan) -> set[str]:
    """Return the names of the files of a plan: those of subsets, and of whole files, which may be there instead."""
    keys = {key for obj in plan.objects for key in (obj.key, subset_key(obj.key, plan.subset))}
    return {key.rpartition("/")[2] for key in keys}


def _data_file(root: Path, found: FoundFile, forms: dict[str, tuple[str, Subset]]) -> DataFile:
    record = found.record
    etag = record.version.etag if record and record.status.is_finished else ""
    known = forms.get(found.subset_id)
    if known is None:  # its name has a digest of the selection, so one file says it for all with the same name
        form = _form_of(root, found) if found.subset is None else attribute_form(found.subset)
        try:
            when = Subset.from_json({name: form[name] for name in ("hours", "days") if name in form})
        except BadSelection as error:
            raise Era5Error(f"{found.path} cannot be opened: {error}", remedy=REMEDY) from error
        known = json.dumps({name: value for name, value in form.items() if name != "days"}), when
        forms[found.subset_id] = known
    return DataFile(found, *known, etag)


def _form_of(root: Path, found: FoundFile) -> Mapping[str, Any]:
    """Read what a file has of its object."""
    try:
        with open_part(root, found.path) as file:
            return subset_form(read_local_index(file))
    except (UnsupportedLayout, DamagedFile) as error:
        raise Era5Error(f"{found.path} cannot be opened: it has {error}", remedy=REMEDY) from error


def _check_size(found: FoundFile) -> None:
    record = found.record
    if record is None or not found.is_whole or not record.status.is_finished or record.version.size == found.size:
        return
    raise Era5Error(
        f"{found.path} is damaged: it has {found.size:,} bytes instead of {record.version.size:,}", remedy=REMEDY
    )


def _check_copy(found: FoundFile, whole: dict[str, FoundFile]) -> None:
    """Raise Era5Error if another whole file of the same object has another size: which is right is not known."""
    if found.is_whole and (other := whole.setdefault(found.name, found)).size != found.size:
        raise Era5Error(
            f"{other.path} and {found.path} are the same object, but have different sizes",
            remedy="Delete the one that is damaged or out of date; `era5dl verify` says which it is.",
        )


def _check_structure(root: Path, found: FoundFile) -> None:
    """Check the header and the size of a file. Raises Era5Error."""
    with open_part(root, found.path) as file:
        reason = structure_error(found.name, found.size, lambda at, size: read_bytes(file, at, size))
    if reason:
        raise Era5Error(f"{found.path} is damaged: {reason}", remedy=REMEDY)
