"""What has to be done now and then while a run goes on: checkpoints, room on the disk, slow sockets, sleep.

One thread, the keeper. It is also the one that sees a run end and says so, whatever happened.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from itertools import chain

from era5dl.engine import retry_rounds
from era5dl.engine.checkpoint import save_claims
from era5dl.engine.counters import FileState
from era5dl.engine.disk_failures import all_failed, sync_failed
from era5dl.engine.event_queue import log
from era5dl.engine.events import RunEnded, State
from era5dl.engine.hold import release
from era5dl.engine.run import Run
from era5dl.engine.shared_folder import done_with
from era5dl.engine.suspend import Surroundings
from era5dl.engine.transfer import Piece, Transfer
from era5dl.errors import DiskError, DiskFull, Era5Error, FolderVanished, OutOfThreads, SessionError
from era5dl.folder.free_space import check_free, free_bytes, is_writable
from era5dl.folder.paths import OWN_FOLDER
from era5dl.formatting import size
from era5dl.redaction import without_secrets

TICK = 0.25
CHECKPOINT_SHARE = 0.05  # of the time that checkpoints may take, most of it waiting for the disk
CHECKPOINT_LONG = 0.05  # seconds; one that takes longer keeps the disk from what the workers write
CHECKPOINT_LONG_SHARE = 0.02  # of the time, for such
CHECKPOINT_CPU = 0.02  # of the time that they may compute
CHECKPOINT_SOONEST = 0.1  # seconds from the end of one to the next; so much transfer does a kill cost on a fast disk
CHECKPOINT_LATEST = 5.0  # the same on a slow one
DISK_EVERY = 2.0
IDLE_AFTER = 60.0  # seconds without a byte after which no idle connection is trusted: routers forget them
HEALTH_EVERY = 600.0  # seconds of quiet after which the bucket is asked whether it is still there
SLOW_AFTER = 15.0  # seconds that a connection gets to show its speed
SLOW_SHARE = 0.25  # of the median of its siblings
SWAP_EVERY = 5.0  # seconds between two connections being replaced
AFTERWARDS = "Go on with era5dl resume: where the folder is now, or where it was, once it is back there."
PATIENCE = 60.0  # seconds to wait for what a person has moved away, or for a resume file that cannot be written
GRACE = 1.0  # seconds that workers have to leave after a stop; the network may hold one for longer


class Upkeep:
    """The keeper of one run."""

    def __init__(self, run: Run, workers_left: threading.Event) -> None:
        self._run = run
        self._workers_left = workers_left  # set while no worker thread is alive
        self._save_at = self._looked_at_disk = self._swapped_at = time.monotonic()
        self._surroundings = Surroundings()
        self._unsaved_since: float | None = None  # since when no checkpoint could be written
        self._vanished_since: float | None = None
        self._fetched = 0
        self._idle_since = self._checked_at = time.monotonic()

    def keep(self) -> None:
        """Body of the keeper's thread: from start to RunEnded."""
        try:
            self._preflight()
            while not self._ended():
                self._tick()
        except Exception as bug:  # noqa: BLE001 - the run must end, and say so
            self._broken(bug)
        finally:
            self._finish()

    def audit(self) -> None:
        """Body of the audit's thread: looks whether what earlier runs finished is still there, and fetches again what
        is not. No run ends well before that."""
        try:
            self._audit()
        except Exception as bug:  # noqa: BLE001 - else the run would never end
            self._broken(bug)

    def _broken(self, bug: Exception) -> None:
        log.exception("a thread of the run failed")
        with self._run.locked():
            text = f"internal error: {type(bug).__name__}: {without_secrets(str(bug))}"
            self._run.end_with_error_locked(Era5Error(text))

    def _audit(self) -> None:
        run = self._run
        run.session.claims.remove_stale()
        with run.lock:
            finished = [*run.verified, *run.checked]
        for start, stop in finished:
            for index in range(start, stop):
                if run.is_over:
                    return
                if not self._is_there(index):
                    with run.locked():
                        if index in run.verified or index in run.checked:  # else it is being looked at already
                            run.requeue_finished_locked(index)
        with run.locked():
            run.audited = True
            run.notify_locked()

    def checkpoint(self) -> None:
        """Write the resume file, and decide by what it cost when to write the next one."""
        began, computed = time.monotonic(), time.thread_time()
        self._write_checkpoint()
        ended, computed = time.monotonic(), time.thread_time() - computed
        share = CHECKPOINT_SHARE if ended - began <= CHECKPOINT_LONG else CHECKPOINT_LONG_SHARE
        pause = max((ended - began) / share, computed / CHECKPOINT_CPU)
        self._save_at = ended + min(max(pause, CHECKPOINT_SOONEST), CHECKPOINT_LATEST)

    def _write_checkpoint(self) -> None:
        """First the bytes to the disk, then the claim that they are there."""
        run = self._run
        with run.lock:
            run.dirty = False
            transfers = list(run.scheduler.transfers.values())
        for transfer in transfers:
            self._sync(transfer)
        try:
            checkpoint = save_claims(run)
            self._unsaved_since = None
            run.session.claims.release_where(checkpoint.checked.__contains__)
        except DiskError as error:
            run.dirty = True
            self._not_saved(error)
        except SessionError as error:  # another program has taken it over
            with run.locked():
                run.end_with_error_locked(error)

    def _sync(self, transfer: Transfer) -> None:
        try:
            if transfer.prepared and transfer.part is not None:
                transfer.part.sync()
        except DiskError as error:
            sync_failed(self._run, transfer, error)

    def _not_saved(self, error: DiskError) -> None:
        """The resume file could not be written; the one before it stands. Where files can be written the run goes on
        for a while all the same."""
        run, now = self._run, time.monotonic()
        try:
            run.check_folder()
            works = is_writable(run.session.folder)
        except DiskError as folder:
            error, works = folder, False
        if self._unsaved_since is None:
            self._unsaved_since = now
        log.warning("the resume file could not be written: %s", error)
        with run.locked():
            if run.is_over:
                return
            if not works:
                all_failed(run, error)
            elif now - self._unsaved_since >= PATIENCE:
                run.end_with_error_locked(error)

    def _is_there(self, index: int) -> bool:
        try:
            return self._run.session.paths.final(index).stat().st_size == self._run.object(index).size
        except (OSError, Era5Error):
            return False

    def _preflight(self) -> None:
        """Refuse to start what cannot fit."""
        run = self._run
        with run.lock:
            needed = run.counters.total_bytes - run.counters.done_bytes
        try:
            if needed + run.settings.disk_reserve > free_bytes(run.session.folder):
                needed -= self._there_already()
            check_free(run.session.folder, needed, run.settings.disk_reserve)
        except DiskError as error:
            with run.locked():
                run.end_with_error_locked(error)
            return
        with run.locked():
            run.space_checked = True
            run.notify_locked()

    def _there_already(self) -> int:
        """Bytes of files that have their final name and size, though no earlier run has recorded them."""
        with self._run.lock:
            unfinished = list(self._run.scheduler.queue)
        return sum(self._run.object(index).size for index in unfinished if self._is_there(index))

    def _ended(self) -> bool:
        with self._run.lock:
            return self._run.is_over

    def _tick(self) -> None:
        run = self._run
        with run.lock:
            until_save = self._save_at - time.monotonic()
            run.run_over.wait(until_save if 0.0 < until_save < TICK else TICK)
            now = time.monotonic()
            run.counters.sample(now)
            run.throttle.recover(now)
            for piece in run.scheduler.active_pieces:
                piece.add_sample(now)
        run.session.claims.release_where(lambda index: done_with(run, index))
        retry_rounds.tend(run, now)
        self._look_around()
        self._mind_the_quiet(now)
        self._replace_slow(now)
        if now - self._looked_at_disk >= DISK_EVERY:
            self._looked_at_disk = now
            self._watch_disk()
        if run.dirty and not run.outage.is_disk and time.monotonic() >= self._save_at:
            self.checkpoint()

    def _look_around(self) -> None:
        """Make all connections anew when they are most likely dead."""
        why = self._surroundings.news()
        if why:
            log.info("%s: all connections are made anew", why)
            self._run.bucket.drop_idle_connections()
            with self._run.locked():
                self._run.abort_all_locked(why)

    def _mind_the_quiet(self, now: float) -> None:
        """While nothing comes, since the run is paused, or waits for the disk, or proves: do not trust what is idle,
        and ask now and then whether the bucket is there, so that whoever comes back finds the truth on the screen."""
        run = self._run
        if run.counters.fetched_bytes != self._fetched:
            self._fetched = run.counters.fetched_bytes
            self._idle_since = self._checked_at = now
        if now - self._idle_since >= IDLE_AFTER:
            self._idle_since = now
            run.bucket.drop_idle_connections()
        if now - self._checked_at >= HEALTH_EVERY:
            self._checked_at = now
            with run.lock:
                index = next(chain(run.scheduler.transfers, run.scheduler.queue, run.held), None)
                if index is not None and not run.is_over:
                    with contextlib.suppress(OutOfThreads):  # some other time
                        run.outage.check(run.object(index).key)

    def _replace_slow(self, now: float) -> None:
        """A socket far slower than its siblings is given up; its piece goes on over another one."""
        run = self._run
        if run.rate_limit.rate or now - self._swapped_at < SWAP_EVERY:
            return
        with run.lock:
            lasting = (p for p in run.scheduler.active_pieces if now - p.started >= SLOW_AFTER)
            speeds = {p: p.speed(now) for p in lasting if not p.transfer.ranges_ignored}  # that would begin again at 0
            slow = laggard(speeds)
            if slow is not None and slow in run.aborts:
                self._swapped_at = now
                run.aborts[slow].trip("far slower than the other connections")

    def _watch_disk(self) -> None:
        run = self._run
        try:
            run.check_folder()
            if run.session.restore_files():
                log.warning("%s was deleted; it is made again", run.session.folder / OWN_FOLDER)
                run.dirty = True
            free = free_bytes(run.session.folder)
            if free < run.settings.disk_reserve:
                self._wait_for_room(free)
            elif not run.outage.is_disk:
                self._vanished_since = None
            elif is_writable(run.session.folder):
                self._disk_is_back()
        except DiskError as error:
            self._wait_for_folder(error)

    def _wait_for_room(self, free: int) -> None:
        """Nothing has failed yet, so what has come counts."""
        with self._run.locked():
            if not self._run.outage.is_disk:
                self._run.disk_outage_locked(DiskFull(f"only {size(free)} are free on the disk"))

    def _wait_for_folder(self, error: DiskError) -> None:
        """A disk that is away is waited for without end; a folder that somebody has moved, not so long."""
        run, now = self._run, time.monotonic()
        if not isinstance(error, FolderVanished) or run.paused_by_user or self._vanished_since is None:
            self._vanished_since = now
        with run.locked():
            all_failed(run, error)
            run.disk_outage_locked(error)  # the folder's state says more than what a file in it met
            if now - self._vanished_since >= PATIENCE:
                run.end_with_error_locked(FolderVanished(str(error), remedy=AFTERWARDS))

    def _disk_is_back(self) -> None:
        """Go on, after a look whether what was finished is still there."""
        run = self._run
        self._vanished_since = None
        with run.locked():
            was_away = run.outage.state is State.WAITING_FOR_DISK
            run.audited = run.audited and not was_away
            run.outage.disk_is_back()
            run.update_state_locked()
        if was_away:
            self.audit()

    def _finish(self) -> None:
        run = self._run
        with run.locked():
            run.abort_all_locked("the run ends")
            run.outage.end()
            run.notify_locked()
        self._workers_left.wait(GRACE)
        with contextlib.suppress(Exception):  # already reported by checkpoint(); the end must be told all the same
            self.checkpoint()
        run.session.claims.release_all()
        release(run, frozenset(run.held))  # a hold ends with its run
        with run.locked():
            counts = run.counters.counts
            run.state = State.ENDED
            run.events.put(
                RunEnded(
                    verified=counts[FileState.VERIFIED],
                    checked=counts[FileState.CHECKED],
                    failed=counts[FileState.FAILED],
                    unfinished=counts[FileState.WAITING] + counts[FileState.ACTIVE],
                    stopped=run.stopping,
                    error=run.error,
                    remedy=run.remedy,
                    kind=run.kind,
                )
            )


def laggard(speeds: dict[Piece, float]) -> Piece | None:
    """The slowest of them, if it is far behind the rest; None with too few to compare."""
    if len(speeds) < 3:
        return None
    slowest = min(speeds, key=lambda piece: speeds[piece])
    others = statistics.median(speed for piece, speed in speeds.items() if piece is not slowest)
    return slowest if speeds[slowest] < SLOW_SHARE * others else None
