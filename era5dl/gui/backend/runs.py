"""Runs of the download engine: opens a session and executes the engine on a separate thread, one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from era5dl.engine.engine import Engine
from era5dl.engine.events import Event
from era5dl.engine.progress import Snapshot
from era5dl.errors import DiskError, Era5Error, OtherEndpoint, OutOfThreads, Stopped, UnsafeKey
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import OnCrash, start_thread
from era5dl.gui.backend.bucket_access import BucketAccess
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.planner import Plan
from era5dl.session import Session
from era5dl.session.object_paths import ObjectPaths
from era5dl.settings import Settings
from era5dl.subset import import_writer

REPRESENTATIVE = 4_000_000  # bytes that a run must receive before its speed counts as that of the connection


OnEnd = Callable[[Message | None], object]
"""Called with the last message of a run; None if it has crashed."""


class RunService:
    """Commands return at once, and have no effect in an unsuitable state. Results are posted as messages."""

    def __init__(self, access: BucketAccess, post: Callable[[Message], None], on_crash: OnCrash) -> None:
        self._access, self._post, self._on_crash = access, post, on_crash
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._busy = False
        self._closing = False
        self._stop_requested = False
        self._latest: tuple[Path, str, Settings] | None = None  # the session that ran last, and its settings
        self._paths: ObjectPaths | None = None  # of its files
        self.measured_speed: float | None = None  # bytes per second of the latest representative run

    # --- state

    @property
    def busy(self) -> bool:
        """Whether a run is starting, in progress or closing, so that no other one can start."""
        return self._busy

    def snapshot(self) -> Snapshot | None:
        """Return the numbers of the run in progress, or None."""
        engine = self._engine
        return engine.snapshot() if engine is not None else None

    def states(self) -> bytes | None:
        """Return one `FileState` as a byte for each file of the run in progress, or None."""
        engine = self._engine
        return engine.states() if engine is not None else None

    def file_path(self, index: int) -> Path | None:
        """Return the path of a file of the session that ran last, by its index in the plan; None if it has none."""
        try:
            return None if self._paths is None else self._paths.final(index)
        except (UnsafeKey, DiskError, IndexError):
            return None

    # --- starting

    def start(self, plan: Plan, folder: Path, settings: Settings, on_end: OnEnd = lambda _outcome: None) -> bool:
        """Download a plan into a folder. An earlier session of the same plan in that folder is resumed.

        Return whether a run starts. on_end: called on the thread of the run at its end.
        """
        return self._start(lambda: Session.begin(folder, plan, settings), settings, None, on_end)

    def open_session(self, folder: Path, session_id: str | None, settings: Settings) -> None:
        """Resume a session with its stored plan; without an id, the newest unfinished session of the folder."""
        self._start(lambda: Session.open(folder, session_id), settings, None)

    def retry(self, indices: Collection[int] | None = None) -> None:
        """Retry all failed files, or those given: in the current run, or in a new run of the latest session."""
        engine, latest = self._engine, self._latest
        if engine is not None and engine.result is None:
            engine.retry_failed(indices)
        elif latest is not None:
            folder, session_id, settings = latest
            self._start(lambda: Session.open(folder, session_id), settings, indices)

    # --- commands for the run in progress

    def promote(self, indices: Collection[int]) -> None:
        """Download these files next."""
        if self._engine is not None:
            self._engine.promote(indices)

    def hold(self, indices: Collection[int]) -> None:
        """Pause these files; the others continue."""
        if self._engine is not None:
            self._engine.hold(indices)

    def release(self, indices: Collection[int]) -> None:
        """Queue held files again."""
        if self._engine is not None:
            self._engine.release(indices)

    def pause(self) -> None:
        if self._engine is not None:
            self._engine.pause()

    def resume(self) -> None:
        if self._engine is not None:
            self._engine.resume()

    def stop(self) -> None:
        """Stop the run. All received bytes are kept."""
        with self._lock:
            self._stop_requested = True
            engine = self._engine
        if engine is not None:
            engine.stop()

    def set_workers(self, workers: int | Literal["auto"]) -> None:
        """Change the number of simultaneous requests, as in `Settings`."""
        if self._engine is not None:
            self._engine.set_workers(workers)

    def set_rate_limit(self, limit: int | str | None) -> None:
        """Change the rate limit, as in `Settings`; None is no limit."""
        if self._engine is not None:
            self._engine.set_rate_limit(limit)

    def close(self) -> None:
        """Stop the run, and start no other. Returns at once; `busy` becomes False when the resume file is written."""
        with self._lock:
            self._closing = True
        self.stop()

    # --- the thread of a run

    def _start(
        self,
        open_session: Callable[[], Session],
        settings: Settings,
        only: Collection[int] | None,
        on_end: OnEnd = lambda _outcome: None,
    ) -> bool:
        with self._lock:
            if self._busy or self._closing:
                return False
            self._busy, self._stop_requested = True, False
        selected = None if only is None else frozenset(only)
        try:
            start_thread("run", lambda: self._run(open_session, settings, selected, on_end), self._on_crash)
        except OutOfThreads as error:
            self._busy = False
            self._post(messages.SessionNotOpened(ErrorInfo.of(error)))
            return False
        return True

    def _run(
        self, open_session: Callable[[], Session], settings: Settings, only: frozenset[int] | None, on_end: OnEnd
    ) -> None:
        """Open the session, run the engine, wait for its end, and close both."""
        outcome: Message | None = None  # posted last, when the next run can start
        opened: tuple[str, Path] | None = None
        try:
            with open_session() as session:
                opened = (session.id, session.folder)
                if not session.plan.subset.is_everything:
                    import_writer()  # raises UsageError, instead of failing at each file
                adapted = self._access.checked_settings(session.info, settings)
                engine = Engine(self._access.bucket(adapted), session, adapted, self._post_event, only=only)
                with self._lock:
                    if self._stop_requested:
                        raise Stopped
                    self._engine = engine
                self._latest = (session.folder, session.id, settings)
                self._paths = session.paths
                other_server = adapted.endpoint_url if adapted.endpoint_url != settings.endpoint_url else ""
                self._post(_session_opened(session, engine, only, other_server or ""))
                engine.start()
                engine.wait()
                outcome = self._finished(engine, session)
        except OtherEndpoint as error:
            assert opened is not None
            outcome = messages.ConsentRequired(*opened, error.address)
        except Era5Error as error:
            outcome = messages.SessionNotOpened(ErrorInfo.of(error))
        finally:
            with self._lock:
                self._engine, self._busy = None, False
            if outcome is not None:
                self._post(outcome)
            on_end(outcome)

    def _finished(self, engine: Engine, session: Session) -> messages.RunFinished:
        snapshot, states, result = engine.snapshot(), engine.states(), engine.result
        assert result is not None
        if snapshot.fetched_bytes >= REPRESENTATIVE and snapshot.elapsed > 0 and not snapshot.rate_limit:
            self.measured_speed = snapshot.fetched_bytes / snapshot.elapsed
        missing = len(session.plan.missing)
        return messages.RunFinished(session.id, session.folder, result, snapshot, states, missing)

    def _post_event(self, event: Event) -> None:
        self._post(messages.EngineEvent(event))


def _session_opened(
    session: Session, engine: Engine, only: frozenset[int] | None, other_server: str
) -> messages.SessionOpened:
    unfinished = session.checkpoint.unfinished
    return messages.SessionOpened(
        session_id=session.id,
        folder=session.folder,
        title=session.info.title,
        objects=session.plan.objects,
        missing=session.plan.missing,
        partial_bytes={one.index: sum(stop - start for start, stop in one.done) for one in unfinished},
        sizes={} if session.plan.subset.is_everything else engine.subset_sizes(),
        notes=session.notes,
        only=only,
        other_server=other_server,
    )
