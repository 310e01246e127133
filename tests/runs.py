"""Runs the engine against a test server: plans the objects of the bucket, downloads them, and checks the files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.engine import Engine
from era5dl.engine.events import Event, RunEnded
from era5dl.planner import Plan
from era5dl.session import Session
from era5dl.settings import Settings

TIMEOUT = 60.0  # seconds after which a test stops waiting


class Server(Protocol):
    endpoint_url: str
    bucket: str


E = TypeVar("E")


class EngineRun:
    """A run in progress or ended: engine, session, bucket, and all events so far."""

    def __init__(self, engine: Engine, session: Session, bucket: S3Bucket, events: list[Event]) -> None:
        self.engine, self.session, self.bucket, self.events = engine, session, bucket, events

    def wait_for_end(self, timeout: float = TIMEOUT) -> RunEnded:
        """Wait for the end of the run, and return how it ended."""
        assert self.engine.wait(timeout), f"the run has not ended: {self.engine.snapshot()}"
        assert self.engine.result is not None
        return self.engine.result

    def wait_until(self, reached: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        """Wait until the condition holds."""
        give_up = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < give_up, f"the condition was not reached: {self.engine.snapshot()}"
            time.sleep(0.005)

    def events_of(self, kind: type[E]) -> list[E]:
        """Return all events of this type so far."""
        return [event for event in list(self.events) if isinstance(event, kind)]


def settings_for(server: Any, **options: Any) -> Settings:
    """Settings for a test server: short timeouts, no disk space kept free."""
    ca_file = getattr(server, "ca_file", None)
    usual: dict[str, Any] = {"disk_reserve": 0, "connect_timeout": 2.0, "read_timeout": 2.0, "workers": 4}
    return Settings(
        endpoint_url=server.endpoint_url,
        bucket=server.bucket,
        ca_bundle=str(ca_file) if ca_file else None,
        **{**usual, **options},
    )


def plan_of(bucket: S3Bucket, prefix: str = "") -> Plan:
    """Return the plan of all objects with this prefix."""
    return Plan({"prefix": prefix}, tuple(bucket.list(prefix)))


@contextmanager
def running(
    server: Any,
    folder: Path,
    *,
    prefix: str = "",
    plan: Plan | None = None,
    bucket: S3Bucket | None = None,
    on_event: Callable[[Event], None] | None = None,
    only: list[int] | None = None,
    **options: Any,
) -> Iterator[EngineRun]:
    """Context manager: a run that has been started. It is stopped on exit if it is still in progress.

    bucket: one for the same server with the same timeouts, to be used again; a new one takes 0.1 s.
    """
    settings = settings_for(server, **options)
    bucket = bucket or S3Bucket(settings)
    made = plan if plan is not None else plan_of(bucket, prefix)
    events: list[Event] = []

    def on_any_event(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    with Session.begin(folder, made, settings) as session:
        ran = EngineRun(Engine(bucket, session, settings, on_any_event, only=only), session, bucket, events)
        ran.engine.start()
        try:
            yield ran
        finally:
            ran.engine.stop()
            ran.engine.wait(10)
            bucket.drop_idle_connections()


def fetch_all(server: Any, folder: Path, **options: Any) -> EngineRun:
    """Run the engine to its end."""
    with running(server, folder, **options) as ran:
        ran.wait_for_end()
    return ran


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wrong_files(folder: Path, objects: dict[str, bytes]) -> list[str]:
    """Return the keys whose file is missing or has wrong bytes."""
    return [
        key
        for key, data in objects.items()
        if not (folder / key).is_file() or sha256((folder / key).read_bytes()) != sha256(data)
    ]


def leftovers(folder: Path) -> list[Path]:
    """Return the part files that still exist."""
    return list(folder.rglob("*.part"))


def read_some(body: Any, most: int) -> bytes:
    """Return the next bytes of a body, at most `most`."""
    buffer = bytearray(most)
    return bytes(buffer[: body.readinto(memoryview(buffer))])
