"""A session: one plan being fetched into one folder, and all that lets the next program go on with it.

It lives in OUT/.era5dl: ID.json (how far it is), ID.PLAN.plan.jsonl (what there is to fetch), ID.lock (who is at it),
and DIGEST.claim for each object that is being fetched.
The id is a digest of the request, so that the same command in the same folder finds its own session again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from era5dl.bucket.interface import MOST_OBJECTS, ObjectInfo
from era5dl.errors import SessionDamaged, SessionError, SessionNotFound, UnsafeKey, UsageError
from era5dl.folder.directory_handles import Place
from era5dl.folder.disk_errors import folder_errors
from era5dl.folder.make_folders import make_folders
from era5dl.folder.paths import OWN_FOLDER, check_encoding, clashes, name_fits, refuse_way_out, safe_path
from era5dl.locks.lock_file import Lock
from era5dl.locks.object_claims import ObjectClaims
from era5dl.session import backup, index, plan_file, reuse
from era5dl.session.checkpoint import Checkpoint, Facts, Saved
from era5dl.session.resume_file import plan_name, render
from era5dl.session.summary import SESSION_ID, Standing, list_sessions, title_of
from era5dl.settings import Settings
from era5dl.validation import Malformed, canonical

if TYPE_CHECKING:
    from era5dl.planner.plan import Plan


_LOGIN = (
    "The resume file had a user name or a password in its endpoint. It is taken out; where the folder was open to "
    "others, change that password."
)


def session_id(request: Any, settings: Settings) -> str:
    """12 hex digits that are the same for the same request to the same bucket in the same layout."""
    what = {
        "request": dict(request),
        "bucket": settings.bucket,
        "endpoint_url": settings.endpoint_url,
        "flat": settings.flat,
    }
    return hashlib.sha256(canonical(what)).hexdigest()[:12]


class Session:
    """A session that is held by this program: nobody else can open it until `close`. One thread saves at a time.

    claims: which objects are this session's to fetch, where several share the folder.
    notes: what was found while opening that a person should know, a sentence each.
    """

    def __init__(
        self, home: Path, facts: Facts, plan: Plan, checkpoint: Checkpoint, lock: Lock, notes: Sequence[str]
    ) -> None:
        """Use `begin` or `open`."""
        self.folder = home.parent
        self.plan = plan
        self.checkpoint = checkpoint
        self.notes = tuple(notes)
        self._home = home
        self._root = Path(os.path.abspath(home.parent))  # noqa: PTH100 - as `safe_path` has it, which resolves no link
        self._facts = facts
        self._lock: Lock | None = lock
        lock.start_heartbeat()
        self.claims = ObjectClaims(home, facts.id, lock, self._claimed_path)
        self._refused = clashes([obj.key for obj in plan.objects], flat=facts.flat)

    @classmethod
    def begin(cls, folder: Path, plan: Plan, settings: Settings) -> Session:
        """Go on with the session of this request in this folder, or start it. Makes the folder.

        What was finished or begun of an object that has the same key, size and ETag in the new plan is kept.
        Raises SessionBusy or a DiskError. Damaged files of an earlier run are set aside and told of in `notes`.
        """
        if len(plan.objects) + len(plan.missing) > MOST_OBJECTS:
            raise UsageError(f"more than {MOST_OBJECTS:,} files are too many for one session", remedy="Divide them.")
        home = Path(folder).absolute() / OWN_FOLDER
        with folder_errors(home):
            check_encoding(str(home))
            make_folders(home)
            refuse_way_out(str(home.parent), str(home))
        facts = _facts_of(plan, settings)
        path = home / f"{facts.id}.json"
        lock = Lock.acquire(path.with_suffix(".lock"))
        try:
            with folder_errors(home):
                saved, notes = _earlier(path)
                checkpoint = Checkpoint.empty()
                if saved is not None:
                    facts = reuse.with_history(facts, saved.facts)
                    checkpoint, more = reuse.over(saved, plan, home)
                    notes += more
                plan_file.write(home / plan_name(facts.id, plan.digest), plan)
            session = cls(home, facts, plan, checkpoint, lock, notes)
            session.save(checkpoint)
            if saved is not None:
                session._drop_stale(saved)
        except BaseException:
            lock.release()
            raise
        index.remember(session.id, session.folder, facts.title, facts.created)
        return session

    @classmethod
    def open(cls, folder: Path, session_id: str | None = None) -> Session:
        """A session from disk alone, without the network; without an id the newest that has not ended, else the newest.

        Raises SessionNotFound, SessionBusy, SessionDamaged or a DiskError, each with what to do.
        """
        home = Path(folder).absolute() / OWN_FOLDER
        with folder_errors(home):
            refuse_way_out(str(home.parent), str(home))
        chosen = _newest(home) if session_id is None else session_id
        path = home / f"{chosen}.json"
        if not SESSION_ID.fullmatch(chosen) or not any(Place.of(file).exists for file in (path, backup.previous(path))):
            raise _not_found(f"there is no session {chosen!a} in {home.parent}")
        lock = Lock.acquire(path.with_suffix(".lock"))
        try:
            with folder_errors(home):
                saved, damaged = backup.load(path, chosen)
                notes = [_set_aside(file) for file in damaged]
                plan = plan_file.read(home / plan_name(chosen, saved.facts.plan_digest), saved.facts.plan_digest)
            try:
                checkpoint = saved.bound_to(plan.objects)
            except Malformed as exc:
                raise SessionDamaged(f"the resume file {path} cannot be used: {exc}", remedy=backup.REMEDY) from exc
            session = cls(home, saved.facts, plan, checkpoint, lock, [*notes, *([_LOGIN] if saved.had_login else [])])
            if saved.had_login:
                for _generation in range(2):
                    session.save(checkpoint)
        except BaseException:
            lock.release()
            raise
        index.remember(session.id, session.folder, saved.facts.title, saved.facts.created)
        return session

    @property
    def id(self) -> str:
        return self._facts.id

    @property
    def title(self) -> str:
        return self._facts.title

    @property
    def bucket(self) -> str:
        return self._facts.bucket

    @property
    def endpoint_url(self) -> str | None:
        return self._facts.endpoint_url

    @property
    def region(self) -> str:
        return self._facts.region

    @property
    def flat(self) -> bool:
        return self._facts.flat

    @property
    def verify(self) -> bool:
        return self._facts.verify

    def save(self, checkpoint: Checkpoint) -> None:
        """Make `checkpoint` what the next program finds. Whatever it claims must be synced to disk already.

        Raises DiskFull or FolderUnusable, and then the previous one still stands; SessionBusy when another program
        has taken the session over. A folder that vanished is not made again: an unplugged disk leaves an empty mount
        point behind, and the download would go on into that.
        """
        if self._lock is None:
            raise SessionError("this session is closed")
        data = render(self._facts, checkpoint, self.plan.objects, time.time())
        self._lock.renew()
        with folder_errors(self._home):
            backup.store(self._path, data)
        self.checkpoint = checkpoint

    @property
    def is_there(self) -> bool:
        """Whether the folder, as it is now, holds the resume file of this session."""
        return any(Place.of(path).exists for path in (self._path, backup.previous(self._path)))

    def restore(self) -> bool:
        """Make again what somebody deleted of our own folder; the next `save` makes the resume file and the lock. Only
        where the chosen folder is known to be the same. True when something was missing. Raises a DiskError."""
        plan = self._home / plan_name(self.id, self.plan.digest)
        if Place.of(plan).exists and self.is_there:
            return False
        with folder_errors(self._home):
            make_folders(self._home)
            plan_file.write(plan, self.plan)
        return True

    def final_path(self, index: int) -> Path:
        """Where object `index` of the plan belongs. Raises UnsafeKey. Computed anew each time, links checked."""
        key = self.plan.objects[index].key
        if index in self._refused:
            raise UnsafeKey(f"{key!a} cannot be a file here: {self._refused[index]}")
        path = safe_path(self.folder, key, flat=self.flat)
        if path.name.endswith(self._part_suffix):
            raise UnsafeKey(f"{key!a} has the name of a part file of this very session")
        return path

    def part_path(self, index: int) -> Path:
        """Where its bytes are collected, beside the final name; no other session uses that name. Raises UnsafeKey."""
        return self.paths(index)[1]

    def paths(self, index: int) -> tuple[Path, Path]:
        """Its final path and its part path, at the price of one. Raises UnsafeKey."""
        final = self.final_path(index)
        name = final.name + self._part_suffix
        if not name_fits(name):
            name = hashlib.sha256(final.name.encode("utf-8", "surrogatepass")).hexdigest() + self._part_suffix
        part = final.with_name(name)
        if part.is_symlink():
            raise UnsafeKey(f"{part} is a link; a part file never is", remedy="Remove that link.")
        return final, part

    def finished_by_others(self, obj: ObjectInfo) -> bool:
        """Whether another session of the folder has recorded this version of an object as finished."""
        return reuse.finished_by_others(self._home, self.id, obj)

    def place(self, path: Path) -> Place:
        """The place of a path below the folder: reached from the folder down, so that nobody leads us out of it."""
        return Place.below(self._root, path)

    def close(self) -> None:
        """Let others have it. May be called again."""
        self.claims.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def forget(self) -> None:
        """Delete what only the session needs: part files, resume file, plan. Never a file under its final name."""
        with folder_errors(self._home):
            for place in range(len(self.plan.objects)):
                with contextlib.suppress(UnsafeKey):
                    part = self.place(self.part_path(place))
                    part.unlink(missing_ok=True)
                    part.beside(Path(part.name).with_suffix(".mismatch").name).unlink(missing_ok=True)
            for pattern in ("json", "json.bak", "*.jsonl"):  # damaged ones that were set aside stay
                for file in self._home.glob(f"{self.id}.{pattern}"):
                    Place.of(file).unlink(missing_ok=True)
        self.close()
        with contextlib.suppress(OSError):
            self._home.rmdir()  # only when nothing else is in it
        index.forget(self.id, self.folder)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _claimed_path(self, index: int) -> str:
        key = self.plan.objects[index].key
        return key.rpartition("/")[2] if self.flat else key

    @property
    def _path(self) -> Path:
        return self._home / f"{self.id}.json"

    @property
    def _part_suffix(self) -> str:
        return f".{self.id[:6]}.part"

    def _drop_stale(self, saved: Saved) -> None:
        """Remove part files whose object is no longer wanted in that version, and plans no generation speaks of."""
        kept = {entry.index for entry in self.checkpoint.unfinished}
        kept_keys = {self.plan.objects[place].key for place in kept}
        for obj in saved.versions.values():
            if obj.key not in kept_keys:
                self._remove_part(obj)
        needed = {plan_name(self.id, digest) for digest in (self.plan.digest, saved.facts.plan_digest)}
        for file in self._home.glob(f"{self.id}.*.plan.jsonl"):
            if file.name not in needed:
                with contextlib.suppress(OSError):
                    Place.of(file).unlink()

    def _remove_part(self, obj: ObjectInfo) -> None:
        with contextlib.suppress(UnsafeKey, OSError):
            final = safe_path(self.folder, obj.key, flat=self.flat)
            self.place(final.with_name(final.name + self._part_suffix)).unlink(missing_ok=True)


def _facts_of(plan: Plan, settings: Settings) -> Facts:
    return Facts(
        id=session_id(plan.request, settings),
        title=title_of(plan.request),
        created=time.time(),
        bucket=settings.bucket,
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        flat=settings.flat,
        verify=settings.verify,
        request=dict(plan.request),
        plan_digest=plan.digest,
        files=len(plan.objects),
        missing=len(plan.missing),
        total_bytes=plan.total_bytes,
    )


def _earlier(path: Path) -> tuple[Saved | None, list[str]]:
    """What an earlier run left, and notes about what of it was damaged and is now set aside. Raises OSError."""
    try:
        saved, damaged = backup.load(path, path.stem)
        return saved, [_set_aside(file) for file in damaged]
    except SessionNotFound:
        return None, []
    except SessionDamaged:
        return None, [_set_aside(file) for file in (path, backup.previous(path)) if Place.of(file).exists]


def _set_aside(file: Path) -> str:
    aside = backup.set_aside(file)
    return f"{file.name} was damaged; it is kept as {aside.name if aside else 'it was'}."


def _newest(home: Path) -> str:
    sessions = list_sessions(home.parent)
    if not sessions:
        raise _not_found(f"there is no session in {home.parent}")
    sound = [summary for summary in sessions if summary.state is not Standing.DAMAGED] or sessions
    return next((summary.id for summary in sound if not summary.ended), sound[0].id)


def _not_found(message: str) -> SessionNotFound:
    return SessionNotFound(
        message, remedy="Give the folder a download went to (era5dl sessions lists them), or start a new download."
    )
