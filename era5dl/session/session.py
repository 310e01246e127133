"""Session: one plan being downloaded into one folder, with all data that a later run needs to resume it.

It consists of files in OUT/.era5dl: ID.json (the resume file with the progress), ID.PLAN.plan.jsonl (the objects of the
plan), ID.lock (the program that is working on it), and DIGEST.claim for each object that is being fetched. If the plan
is divided among several computers (`era5dl.session.blocks`), each block has a session of its own, whose resume file and
plan file are in OUT/.era5dl/RUN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from era5dl.bucket.interface import MAX_OBJECTS, ObjectInfo
from era5dl.errors import (
    FolderUnusable,
    SessionBusy,
    SessionDamaged,
    SessionError,
    SessionNotFound,
    UnsafeKey,
    UsageError,
)
from era5dl.folder.atomic_write import make_folders
from era5dl.folder.confined_path import ConfinedPath
from era5dl.folder.disk_errors import translate_folder_errors
from era5dl.folder.paths import OWN_FOLDER, check_encoding, refuse_link_out
from era5dl.locks.lock_file import Lock
from era5dl.locks.object_claims import ObjectClaims
from era5dl.locks.owner import NO_GRANT, Grant
from era5dl.planner.plan import Plan
from era5dl.session import blocks, finished_files, index, plan_file, resume_file, reuse
from era5dl.session.blocks import Run
from era5dl.session.checkpoint import Checkpoint, SavedSession
from era5dl.session.finished_files import FinishedFile, FinishedFiles
from era5dl.session.info import SESSION_ID, SessionInfo
from era5dl.session.object_paths import ObjectPaths, subset_key, temporary_siblings
from era5dl.session.part_digests import PartDigests, digests_file_name
from era5dl.session.plan_file import plan_file_name
from era5dl.session.resume_format import render
from era5dl.session.summary import SessionStatus, list_sessions
from era5dl.settings import Settings
from era5dl.validation import Malformed

_LOGIN_NOTE = (
    "The resume file had a user name or a password in its endpoint URL. It has been removed; if other people could "
    "read the folder, change that password."
)


class Session:
    """A session locked by this program: no other program can open it until `close`. Only one thread may save.

    info: its id, title and server. run: the id of the session of the whole plan, if this is one of its blocks. plan:
    the objects to download. checkpoint: the progress saved last. paths: the paths of its files. claims: prevent that
    several sessions in one folder fetch the same object. notes: messages for the user about the state in which it was
    found, one sentence each.
    """

    def __init__(
        self,
        home: Path,
        info: SessionInfo,
        plan: Plan,
        checkpoint: Checkpoint,
        lock: Lock,
        notes: Sequence[str],
        *,
        run: str = "",
    ) -> None:
        """Use `begin` or `open`."""
        self.folder = home.parent
        self.run = run
        self.info = info
        self.plan = plan
        self.checkpoint = checkpoint
        self.notes = tuple(notes)
        whole = [i for span in checkpoint.whole_files for i in range(*span)] if not plan.subset.is_everything else ()
        self.paths = ObjectPaths(self.folder, plan, info.id, flat=info.flat, fetched_whole=whole)
        self._shared_home, self._home = home, home / run
        self._lock: Lock | None = lock
        self._saved_by = {lock.token, "", resume_file.saved_by(self._resume_path)}
        lock.start_heartbeat()
        self.claims = ObjectClaims(home, info.id, lock, self.paths.relative)

    @classmethod
    def begin(cls, folder: Path, plan: Plan, settings: Settings, *, keep_blocks: bool = False) -> Session:
        """Resume the session of this request in this folder, or create it. Creates the folder.

        The progress of an earlier run is kept for every object that has the same key, size and ETag in the plan.
        Damaged files of an earlier run are renamed; `notes` lists them. keep_blocks: if the plan is divided into
        blocks, it remains so. Otherwise their progress becomes that of this session. Raises UsageError if the plan is
        too large, SessionBusy if another program holds the session, BlocksBusy if one works on a block, or a
        DiskError.
        """
        if len(plan.objects) + len(plan.missing) > MAX_OBJECTS:
            raise UsageError(f"more than {MAX_OBJECTS:,} files are too many for one session", remedy="Divide them.")
        if plan.subset.prove and not settings.verify:
            raise UsageError("Files cannot be proven without verification.", remedy="Omit --no-verify or --prove.")
        home = Path(folder).absolute() / OWN_FOLDER
        with translate_folder_errors(home):
            check_encoding(str(home))
            try:
                make_folders(home)
            except FileNotFoundError as exc:  # although its parent exists, as in /proc
                raise FolderUnusable(f"{exc.filename} cannot be created: {exc.strerror}") from exc
            refuse_link_out(str(home.parent), str(home))
        info = SessionInfo.for_plan(plan, settings)
        path = home / f"{info.id}.json"
        lock = Lock.acquire(path.with_suffix(".lock"))
        try:
            with translate_folder_errors(home):
                saved, notes = resume_file.read_if_usable(path)
                checkpoint = Checkpoint.empty()
                keep_blocks = keep_blocks and saved is not None and saved.info.plan_digest == plan.digest
                has_blocks = not keep_blocks and blocks.exists(home, info.id)
                if saved is not None:
                    saved = blocks.absorb(home, saved) if has_blocks else saved
                    info = dataclasses.replace(info, created=saved.info.created)
                    checkpoint, more = reuse.checkpoint_for_plan(saved, plan, home)
                    notes += more
                same = saved is not None and saved.info.plan_digest == plan.digest
                checkpoint = _with_total(checkpoint, saved.info if saved is not None and same else info, plan)
                plan_file.write(home / plan_file_name(info.id, plan.digest), plan)
            session = cls(home, info, plan, checkpoint, lock, notes)
            session.save(checkpoint)
            if has_blocks:
                blocks.remove_blocks(home, info.id)
            if saved is not None:
                session._remove_stale_files(saved)
        except BaseException:
            lock.release()
            raise
        index.remember(session.id, session.folder, info.title, info.created)
        return session

    @classmethod
    def begin_block(cls, run: Run, block: int, settings: Settings, grant: Grant = NO_GRANT) -> Session:
        """Resume the session of a block of a divided plan, or create it. Creates no folder but those for objects.

        settings: of this computer, with those that belong to the run. grant: who gave the block to this process. Raises
        SessionBusy if another program holds it, or a DiskError.
        """
        plan = run.block_plan(block)
        info = SessionInfo.for_plan(plan, settings)
        path = run.blocks_home / f"{info.id}.json"
        lock = Lock.acquire(run.home / f"{info.id}.lock", grant=grant)
        try:
            with translate_folder_errors(run.home):
                saved, notes = resume_file.read_if_usable(path)
                if saved is None:
                    parent = resume_file.read(run.home / f"{run.id}.json", run.id)[0].checkpoint_for(run.plan.objects)
                    checkpoint = run.done_by_parent(block, parent)
                else:
                    info = dataclasses.replace(info, created=saved.info.created)
                    checkpoint, more = reuse.checkpoint_for_plan(saved, plan, run.blocks_home)
                    notes += more
                checkpoint = _with_total(checkpoint, info if saved is None else saved.info, plan)
                plan_file.write(run.blocks_home / plan_file_name(info.id, plan.digest), plan)
            session = cls(run.home, info, plan, checkpoint, lock, notes, run=run.id)
            session.save(checkpoint)
        except BaseException:
            lock.release()
            raise
        return session

    @classmethod
    def open(cls, folder: Path, session_id: str | None = None, *, keep_blocks: bool = False) -> Session:
        """Open an existing session from its files, without network access.

        session_id: by default the session that was used last and has not ended, else the one that was used last.
        keep_blocks: as for `begin`. Raises SessionNotFound, SessionBusy, BlocksBusy, SessionDamaged or a DiskError,
        each with a remedy.
        """
        home = Path(folder).absolute() / OWN_FOLDER
        with translate_folder_errors(home):
            refuse_link_out(str(home.parent), str(home))
        chosen = _default_session(home) if session_id is None else session_id
        path = home / f"{chosen}.json"
        if not SESSION_ID.fullmatch(chosen) or not resume_file.exists(path):
            raise _not_found(f"there is no session {chosen!a} in {home.parent}")
        lock = Lock.acquire(path.with_suffix(".lock"))
        try:
            with translate_folder_errors(home):
                saved, damaged = resume_file.read(path, chosen)
                has_blocks = not keep_blocks and blocks.exists(home, chosen)
                saved = blocks.absorb(home, saved) if has_blocks else saved
                notes = [resume_file.keep_damaged(file) for file in damaged]
                plan_digest = saved.info.plan_digest
                plan = plan_file.read(home / plan_file_name(chosen, plan_digest), plan_digest)
            try:
                checkpoint = _with_total(saved.checkpoint_for(plan.objects), saved.info, plan)
            except Malformed as exc:
                message = f"the resume file {path} cannot be used: {exc}"
                raise SessionDamaged(message, remedy=resume_file.REMEDY) from exc
            if saved.had_login:
                notes.append(_LOGIN_NOTE)
            session = cls(home, saved.info, plan, checkpoint, lock, notes)
            if saved.had_login:
                for _file_and_backup in range(2):
                    session.save(checkpoint)
            if has_blocks:
                session.save(checkpoint)
                blocks.remove_blocks(home, chosen)
        except BaseException:
            lock.release()
            raise
        index.remember(session.id, session.folder, saved.info.title, saved.info.created)
        return session

    @property
    def id(self) -> str:
        """The id of the session: 12 hex digits."""
        return self.info.id

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the resume file. All bytes that `checkpoint` lists must already be synced to disk.

        A missing folder is not created again: an unplugged disk leaves an empty mount point behind, and the download
        would continue into that. Raises SessionBusy if another program has taken the session over, DiskFull or
        FolderUnusable. Then the previous checkpoint still exists.

        The lock alone does not prevent that a program that was frozen saves over the progress of its successor: when
        the successor has ended, the lock is free again. So the file has the token of the lock under which it was saved.
        """
        if self._lock is None:
            raise SessionError("this session is closed")
        data = render(self.info, checkpoint, self.plan.objects, time.time(), self._lock.token)
        self._lock.renew()
        with translate_folder_errors(self._home):
            if resume_file.saved_by(self._resume_path) not in self._saved_by:
                raise _continued_elsewhere_error()
            resume_file.write(self._resume_path, data)
        self._saved_by = {self._lock.token, ""}
        self.checkpoint = checkpoint

    @property
    def exists_on_disk(self) -> bool:
        """Whether the folder currently contains the resume file of this session."""
        return resume_file.exists(self._resume_path)

    def restore_files(self) -> bool:
        """Create OUT/.era5dl and the plan file again if somebody has deleted them; return whether anything was missing.

        The next `save` creates the resume file and the lock. Call this only if OUT is known to be the same folder as
        before. Raises a DiskError.
        """
        plan = self._home / plan_file_name(self.id, self.plan.digest)
        if ConfinedPath.from_path(plan).exists and self.exists_on_disk:
            return False
        with translate_folder_errors(self._home):
            make_folders(self._home)
            plan_file.write(plan, self.plan)
        return True

    def finished_by_others(self, index: int, obj: ObjectInfo) -> bool:
        """Return whether another session of the folder has recorded this version of an object as finished, with what
        is wanted of it here: the whole file, or the same subset."""
        name = obj.key if index in self.paths.fetched_whole else subset_key(obj.key, self.plan.subset)
        return reuse.finished_by_others(self._shared_home, self.id, obj, name)

    def subset_record(self, index: int, obj: ObjectInfo, *, verified: bool = False) -> ObjectInfo:
        """Return what stands for the file with a subset of this version of an object in records of MD5s.

        verified: a file that was taken out of the whole object, whose ETag matched.
        """
        etag = f"{obj.etag} verified" if verified else obj.etag  # no ETag of a server ends like this
        return dataclasses.replace(obj, key=self.paths.relative(index), etag=etag)

    def subset_md5s(self, digests: PartDigests, index: int, obj: ObjectInfo, *, verified: bool = False) -> list[str]:
        """Return the MD5s of the files that were written from this version of an object under the name of its subset.

        digests: those of the session, which come first. Other sessions may have written the file, too: each file has
        its own bytes, because it says when it was made.
        """
        named = self.subset_record(index, obj, verified=verified)
        found = ("".join(one.find(named)) for one in (digests, *reuse.digests_by_others(self._shared_home, self.id)))
        return [md5 for md5 in found if md5]

    def finished_files(self) -> FinishedFiles:
        """Return what is recorded about the finished files."""
        plan, checkpoint = self.plan.objects, self.checkpoint
        indices = (index for span in checkpoint.finished for index in range(*span))
        names = ((i, self.paths.relative(i), checkpoint.replaced.get(i, plan[i]).etag) for i in indices)
        return finished_files.read(self._home, self.id, names, len(plan))

    def record_finished(self, files: Sequence[FinishedFile]) -> None:
        """Record the size and the time of finished files, so that a later run notices when they change.

        Raises a DiskError.
        """
        if files:
            finished_files.append(self._home, self.id, files)

    @property
    def home(self) -> Path:
        """OUT/.era5dl."""
        return self._shared_home

    @property
    def digests_path(self) -> Path:
        """The file with the MD5s of parts that this session records."""
        return self._home / digests_file_name(self.id)

    def close(self) -> None:
        """Release the session, so that other programs can open it. Can be called again."""
        self.claims.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def forget(self) -> None:
        """Delete the part files, resume file and plan file of this session. Files with their final names are kept.

        Closes the session and removes it from the list of known sessions. Raises a DiskError.
        """
        with translate_folder_errors(self._home):
            for obj in self.plan.objects:
                with contextlib.suppress(UnsafeKey):
                    self._remove_temporary_files(obj.key)
            for pattern in ("json", "json.bak", "*.jsonl"):  # damaged files that were renamed are kept
                for file in self._home.glob(f"{self.id}.{pattern}"):
                    ConfinedPath.from_path(file).unlink(missing_ok=True)
        self.close()
        with contextlib.suppress(OSError):
            self._home.rmdir()  # fails unless the folder is empty
        index.forget(self.id, self.folder)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _resume_path(self) -> Path:
        return self._home / f"{self.id}.json"

    def _remove_temporary_files(self, key: str) -> None:
        """Remove the part file of a key and what belongs to it. Raises UnsafeKey or OSError."""
        for part in self.paths.parts_of_key(key):
            for file in temporary_siblings(part):
                self.paths.place(file).unlink(missing_ok=True)

    def _remove_stale_files(self, saved: SavedSession) -> None:
        """Remove part files of object versions that are not in the plan any more, and plan files of earlier runs.

        The plan file that belongs to the backup of the resume file is kept.
        """
        kept = {self.plan.objects[entry.index].key for entry in self.checkpoint.unfinished}
        for obj in saved.versions.values():
            if obj.key not in kept:
                with contextlib.suppress(UnsafeKey, OSError):
                    self._remove_temporary_files(obj.key)
        needed = {plan_file_name(self.id, digest) for digest in (self.plan.digest, saved.info.plan_digest)}
        for file in self._home.glob(f"{self.id}.*.plan.jsonl"):
            if file.name not in needed:
                with contextlib.suppress(OSError):
                    ConfinedPath.from_path(file).unlink()


def _with_total(checkpoint: Checkpoint, info: SessionInfo, plan: Plan) -> Checkpoint:
    """Return the checkpoint with the number of bytes to fetch, if the plan has a subset: it is in no other place."""
    return checkpoint if plan.subset.is_everything else dataclasses.replace(checkpoint, total_bytes=info.total_bytes)


def _default_session(home: Path) -> str:
    """Return the id of the undamaged session that was used last and has not ended, else of the one used last."""
    sessions = list_sessions(home.parent)
    if not sessions:
        raise _not_found(f"there is no session in {home.parent}")
    usable = [summary for summary in sessions if summary.status is not SessionStatus.DAMAGED] or sessions
    return next((summary.id for summary in usable if not summary.ended), usable[0].id)


def _continued_elsewhere_error() -> SessionBusy:
    return SessionBusy(
        "another program has continued this session, because this one did not respond for a long time",
        remedy="Run the same command again. Bytes that this program had not yet saved are fetched again.",
    )


def _not_found(message: str) -> SessionNotFound:
    return SessionNotFound(
        message,
        remedy="Specify the folder of an earlier download (era5dl sessions lists them), or start a new download.",
    )
