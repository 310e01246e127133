"""The one object behind the window that knows planner, sessions, engine and bucket. No Tk, and no waiting.

Commands return at once; what takes time happens on threads that nobody joins. What comes of it is told as facts, in one
queue that `poll` empties; how far a run is, is asked for with `snapshot` and `states`. Nothing here raises for the
network, the disk or a damaged file: that is a fact, too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from era5dl import thread_registry
from era5dl.bucket.interface import Bucket
from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics
from era5dl.engine.engine import Engine
from era5dl.engine.events import Event
from era5dl.engine.progress import Snapshot
from era5dl.errors import Era5Error, OtherEndpoint, OutOfThreads, Stopped
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, Cancelled
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.planner import Plan, make_plan
from era5dl.selection import Selection
from era5dl.session import Session, known_sessions, list_sessions
from era5dl.session.origin import check_origin
from era5dl.settings import Settings

MakeBucket = Callable[[Settings], Bucket]
TELL_EVERY = 0.1  # seconds between two facts about how far planning or verifying is
VERIFYING, TESTING = "verifying", "testing"  # where a `Stumbled` says it was
WORTH_MEASURING = 4_000_000  # bytes fetched before their speed says something about the line


def s3_bucket(settings: Settings) -> Bucket:
    """The real bucket. Importing its library takes a while, so it happens where it is needed."""
    from era5dl.bucket.s3 import S3Bucket

    return S3Bucket(settings)


class BackendService:
    """At most one run at a time; planning, folders, sessions and the network test have a desk each."""

    def __init__(self, make_bucket: MakeBucket = s3_bucket) -> None:
        self._facts: SimpleQueue[Message] = SimpleQueue()
        self.request_metrics = RequestMetrics()
        self._buckets = _Buckets(lambda settings: MeasuredBucket(make_bucket(settings), self.request_metrics))
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._occupied = False  # a run is being opened, going on, or being closed
        self._closing = False
        self._stop_asked = False
        self._latest: tuple[Path, str, Settings] | None = None  # the session that ran last, and how
        self._numbers = 0
        self._allowed: set[str] = set()  # servers that the person has agreed to while this window is open
        self._planning, self._folders, self._verifying, self._testing, self._listing = (
            BackgroundTask(name, self._stumbled) for name in ("planning", "folder", VERIFYING, TESTING, "sessions")
        )
        self.speed: float | None = None  # bytes per second that the line was seen to give, over all runs so far

    # Questions

    def poll(self, most: int = 200) -> list[Message]:
        """The facts that nobody has heard yet, oldest first, so many at most."""
        heard: list[Message] = []
        with contextlib.suppress(Empty):
            while len(heard) < most:
                heard.append(self._facts.get_nowait())
        return heard

    def snapshot(self) -> Snapshot | None:
        """The numbers of the run that is going on; None when there is none."""
        engine = self._engine
        return engine.snapshot() if engine is not None else None

    def states(self) -> bytes | None:
        """One `FileState` a byte for each object of the run that is going on."""
        engine = self._engine
        return engine.states() if engine is not None else None

    @property
    def occupied(self) -> bool:
        """Whether a run is being opened, going on or being closed: no other one can begin."""
        return self._occupied

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way that would lose something if the program ended now."""
        return not self._occupied and not self._verifying.busy

    # Planning

    def plan(self, selection: Selection, settings: Settings) -> int:
        """Ask the bucket what there is of it. The newest request wins; returns its number, which its facts carry."""
        self._numbers += 1
        number = self._numbers

        def job(cancelled: Cancelled) -> None:
            meter = _Seldom(lambda done, total: self.tell(messages.PlanProgressed(number, done, total)))
            try:
                made = make_plan(selection, self._buckets.get(settings), on_progress=meter.tell, cancelled=cancelled)
                self.tell(messages.PlanReady(number, made))
            except Stopped:
                return
            except Era5Error as error:
                if not cancelled():
                    self.tell(messages.PlanFailed(number, ErrorInfo.of(error)))

        self._planning.ask(job)
        return number

    def plan_no_more(self) -> None:
        """There is nothing to plan for now."""
        self._numbers += 1
        self._planning.cancel()

    def look_at(self, folder: Path) -> None:
        """Find out how much room a folder has and which sessions are in it. It may be on a share that hangs."""

        def job(cancelled: Cancelled) -> None:
            from era5dl.folder.free_space import free_bytes

            try:
                seen = messages.FolderInspected(folder, free_bytes(folder), tuple(list_sessions(folder)))
            except (Era5Error, OSError, ValueError) as error:
                seen = messages.FolderInspected(folder, None, error=ErrorInfo.of(error))
            if not cancelled():
                self.tell(seen)

        self._folders.ask(job)

    # Runs

    def start(self, plan: Plan, folder: Path, settings: Settings) -> None:
        """Fetch a plan into a folder, or go on where that was left."""
        self._run(lambda: Session.begin(folder, plan, settings), settings, None)

    def open_session(self, folder: Path, session_id: str | None, settings: Settings) -> None:
        """Go on with a session as it was planned; without an id, the newest of the folder that has not ended."""
        self._run(lambda: Session.open(folder, session_id), settings, None)

    def allow(self, address: str) -> None:
        """The person agrees to the server of a session: `facts.OtherServer.address`."""
        self._allowed.add(address)

    def retry(self, indices: Collection[int] | None = None) -> None:
        """Try failed objects again, all or these: in the run that goes on, else in a new one of its session."""
        engine, latest = self._engine, self._latest
        if engine is not None and engine.result is None:
            engine.retry_failed(indices)
        elif latest is not None:
            folder, session_id, settings = latest
            self._run(lambda: Session.open(folder, session_id), settings, indices)

    def promote(self, indices: Collection[int]) -> None:
        """Fetch these next."""
        if self._engine is not None:
            self._engine.promote(indices)

    def hold(self, indices: Collection[int]) -> None:
        """Pause these files; the others go on."""
        if self._engine is not None:
            self._engine.hold(indices)

    def release(self, indices: Collection[int]) -> None:
        """Let held files have their turn again."""
        if self._engine is not None:
            self._engine.release(indices)

    def pause(self) -> None:
        if self._engine is not None:
            self._engine.pause()

    def resume(self) -> None:
        if self._engine is not None:
            self._engine.resume()

    def stop(self) -> None:
        """End the run; what has come is kept."""
        with self._lock:
            self._stop_asked = True
            engine = self._engine
        if engine is not None:
            engine.stop()

    def set_workers(self, workers: int) -> None:
        """How many requests at once. Takes effect in the run that goes on."""
        if self._engine is not None:
            self._engine.set_workers(workers)

    def set_rate_limit(self, bytes_per_second: int | None) -> None:
        if self._engine is not None:
            self._engine.set_rate_limit(bytes_per_second)

    # Sessions and the line

    def list_sessions(self) -> None:
        """Look up every known session."""

        def job(cancelled: Cancelled) -> None:
            found = tuple(known_sessions())
            if not cancelled():
                self.tell(messages.SessionsListed(found))

        self._listing.ask(job)

    def forget(self, folder: Path, session_id: str) -> None:
        """Take a session off the list and remove what only it needs; never a file under its final name."""

        def work() -> None:
            from era5dl.session.index import forget

            failure: ErrorInfo | None = None
            try:
                if (folder / ".era5dl").is_dir():
                    with Session.open(folder, session_id) as session:
                        session.forget()
            except Era5Error as error:
                failure = ErrorInfo.of(error)
            forget(session_id, folder)
            self.tell(messages.SessionForgotten(session_id, failure))

        try:
            self._thread("forget", work)
        except OutOfThreads as error:
            self.tell(messages.SessionForgotten(session_id, ErrorInfo.of(error)))

    def verify(self, folder: Path, session_id: str, settings: Settings) -> None:
        """Prove the files of a session on disk."""

        def job(cancelled: Cancelled) -> None:
            from era5dl.engine.verify_files import verify

            try:
                with Session.open(folder, session_id) as session:
                    total, seen = len(session.plan.objects), iter(range(1, len(session.plan.objects) + 1))
                    meter = _Seldom(lambda done, all_: self.tell(messages.VerifyProgressed(session_id, done, all_)))
                    bucket = self._buckets.get(self._agreed(session, settings))
                    examined = verify(
                        bucket,
                        session,
                        lambda _one: meter.tell(next(seen), total),
                        cancelled,
                        opaque_etags=settings.opaque_etags,
                    )
                self.tell(messages.VerifyFinished(session_id, folder, tuple(examined)))
            except OtherEndpoint as other:
                self.tell(messages.ConsentRequired(session_id, folder, other.address, verifying=True))
                self.tell(messages.VerifyFailed(session_id, ErrorInfo.of(other)))
            except Era5Error as error:
                self.tell(messages.VerifyFailed(session_id, ErrorInfo.of(error)))

        self._verifying.ask(job)

    def stop_verifying(self) -> None:
        self._verifying.cancel()

    def diagnose(self, settings: Settings) -> None:
        """Measure the way to the bucket."""

        def job(cancelled: Cancelled) -> None:
            from era5dl.diagnosis.network_test import run_network_test

            found = run_network_test(settings)
            if not cancelled():
                self.tell(messages.NetworkTested(found))

        self._testing.ask(job)

    def close(self) -> None:
        """End everything; `at_rest` tells when the resume file is written. Nothing can be begun any more."""
        with self._lock:
            self._closing = True
        for desk in (self._planning, self._folders, self._verifying, self._testing, self._listing):
            desk.cancel()
        self.stop()

    # Inside

    def _run(self, open_session: Callable[[], Session], settings: Settings, only: Collection[int] | None) -> None:
        with self._lock:
            if self._occupied or self._closing:
                return
            self._occupied, self._stop_asked = True, False
        chosen = None if only is None else frozenset(only)
        try:
            self._thread("run", lambda: self._drive(open_session, settings, chosen))
        except OutOfThreads as error:
            self._occupied = False
            self.tell(messages.SessionNotOpened(ErrorInfo.of(error)))

    def _drive(self, open_session: Callable[[], Session], settings: Settings, only: frozenset[int] | None) -> None:
        """The life of a run's thread: open, fetch, wait for the end, close."""
        ending: Message | None = None  # said when another run can begin
        opened: tuple[str, Path] | None = None
        try:
            with open_session() as session:
                opened = (session.id, session.folder)
                fitting = self._agreed(session, settings)
                engine = Engine(self._buckets.get(fitting), session, fitting, self._heard, only=only)
                with self._lock:
                    if self._stop_asked:
                        raise Stopped
                    self._engine = engine
                self._latest = (session.folder, session.id, settings)
                elsewhere = fitting.endpoint_url if fitting.endpoint_url != settings.endpoint_url else ""
                self.tell(_opened(session, only, elsewhere or ""))
                engine.start()
                engine.wait()
                last, states = engine.snapshot(), engine.states()
                self._measure(last)
                assert engine.result is not None
                missing = len(session.plan.missing)
                ending = messages.RunFinished(session.id, session.folder, engine.result, last, states, missing)
        except OtherEndpoint as other:
            assert opened is not None
            ending = messages.ConsentRequired(*opened, other.address)
        except Era5Error as error:
            ending = messages.SessionNotOpened(ErrorInfo.of(error))
        finally:
            with self._lock:
                self._engine, self._occupied = None, False
            if ending is not None:
                self.tell(ending)

    def _agreed(self, session: Session, settings: Settings) -> Settings:
        """The settings for a session. Raises OtherEndpoint when it names a server that nobody has agreed to."""
        fitting = settings_of(session, settings)
        check_origin(fitting, settings, tuple(self._allowed))
        return fitting

    def _measure(self, last: Snapshot) -> None:
        if last.fetched_bytes >= WORTH_MEASURING and last.elapsed > 0 and not last.rate_limit:
            self.speed = last.fetched_bytes / last.elapsed

    def _heard(self, event: Event) -> None:
        self.tell(messages.EngineEvent(event))

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as bug:  # noqa: BLE001 - told, never lost
                self._stumbled(name, bug)

        thread_registry.start(threading.Thread(target=guarded, name=f"era5dl-{name}", daemon=True))

    def _stumbled(self, where: str, bug: BaseException) -> None:
        self.tell(messages.TaskCrashed(where, ErrorInfo.of(bug)))

    def tell(self, fact: Message) -> None:
        """Put a fact into the queue; from any thread."""
        self._facts.put(fact)


def settings_of(session: Session, settings: Settings) -> Settings:
    """How to go on with a session: where it was begun, and as fast as wished for now.

    A session of this machine's own server (the demo's has another port each time) is looked for where the settings say.
    """
    endpoint = session.info.endpoint_url
    if (
        endpoint is not None
        and settings.endpoint_url is not None
        and _local(endpoint)
        and _local(settings.endpoint_url)
    ):
        endpoint = settings.endpoint_url
    return replace(
        settings,
        endpoint_url=endpoint,
        bucket=session.info.bucket,
        region=session.info.region,
        flat=session.info.flat,
        verify=session.info.verify,
    )


def _local(url: str | None) -> bool:
    return url is not None and url.startswith(("http://127.0.0.1:", "http://localhost:"))


def _opened(session: Session, only: frozenset[int] | None, elsewhere: str) -> messages.SessionOpened:
    partial = {u.index: sum(stop - start for start, stop in u.done) for u in session.checkpoint.unfinished}
    objects = session.plan.objects
    return messages.SessionOpened(
        session.id,
        session.folder,
        session.info.title,
        objects,
        session.plan.missing,
        partial,
        session.notes,
        only,
        elsewhere,
    )


class _Buckets:
    """One bucket, kept for as long as the settings that make it stay the same: it holds the connections."""

    def __init__(self, make: MakeBucket) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: tuple[Settings, Bucket] | None = None

    def get(self, settings: Settings) -> Bucket:
        key = replace(settings, rate_limit=None, retries=0, verify=True, opaque_etags=False, flat=False, disk_reserve=0)
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                self._kept = (key, self._make(settings))
            return self._kept[1]


class _Seldom:
    """Passes progress on ten times a second at most, and always its end."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._pass_on, self._next = tell, 0.0

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + TELL_EVERY
            self._pass_on(done, total)
