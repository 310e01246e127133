"""era5dl in the endurance test: the unchanged engine in its own process, with timers where workers wait.

    python -m tests.benchmarks.soak_client URL BUCKET KEYS-FILE OUT WORKERS SCALE

Every delay that depends on the server or the network (timeouts, retry delays, the recovery of the request rate) is
divided by SCALE, as are the lengths of the disturbances; nothing else is changed. Instrumented are the engine's
condition variable (how long a worker waits, and why) and `Session.save` (how long a checkpoint takes).
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from era5dl.bucket.s3 import S3Bucket
from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics
from era5dl.engine import fetch, outage, rate_limit, retry
from era5dl.engine.engine import Engine
from era5dl.engine.events import Event, FileFailed, FileRetrying
from era5dl.planner import plan_keys, read_keys
from era5dl.session import Session
from era5dl.settings import Settings
from tests.benchmarks.soak_figures import Figures, tell

# Delays of the engine that depend on the server or the network, in seconds.
WAITS: tuple[tuple[Any, str], ...] = (
    *((retry, name) for name in ("BASE", "CAP", "THROTTLE_BASE", "NETWORK_CAP")),
    *((rate_limit.Throttle, name) for name in ("GROW_EVERY", "CALM")),
    (outage, "PAUSES"),
    (fetch, "MIN_SPEED_WINDOW"),
)


def scale_waits(scale: float) -> None:
    """Divide all delays."""
    for place, name in WAITS:
        value = getattr(place, name)
        setattr(place, name, tuple(v / scale for v in value) if isinstance(value, tuple) else value / scale)


class TimedWaits(threading.Condition):
    """Condition variable on which the workers of a run wait for work. Records reasons and seconds."""

    def __init__(self, run: Any) -> None:
        super().__init__(run.lock)  # the run's lock, which other threads hold, too
        self._run = run
        self.seconds: dict[str, float] = dict.fromkeys(("resting", "blocked", "nothing left"), 0.0)

    def wait(self, timeout: float | None = None) -> bool:
        why, began = self._why(), time.monotonic()
        try:
            return super().wait(timeout)
        finally:
            self.seconds[why] += time.monotonic() - began

    def _why(self) -> str:
        run = self._run
        if run.outage.state is not None or time.monotonic() < run.throttle.paused_until:
            return "resting"
        if len(run.aborts) >= run.throttle.allowed:
            return "resting"
        if run.scheduler.queue and run.scheduler.next_due() is not None:
            return "blocked"  # there is other work, and yet this worker waits with the pieces that wait
        return "nothing left"


class Subject:
    """The engine under test, and its metrics."""

    def __init__(self, bucket: S3Bucket, session: Session, settings: Settings) -> None:
        self._session = session
        self._request_metrics = RequestMetrics()
        self._delayed = 0.0
        self._saved = 0.0
        self._resume_file = session.folder / ".era5dl" / f"{session.id}.json"
        save = session.save

        def timed_save(checkpoint: Any) -> None:
            began = time.monotonic()
            save(checkpoint)
            self._saved = time.monotonic() - began

        session.save = timed_save  # type: ignore[method-assign]
        self.engine = Engine(MeasuredBucket(bucket, self._request_metrics), session, settings, self._hear)
        run = self.engine._run
        self._waits = run.work_available = TimedWaits(run)

    def figures(self) -> Figures:
        """Return the current metrics."""
        now, seconds = self.engine.snapshot(), self._waits.seconds
        return Figures(
            files=now.done_files + now.failed_files,
            failed=now.failed_files,
            size=now.done_bytes,
            faults=sum(self._request_metrics.traffic().faults.values()),
            blocked=seconds["blocked"],
            resting=seconds["resting"],
            delayed=self._delayed,
            checkpoint_bytes=self._checkpoint_size(),
            checkpoint_seconds=self._saved,
        )

    def _checkpoint_size(self) -> int:
        try:
            return self._resume_file.stat().st_size
        except FileNotFoundError:  # not yet written, or being replaced: a save first renames the previous file
            return 0

    def _hear(self, event: Event) -> None:
        if isinstance(event, FileRetrying):
            self._delayed += event.delay
        elif isinstance(event, FileFailed):
            print(f"{event.key}: {event.reason}", file=sys.stderr)


def main() -> int:
    """Fetch all keys. The exit code is 0 if every file is complete."""
    url, bucket_name, keys_file, out, workers, scale = sys.argv[1:]
    scale_waits(float(scale))
    usual = Settings()
    settings = Settings(
        endpoint_url=url,
        bucket=bucket_name,
        workers=int(workers),
        connect_timeout=usual.connect_timeout / float(scale),
        read_timeout=usual.read_timeout / float(scale),
        disk_reserve=0,
    )
    bucket = S3Bucket(settings)
    plan = plan_keys(read_keys(Path(keys_file).read_text("utf-8")), bucket)
    with Session.begin(Path(out), plan, settings) as session:
        subject = Subject(bucket, session, settings)
        subject.engine.start()
        over = threading.Event()
        teller = threading.Thread(target=tell, args=(subject.figures, over), daemon=True)
        teller.start()
        subject.engine.wait()
        over.set()
        teller.join()
        print(replace(subject.figures(), over=True).line(), flush=True)
        ended = subject.engine.result
    return 0 if ended is not None and not ended.failed and not ended.unfinished else 1


if __name__ == "__main__":
    sys.exit(main())
