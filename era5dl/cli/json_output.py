"""What `--json` writes: one JSON object a line on stdout, and nothing else there. The names below are stable.

Every record has `event` (what it is) and `time` (seconds since 1970). Sizes are bytes, speeds bytes per second, times
seconds, dates YYYY-MM-DD in UTC; a value that is not known is null. ASCII only, so that no terminal and no encoding
can misread a key. Readers should pass over events and fields they do not know.

Any command
    end             exit_code, error, remedy                     always the last record; error is "" when all is well
products, variables
    product         product, title, period (what one file holds), variables (count)
    variable        product, variable, short_name, long_name, units, levels, confidence
plan, download, resume
    planning        done, total                                  listings finished; once a second at most
    plan            files, bytes, missing, passed_over (keys that name no file),
                    products [{product, files, bytes, missing}], free_bytes (of --out; null without it)
    object          key, size, etag, last_modified               `plan` only: every object
    missing         key, reason                                  every key asked for that is not in the bucket
download, resume (and demo)
    session         session, folder, files, bytes, done_bytes    done_bytes: proven or fetched by earlier runs
    file-started    index, key, size, resumed_bytes
    file-retrying   index, key, reason, attempt, delay, kind     kind: the class of the error, such as "NotFound"
    file-restarted  index, key, reason, kind                     it was replaced upstream
    file-done       index, key, size, path, outcome ("verified" | "checked"), reason, adopted
    file-failed     index, key, reason, remedy, kind
    state           state, reason, kind                          kind: "" where no error is behind it
    second-chance   round, files, delay                          failed files are tried again in `delay` seconds
    throttled       workers, delay
    fewer-workers   workers, wanted, reason, remedy, kind        the system gives no more threads
    progress        state, reason, total_files, done_files, verified_files, checked_files, failed_files, total_bytes,
                    done_bytes, fetched_bytes, speed, time_left, elapsed, workers, allowed, in_flight, rate_limit,
                    retries, throttles, barren_attempts, held_files,
                    active [{index, key, size, done, speed, connections, proving}]
                                                                 once a second, and once at the end
    summary         files, bytes, verified, checked, failed, missing, unfinished, stopped, error, remedy,
                    kind, fetched_bytes, elapsed,
                    checked_because [{reason, files, keys}]      of all that are checked and not verified; the first
                                                                 200 keys of each reason
sessions
    known-session   session, folder, title, state ("interrupted" | "done" | "running" | "folder missing" | "damaged"),
                    files, done_files, failed, bytes, done_bytes, created, updated
verify
    proven          key, path, condition ("verified" | "checked" | "wrong" | "absent" | "unknown"), reason
    verify-summary  session, files, bytes, verified, checked, wrong, absent, unknown, elapsed
                                                                 with --repair the records of a download follow
diagnose
    diagnosis       the fields of era5dl.diagnosis.network_test.NetworkTest, and verdict (one sentence)
demo
    demo-file       key, path, size, sha256, identical, content
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from enum import Enum
from typing import Any, TextIO

from era5dl.engine.events import (
    Event,
    FewerWorkers,
    FileDone,
    FileFailed,
    FileRestarted,
    FileRetrying,
    FileStarted,
    RangesIgnored,
    RetryRoundScheduled,
    RunEnded,
    StateChanged,
    Throttled,
)
from era5dl.engine.progress import Snapshot
from era5dl.errors import Era5Error

_NAMES: dict[type, str] = {
    FileStarted: "file-started",
    FileRetrying: "file-retrying",
    FileRestarted: "file-restarted",
    FileDone: "file-done",
    FileFailed: "file-failed",
    StateChanged: "state",
    RetryRoundScheduled: "second-chance",
    Throttled: "throttled",
    FewerWorkers: "fewer-workers",
    RangesIgnored: "ranges-ignored",
}


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Inside, standard output is written to. Where it takes nothing, that ends the command; BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Era5Error(
            f"standard output cannot be written: {error.strerror or error}",
            remedy="Make room where it goes to, or send it somewhere else.",
        ) from error


class JsonLines:
    """Writes records to a stream, each flushed at once: whoever reads may be waiting for it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_progress = 0.0

    def write(self, event: str, **fields: Any) -> None:
        """One record. Dataclasses, enums and paths among the values are written as what they stand for."""
        record = {"event": event, "time": round(time.time(), 3), **fields}
        with writing():
            self._stream.write(json.dumps(record, default=_plain_value) + "\n")
            self._stream.flush()

    def event(self, event: Event) -> None:
        """What the engine said. Its last word, RunEnded, is told by `summary` instead."""
        if not isinstance(event, RunEnded):
            self.write(_NAMES[type(event)], **_fields(event))

    def progress(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """How far the run is, once a second however often it is called."""
        now = time.monotonic()
        if at_once or now >= self._next_progress:
            self._next_progress = now + 1.0
            self.write("progress", **_fields(snapshot))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Enum):
        return value.value
    return str(value)


def event_names() -> set[str]:
    """The events documented above: what a program may meet."""
    return set(re.findall(r"^ {4}([a-z][a-z-]*)  ", __doc__ or "", re.MULTILINE))
