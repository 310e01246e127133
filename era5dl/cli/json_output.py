"""JSON output (`--json`): one JSON object per line on stdout, and nothing else. Event and field names are stable.

Every record has `event` (its type) and `time` (seconds since 1970). Sizes are in bytes, speeds in bytes per second,
times in seconds, dates YYYY-MM-DD in UTC; an unknown value is null. The output is ASCII, so that no encoding changes a
key. Readers should ignore unknown events and fields.

Any command
    end             exit_code, error, remedy                     always the last record; error is "" on success
products, variables
    product         product, title, period (of one file), variables (number)
    variable        product, variable, short_name, long_name, units, levels, confidence
cds; plan and download with --cds
    request         dataset, supported, reason, dates (a list, or {start, end}), hours, levels (hPa, or null), area
                    ([north, west, south, east] or null), point ([latitude, longitude] or null); one per request
    item            asked, status ("found" | "derived" | "absent"), variables (such as "fc.sfc.accumu/lsp"), reason
    warning         text, kind (such as "grid")                  after the items of its request
plan, download, resume
    derived         name, variables, formula, units              a selected name that is computed from these variables
    planning        done, total                                  finished listings; at most once per second
    plan            files, bytes, missing, passed_over (keys that are not files, or without a selected hour),
                    products [{product, files, bytes, missing, fetch_bytes, write_bytes}],
                    free_bytes (of --out; null without it), subset ({hours, levels, area, points, days}, what is
                    restricted; null for whole files), fetch_bytes, write_bytes, exact (whether these two are; else
                    they are estimates)
    object          key, size, etag, last_modified               `plan` only: every object
    export          tool, path (null: standard output would have it, so it is in text), files, bytes, with_md5 (files
                    whose MD5 is known), whole_files (true: a subset was wanted, which the tool cannot fetch), text
                                                                 `plan --export` only, instead of plan and object
    wrf             files (that era5_to_int opens), lacking (names of those not planned), first_hour and last_hour
                    ("2021-02-28_23"), finds_files (false: a subset, whose files have other names), command
                                                                 `plan --preset wrf` only
    missing         key, reason                                  every requested key that is not in the bucket
    latest          product, last_day, lag_days                  of a selection that ends in latest: the last published
                                                                 day of each product, and how many days ago it was
download, resume (and demo)
    session         session, folder, files, bytes, done_bytes    done_bytes: from earlier runs; bytes: to fetch, for
                                                                 subsets estimated
    file-started    index, key, size, resumed_bytes
    file-retrying   index, key, reason, attempt, delay, kind     kind: the class of the error, such as "NotFound"
    file-restarted  index, key, reason, kind                     the object was replaced in the bucket
    file-changed    index, key                                   a finished file has changed on disk; what is wrong
                                                                 of it is fetched again
    file-done       index, key, size, path, reason, adopted,
                    outcome ("verified" | "checked" | "checked-part"); a subset is "verified" if it was taken out of a
                    verified whole object
    file-whole      index, key, reason                           a subset is wanted, but the whole is fetched, or
                                                                 kept; reason: what it has, such as "chunks
                                                                 without a checksum"
    file-failed     index, key, reason, remedy, kind
    state           state, reason, kind                          kind: "" if no error is the cause
    second-chance   round, files, delay                          failed files are tried again in `delay` seconds
    throttled       workers, delay
    ranges-ignored  index, key                                   responses contain whole objects, not the ranges; at
                                                                 most once per run, for the first such object
    fewer-workers   workers, wanted, reason, remedy, kind        the system allows no more threads
    progress        state, reason, total_files, done_files, verified_files, checked_files, failed_files, total_bytes,
                    done_bytes, fetched_bytes, written_bytes (of the finished files), speed, time_left, elapsed,
                    workers, allowed, in_flight, rate_limit, retries, throttles, barren_attempts, held_files,
                    auto, workers_reason, checked_part_files,
                    active [{index, key, size, done, speed, connections, proving}]
                                                                 once per second, and at the end
    summary         files, bytes, verified, checked, checked_part (parts of files), failed, missing, unfinished,
                    stopped, error, remedy, kind, fetched_bytes, written_bytes, elapsed,
                    checked_because [{reason, files, keys}]      files that are checked but not verified; the first
                                                                 200 keys of each reason
merge; download and resume with --merge
    merged          path, size, files, times (numbers), first, last ("YYYY-MM-DDTHH", UTC), missing [{first, last}]
                    (times between these that no file has), kept (whether it was there already), csv (path or null)
    not-merged      name, reason, remedy, kind
    merge-summary   merged, kept, failed                         numbers of merged files
preview
    field           path, variable, long_name, units, valid_time and first, last ("YYYY-MM-DDTHH:MM", UTC; null without
                    times), times (number), level (hPa or null), levels, min, mean (area-weighted), max (null without
                    values), kind ("grid" | "points"), shape, picture (path or null)
sessions
    known-session   session, folder, title, state ("interrupted" | "done" | "running" | "folder missing" | "damaged"),
                    files, done_files, failed, bytes, done_bytes, created, updated
update
    update          title, folder, session, new, new_bytes, unfinished, replaced, withdrawn, missing (numbers of files);
                    then `latest`, and the records of a download if anything is fetched
    replaced        key, size, etag, last_modified, recorded_size, recorded_etag, taken (whether it is fetched again)
    withdrawn       key, size, etag                              a finished file that is not in the bucket any more
    schedule        system, name, text, files [{path, text}], commands, installed
queue
    job             job (number), place, title, selection or keys (number) and subset, folder, settings, merge, csv,
                    state ("waiting" | "running" | "paused" | "done" | "failed" | "incomplete"), reason, remedy,
                    kind, failed, missing, unfinished (numbers of files), session, added, started, ended
                                                                 `queue add`, `list` and `move`
    job-changed     job, state                                   `queue pause` and `resume`
    job-removed     job
    job-started     job, title, folder                           `queue run`, followed by the records of a download
    job-ended       job, state, reason, remedy, session, kind, failed, missing, unfinished
prepare
    run             run, folder, blocks (number), largest (bytes)
work
    block           run, block, files, waited (seconds)          followed by the records of a download, for each block
gather
    block-state     number, files, done_files, failed, total_bytes, done_bytes, ended, owner
    gathered        run, blocks, remaining, files, verified, checked, checked_part, failed, missing, bytes, done_bytes
sbatch
    script          run, tasks, text
download --dask
    cluster-note    text                                         a block moves, or a computer is not used
    cluster         run, blocks, moved, excluded                 before the summary
verify
    proven          key, path, condition ("verified" | "checked" | "checked-part" | "wrong" | "absent" | "unknown"),
                    reason
    verify-summary  session, files, bytes, verified, checked, checked-part, wrong, absent, unknown, elapsed
                                                                 with --repair, followed by the records of a download
export
    exporting       month ("YYYY-MM"; "" at the end), done, total (months)                      at most once per second
    exported        path, variables, times (number), first, last ("YYYY-MM-DDTHH", UTC; "" without times), missing
                    {variable: hours that no file has}, kept (whether it was there already)
audit
    audited         key, variable, first, last (valid hours "YYYY-MM-DDTHH", UTC; null without times), state (see
                    era5dl.archive.states.State, such as "proven", "missing", "truncated"), reason, part (null for a
                    whole file), path, size, session (null if there is none)
    audited-month   variable, month ("YYYYMM"; null without times), files, states {state: number of files}
    audit-summary   folder, files, bytes, complete, states {state: number of files}
    gaps            path, files, subset, command                 with --gaps: each list that was written
manifest
    manifest        path, files, bytes, sha256 (files whose SHA-256 is known), proofs {proof: number of files; "" if not
                    proven}, sums (path of SHA256SUMS or null)
    compared        path, key, match ("same" | "changed" | "gone" | "unreadable" | "no-digest"), reason
                                                                 with --check: each file; else the changed ones
    manifest-check  files, same, changed, gone, unreadable, no_digest                          with --check
cite
    citation        folder, files, variables [{variable, long_name}], first, last, accessed [first, last] (days; null if
                    no session is known), sources, references [{id, authors, year, title, where, doi, note}],
                    acknowledgement, licence, terms, text, bibtex
diagnose
    diagnosis       the fields of era5dl.diagnosis.network_test.NetworkTest, and verdict (one sentence)
demo
    demo-file       key, path, size, sha256, identical, content
    demo-subset     key, path, size, identical, content
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from enum import Enum
from typing import Any, TextIO

from era5dl.engine.events import (
    Event,
    FetchedWhole,
    FewerWorkers,
    FileChanged,
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

_EVENT_NAMES: dict[type, str] = {
    FileStarted: "file-started",
    FileRetrying: "file-retrying",
    FileRestarted: "file-restarted",
    FetchedWhole: "file-whole",
    FileChanged: "file-changed",
    FileDone: "file-done",
    FileFailed: "file-failed",
    StateChanged: "state",
    RetryRoundScheduled: "second-chance",
    Throttled: "throttled",
    FewerWorkers: "fewer-workers",
    RangesIgnored: "ranges-ignored",
}


READER_GONE = errno.EINVAL if os.name == "nt" else errno.EPIPE
"""Error number of a write to a pipe whose reader has ended, such as `more` after Q."""


@contextlib.contextmanager
def stdout_errors() -> Iterator[None]:
    """Context manager: raise Era5Error when stdout cannot be written, BrokenPipeError when its reader has ended."""
    try:
        yield
    except OSError as error:
        if error.errno == READER_GONE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise Era5Error(
            f"standard output cannot be written: {error.strerror or error}",
            remedy="Free some space on its disk, or redirect it to another place.",
        ) from error


class JsonWriter:
    """Writes records to a stream and flushes each one, because a reader may be waiting for it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_progress = 0.0

    def write(self, event: str, **fields: Any) -> None:
        """Write one record. Values may be dataclasses (written as objects), enums (their value) and paths (text)."""
        record = {"event": event, "time": round(time.time(), 3), **fields}
        with stdout_errors():
            self._stream.write(json.dumps(record, default=_json_value) + "\n")
            self._stream.flush()

    def end(self, exit_code: int, error: str = "", remedy: str = "") -> None:
        """Write the last record of a command. error: "" on success."""
        self.write("end", exit_code=exit_code, error=error, remedy=remedy)

    def event(self, event: Event) -> None:
        """Write an event of the engine. RunEnded has no record of its own; `summary` contains it."""
        if not isinstance(event, RunEnded):
            self.write(_EVENT_NAMES[type(event)], **_fields(event))

    def progress(self, snapshot: Snapshot, *, force: bool = False) -> None:
        """Write a progress record, at most once per second unless `force`."""
        now = time.monotonic()
        if force or now >= self._next_progress:
            self._next_progress = now + 1.0
            self.write("progress", **_fields(snapshot))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _json_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Enum):
        return value.value
    return str(value)


def event_names() -> set[str]:
    """Return the names of the events documented in the module's docstring."""
    return set(re.findall(r"^ {4}([a-z][a-z-]*)  ", __doc__ or "", re.MULTILINE))
