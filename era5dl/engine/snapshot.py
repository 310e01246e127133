"""How far a run is: numbers that whoever draws asks for at its own pace."""

from __future__ import annotations

from dataclasses import dataclass

from era5dl.engine.events import State


@dataclass(frozen=True, slots=True)
class ActiveFile:
    """One object that is being fetched or proven right now. Sizes in bytes, speed in bytes per second."""

    index: int
    key: str
    size: int
    done: int
    speed: float
    connections: int
    proving: bool  # all bytes are here, their MD5 is being computed


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole run at one moment. Sizes in bytes, speeds in bytes per second, times in seconds.

    0 <= done_bytes <= total_bytes always: done_bytes counts each byte of each file once, however often it came.
    """

    state: State
    reason: str
    total_files: int
    done_files: int  # verified + checked
    verified_files: int
    checked_files: int
    failed_files: int
    total_bytes: int
    done_bytes: int
    fetched_bytes: int  # received in this run, those fetched twice included
    speed: float  # over the last few seconds
    time_left: float | None  # None before it can be known
    elapsed: float  # since this run began, pauses included
    active: tuple[ActiveFile, ...]
    workers: int  # wished for
    allowed: int  # at once, after throttling
    in_flight: int  # requests now
    rate_limit: int | None
    retries: int  # attempts after a fault, in this run
    throttles: int  # times the server asked to slow down, in this run
    barren_attempts: int  # attempts that brought no byte, in this run
    held_files: int = 0  # by the user
