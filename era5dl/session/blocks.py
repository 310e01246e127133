"""Blocks: a plan divided among several computers. Each block is a contiguous piece of the plan with its own session.

OUT/.era5dl/RUN is the folder of the blocks, where RUN is the id of the session of the whole plan, the parent. The file
run.json in it says where the plan is cut; the resume files of the blocks are beside it. Their locks and claims are in
OUT/.era5dl, like those of other sessions. The progress of the blocks is merged into the parent, so that afterwards it
is like any other session of the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from era5dl.bucket.interface import MAX_OBJECTS
from era5dl.errors import BlocksBusy, Era5Error, NodeUnfit, SessionDamaged, SessionNotFound, UnsafeKey, UsageError
from era5dl.folder.atomic_write import make_folders, write_atomically
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.paths import OWN_FOLDER, refuse_link_out
from era5dl.locks.lock_file import current_owner
from era5dl.locks.owner import Owner
from era5dl.planner.plan import Plan
from era5dl.ranges import RangeSet
from era5dl.session import plan_file, resume_file
from era5dl.session.checkpoint import Checkpoint, SavedSession
from era5dl.session.finished_files import record_file_name
from era5dl.session.info import SESSION_ID, SessionInfo, session_id
from era5dl.session.object_paths import ObjectPaths
from era5dl.session.part_digests import append_to, digests_file_name
from era5dl.session.plan_file import plan_file_name
from era5dl.session.resume_entries import MAX_FAILURES
from era5dl.settings import Settings
from era5dl.validation import JsonObject, Malformed, as_array, as_integer, parse_json, read_regular_file

FORMAT = "era5dl-run"
MIN_BLOCKS = 64  # unless blocks would be smaller than SMALLEST_BLOCK
SMALLEST_BLOCK = 10**6  # bytes
USUAL_BLOCK = 16 * 10**9  # bytes
MAX_BLOCKS = 1000  # SLURM accepts arrays of 1001 tasks unless its administrator has raised that
_FILE = "run.json"
_MAX_SIZE = 1024 * 1024  # bytes of run.json
_MAX_RECORD = 1 << 30  # bytes of a record of files

Span = tuple[int, int]
"""The objects of a block: index of the first one in the plan, and that after the last one."""


def cut(plan: Plan, block_bytes: int | None = None) -> tuple[Span, ...]:
    """Divide a plan into blocks of about equal bytes. At most MAX_BLOCKS, and never less than one object each.

    block_bytes: wanted size. By default 16 GB, less for plans of fewer than MIN_BLOCKS of them, more for those of
    more than MAX_BLOCKS. It does not depend on the number of computers, which may change when the run is continued.
    """
    usual = max(min(USUAL_BLOCK, -(-plan.total_bytes // MIN_BLOCKS)), SMALLEST_BLOCK)
    size = max(block_bytes or usual, -(-plan.total_bytes // MAX_BLOCKS), 1)
    spans: list[Span] = []
    first, total, goal = 0, 0, size
    for index, obj in enumerate(plan.objects):
        total += obj.size
        if total >= goal:
            spans.append((first, index + 1))
            first, goal = index + 1, (total // size + 1) * size
    if first < len(plan.objects):
        spans.append((first, len(plan.objects)))
    return tuple(spans)


@dataclass(frozen=True)
class Run:
    """A plan divided into blocks. home: OUT/.era5dl. info: of the session of the whole plan."""

    home: Path
    info: SessionInfo
    plan: Plan
    spans: tuple[Span, ...]

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def folder(self) -> Path:
        """The download folder."""
        return self.home.parent

    @property
    def blocks_home(self) -> Path:
        """The folder of the blocks' files."""
        return self.home / self.id

    def block_plan(self, block: int) -> Plan:
        """Return the plan of one block."""
        first, last = self.spans[block]
        objects = self.plan.objects[first:last]
        names = "\n".join(obj.key for obj in objects).encode("utf-8", "surrogatepass")
        request = {"run": self.id, "keys": hashlib.sha256(names).hexdigest(), "count": len(objects)}
        selection = self.plan.request.get("selection", self.plan.request)
        if not self.plan.subset.is_everything and isinstance(selection, Mapping):
            request["subset"] = selection["subset"]
        return Plan(request=request, objects=objects)

    @cached_property
    def settings(self) -> Settings:
        """The settings that belong to the run; all others are those of the computer that works on a block."""
        info = self.info
        return Settings(bucket=info.bucket, endpoint_url=info.endpoint_url, region=info.region, flat=info.flat)

    @cached_property
    def block_ids(self) -> tuple[str, ...]:
        """The session id of each block."""
        return tuple(session_id(self.block_plan(block).request, self.settings) for block in range(len(self.spans)))

    def saved(self, block: int) -> SavedSession | None:
        """Return the progress of a block; None if nobody has begun it, or if it cannot be read at this moment."""
        name = self.block_ids[block]
        try:
            return resume_file.read(self.blocks_home / f"{name}.json", name)[0]
        except (SessionDamaged, SessionNotFound, OSError):
            return None

    def owner(self, block: int) -> Owner | None:
        """Return the program that is working on a block."""
        return current_owner(self.home / f"{self.block_ids[block]}.lock")

    def done_by_parent(self, block: int, parent: Checkpoint) -> Checkpoint:
        """Return the checkpoint to begin a block with: objects that the parent has finished before it was divided."""
        first, last = self.spans[block]
        verified, checked, part = (
            RangeSet((max(a, first) - first, min(b, last) - first) for a, b in members if a < last and b > first)
            for members in (parent.verified, parent.checked, parent.checked_part)
        )
        objects = self.plan.objects[first:last]
        done = sum(objects[i].size for members in (verified, checked) for a, b in members for i in range(a, b))
        return replace(Checkpoint.empty(), verified=verified, checked=checked, checked_part=part, done_bytes=done)


def write_run(home: Path, info: SessionInfo, plan: Plan, spans: tuple[Span, ...]) -> Run:
    """Store where the plan is cut. Raises OSError."""
    run = Run(home, info, plan, spans)
    make_folders(run.blocks_home)
    refuse_link_out(str(home.parent), str(run.blocks_home))
    body = {"format": FORMAT, "version": 1, "run": run.id, "plan_digest": plan.digest, "blocks": spans}
    write_atomically(run.blocks_home / _FILE, [json.dumps(body).encode("ascii")])
    return run


def divide(home: Path, info: SessionInfo, plan: Plan, block_bytes: int | None = None) -> Run:
    """Return the run of a session, which is divided into blocks now unless it is already. Raises OSError."""
    if exists(home, info.id):
        return read_run(home, info.id)
    return write_run(home, info, plan, cut(plan, block_bytes))


def exists(home: Path, run: str) -> bool:
    """Return whether the session with this id is divided into blocks. home: OUT/.era5dl."""
    return bool(SESSION_ID.fullmatch(run)) and (home / run / _FILE).is_file()


def run_ids(folder: Path) -> list[str]:
    """Return the ids of the runs in a download folder, the one prepared last first."""
    found = []
    for file in (Path(folder).absolute() / OWN_FOLDER).glob(f"*/{_FILE}"):
        with contextlib.suppress(OSError):
            if SESSION_ID.fullmatch(file.parent.name):
                found.append((file.stat().st_mtime, file.parent.name))
    return [run for _, run in sorted(found, reverse=True)]


def find_run(folder: Path, run: str = "") -> Run:
    """Return a run of a download folder: that with this id, or the only one.

    Raises NodeUnfit if the folder is not there, or not that of the run: on a computer on which it is not mounted, a
    new folder would be created and would fill the local disk. Raises UsageError if there are several, SessionDamaged.
    """
    ids = run_ids(folder)
    if run and run not in ids:
        ids = []
    if not ids:
        raise NodeUnfit(f"{folder} on this computer is not the folder of a prepared run{' ' + run if run else ''}")
    if len(ids) > 1 and not run:
        raise UsageError(f"{folder} has several runs: {', '.join(ids)}", remedy="Choose one of them with --run ID.")
    return read_run(Path(folder).absolute() / OWN_FOLDER, run or ids[0])


def read_run(home: Path, run: str) -> Run:
    """Return the run with this id. Raises SessionDamaged, SessionNotFound, NodeUnfit or a DiskError."""
    path = home / run / _FILE
    with translate_folder_errors(home):
        saved = resume_file.read(home / f"{run}.json", run)[0]
        digest = saved.info.plan_digest
        plan = plan_file.read(home / plan_file_name(run, digest), digest)
        refuse_link_out(str(home.parent), str(home / run))
        try:
            item = JsonObject(parse_json(read_regular_file(path, _MAX_SIZE)))
            if item.text("format") != FORMAT or item.integer("version") != 1 or item.hex("plan_digest", 64) != digest:
                raise Malformed("it belongs to another plan")
            return Run(home, saved.info, plan, _parse_spans(item.array("blocks", MAX_OBJECTS), len(plan.objects)))
        except FileNotFoundError as exc:
            raise NodeUnfit(f"{home.parent} on this computer is not the folder of run {run}") from exc
        except Malformed as exc:
            raise SessionDamaged(
                f"{path} cannot be used: {exc}", remedy="Run `era5dl prepare` again with the same arguments."
            ) from exc


def _parse_spans(raw: list[object], objects: int) -> tuple[Span, ...]:
    spans: list[Span] = []
    expected = 0
    for one in raw:
        first, last = as_array(one, "a block", 2, length=2)
        if as_integer(first, "an index") != expected or as_integer(last, "an index", expected + 1, objects) <= expected:
            raise Malformed("its blocks are not contiguous")
        expected = last
        spans.append((first, last))
    if expected != objects:
        raise Malformed("its blocks do not cover the plan")
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of all blocks together. saved: of each block that has been begun."""

    checkpoint: Checkpoint
    saved: Mapping[int, SavedSession]

    @property
    def ended_blocks(self) -> int:
        return sum(saved.checkpoint.ended for saved in self.saved.values())


def progress_of(run: Run, parent: Checkpoint, *, keep_unfinished: bool = False) -> Progress:
    """Merge the progress of the blocks. parent: what the session of the whole plan has recorded.

    keep_unfinished: also list unfinished objects; only for part files that have the names of the parent.
    """
    sets = {name: getattr(parent, name).copy() for name in ("verified", "checked", "checked_part")}
    unfinished, failures, replaced = list(parent.unfinished), [], dict(parent.replaced)
    found: dict[int, SavedSession] = {}
    done, ended = 0, True
    for block, (first, last) in enumerate(run.spans):
        saved = run.saved(block)
        try:
            one = saved.checkpoint_for(run.plan.objects[first:last]) if saved is not None else None
        except Malformed:
            one = None
        if saved is None or one is None:
            before = run.done_by_parent(block, parent)
            done += before.done_bytes
            ended = ended and before.finished.total() == last - first
            continue
        found[block] = saved
        ended = ended and one.ended
        done += one.done_bytes
        for name, members in sets.items():
            for start, stop in getattr(one, name):
                members.add(first + start, first + stop)
        if keep_unfinished:
            unfinished += [replace(entry, index=first + entry.index) for entry in one.unfinished]
        failures += [replace(failure, index=first + failure.index) for failure in one.failures]
        replaced.update({first + index: obj for index, obj in one.replaced.items()})
    finished = RangeSet(span for members in sets.values() for span in members)
    checkpoint = dataclasses.replace(
        parent,
        **sets,
        unfinished=tuple(entry for entry in unfinished if entry.index not in finished),
        failures=tuple(failure for failure in failures if failure.index not in finished)[-MAX_FAILURES:],
        replaced=replaced,
        done_bytes=done,
        ended=ended,
    )
    return Progress(checkpoint, found)


def absorb(home: Path, saved: SavedSession) -> SavedSession:
    """Return the progress of a session of which blocks exist, with that of the blocks; their part files become its own.

    After it is saved, `remove_blocks` has to follow. Raises BlocksBusy while a program works on a block, OSError.
    """
    try:
        run = read_run(home, saved.info.id)
        before = saved.checkpoint_for(run.plan.objects)
    except (
        Era5Error,
        Malformed,
    ):  # the blocks belong to another plan, or their files are damaged; finished files are adopted
        return saved
    for block in range(len(run.spans)):
        owner = run.owner(block)
        if owner is not None:
            raise BlocksBusy(f"{owner} is working on block {block} of this download")
    progress = progress_of(run, before, keep_unfinished=True)
    for block in progress.saved:
        _rename_part_files(run, block, progress.saved[block])
        append_records(run, block)
    versions = dict(saved.versions)
    for block, one in progress.saved.items():
        versions.update({run.spans[block][0] + index: obj for index, obj in one.versions.items()})
    kept = {entry.index for entry in progress.checkpoint.unfinished}
    return replace(
        saved, checkpoint=progress.checkpoint, versions={index: obj for index, obj in versions.items() if index in kept}
    )


def remove_blocks(home: Path, run: str) -> None:
    """Delete the files of the blocks. Never fails."""
    shutil.rmtree(home / run, ignore_errors=True)


def append_records(run: Run, block: int) -> None:
    """Move what a block has recorded about its files to the parent: MD5s of parts, sizes and times. Raises OSError."""
    for name_of in (digests_file_name, record_file_name):
        own = run.blocks_home / name_of(run.block_ids[block])
        with contextlib.suppress(Malformed, FileNotFoundError):
            append_to(run.home / name_of(run.id), read_regular_file(own, _MAX_RECORD))
        ConfinedPath.from_path(own).unlink(missing_ok=True)


def _rename_part_files(run: Run, block: int, saved: SavedSession) -> None:
    """Give the part files of a block the names of the parent's. Raises OSError."""
    theirs = ObjectPaths(run.folder, run.block_plan(block), run.block_ids[block], flat=run.info.flat)
    ours = ObjectPaths(run.folder, run.plan, run.id, flat=run.info.flat)
    first = run.spans[block][0]
    for entry in saved.checkpoint.unfinished:
        with contextlib.suppress(UnsafeKey, FileNotFoundError):
            place = theirs.place(theirs.part(entry.index))
            place.rename(ours.part(first + entry.index).name)
