"""One engine run against a server of the tests: plan what the bucket holds, fetch it, look at what came."""

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

LONG = 60.0  # seconds after which a test gives up waiting


class Server(Protocol):
    endpoint_url: str
    bucket: str


E = TypeVar("E")


class Ran:
    """A run that is going on or over: engine, session, bucket and all that was said."""

    def __init__(self, engine: Engine, session: Session, bucket: S3Bucket, events: list[Event]) -> None:
        self.engine, self.session, self.bucket, self.events = engine, session, bucket, events

    def end(self, timeout: float = LONG) -> RunEnded:
        """Wait for the end of the run."""
        assert self.engine.wait(timeout), f"the run has not ended: {self.engine.snapshot()}"
        assert self.engine.result is not None
        return self.engine.result

    def until(self, reached: Callable[[], bool], timeout: float = LONG) -> None:
        """Wait until something is so."""
        give_up = time.monotonic() + timeout
        while not reached():
            assert time.monotonic() < give_up, f"waited in vain: {self.engine.snapshot()}"
            time.sleep(0.005)

    def said(self, kind: type[E]) -> list[E]:
        """All events of one kind so far."""
        return [event for event in list(self.events) if isinstance(event, kind)]


def settings_for(server: Any, **options: Any) -> Settings:
    """Settings for a server of the tests: short timeouts, no room kept free."""
    ca_file = getattr(server, "ca_file", None)
    usual: dict[str, Any] = {"disk_reserve": 0, "connect_timeout": 2.0, "read_timeout": 2.0, "workers": 4}
    return Settings(
        endpoint_url=server.endpoint_url,
        bucket=server.bucket,
        ca_bundle=str(ca_file) if ca_file else None,
        **{**usual, **options},
    )


def plan_of(bucket: S3Bucket, prefix: str = "") -> Plan:
    """All objects under a prefix."""
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
) -> Iterator[Ran]:
    """A run that has been started; it is stopped at the end if it is still going on.

    bucket: one made before for the same server with the same timeouts; a new one takes 0.1 s.
    """
    settings = settings_for(server, **options)
    bucket = bucket or S3Bucket(settings)
    made = plan if plan is not None else plan_of(bucket, prefix)
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    with Session.begin(folder, made, settings) as session:
        ran = Ran(Engine(bucket, session, settings, hear, only=only), session, bucket, events)
        ran.engine.start()
        try:
            yield ran
        finally:
            ran.engine.stop()
            ran.engine.wait(10)
            bucket.drop_idle_connections()


def fetch_all(server: Any, folder: Path, **options: Any) -> Ran:
    """A whole run, to its end."""
    with running(server, folder, **options) as ran:
        ran.end()
    return ran


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wrong_files(folder: Path, objects: dict[str, bytes]) -> list[str]:
    """Keys whose file is missing or has other bytes than it should."""
    return [
        key
        for key, data in objects.items()
        if not (folder / key).is_file() or sha256((folder / key).read_bytes()) != sha256(data)
    ]


def leftovers(folder: Path) -> list[Path]:
    """Part files that are still there."""
    return list(folder.rglob("*.part"))


def taken(body: Any, most: int) -> bytes:
    """What a `store.Body` gives next, at most so many bytes."""
    buffer = bytearray(most)
    return bytes(buffer[: body.readinto(memoryview(buffer))])
