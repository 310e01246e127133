"""Lock owner: the process recorded in a lock file, and whether it is still alive.

A process number means something only to the kernel that assigned it, and only within one PID namespace. Two containers
may share a host name, and so may two computers. So an owner records the boot id of its kernel and its PID namespace
where the system reveals them; the host name decides only where it does not. Any other owner is judged by its
heartbeat alone: the modification time of the lock file, measured by the clock of the file server.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from era5dl.validation import JsonObject, Malformed, open_regular_file, parse_json

STALE_AFTER = 60.0  # seconds without a heartbeat until an owner whose process cannot be examined counts as dead
_START_TOLERANCE = 2.0  # seconds by which the start time of one process may appear to change: clocks are set
_READ_LIMIT = 16 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a lock, with the fields of the lock file. Times are seconds since 1970."""

    pid: int
    host: str
    started: float  # when the process started
    since: float  # when it acquired the lock
    program: str
    token: str
    kernel: bool  # it also holds the operating system's lock
    boot: str = ""  # boot id of its kernel; "" where the system does not reveal it
    pids: str = ""  # the PID namespace of `pid`

    @classmethod
    def parse(cls, data: bytes) -> Owner:
        """Return the owner that the content of a lock file names. Raises Malformed."""
        item = JsonObject(parse_json(data))
        return cls(
            item.integer("pid", 1, 2**40),
            item.text("host", 255),
            item.timestamp("started"),
            item.timestamp("since"),
            item.text("program", 255),
            item.hex("token", 16),
            item.boolean("kernel"),
            item.text("boot", 64) if "boot" in item else "",
            item.text("pids", 64) if "pids" in item else "",
        )

    @classmethod
    def this_process(cls, token: str, *, kernel: bool) -> Owner:
        """Return this process as the owner of a lock acquired now."""
        started = process_start(os.getpid()) or 0.0
        script = Path(sys.argv[0] if sys.argv else "")
        program = (script.parent.name if script.name == "__main__.py" else script.name)[:100] or "python"
        boot, pids = _boot_and_pid_namespace()
        return cls(os.getpid(), socket.gethostname(), started, time.time(), program, token, kernel, boot, pids)

    @property
    def same_kernel(self) -> bool:
        """Whether it runs, or ran, under the kernel of this process since its last boot."""
        boot, _ = _boot_and_pid_namespace()
        return self.boot == boot and (bool(boot) or self.host == socket.gethostname())

    @property
    def same_pid_namespace(self) -> bool:
        """Whether its process number means the same process to us."""
        return self.same_kernel and self.pids == _boot_and_pid_namespace()[1]

    @property
    def is_dead(self) -> bool:
        """Whether its process has certainly ended."""
        if not self.same_pid_namespace:
            return False
        started = process_start(self.pid)
        return started is None or self._is_other_process(started)

    @property
    def is_running(self) -> bool:
        """Whether its process certainly still exists."""
        if not self.same_pid_namespace:
            return False
        started = process_start(self.pid)
        return bool(started) and not self._is_other_process(started or 0.0)

    def _is_other_process(self, started: float) -> bool:
        """Whether its process number has been reused by a process that started at `started`."""
        return bool(started and self.started) and abs(started - self.started) > _START_TOLERANCE

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.program} (process {self.pid} on {self.host}, since {since})"


def read_lock_file(path: Path) -> tuple[Owner | None, float]:
    """Return the owner that a lock file names, None when its content is unreadable, and its modification time.

    Both come from one `open`: NFS may answer `stat` from its cache for a minute, but asks the server at each `open`.
    Raises OSError when it cannot be opened, Malformed when it is not a regular file.
    """
    with open_regular_file(path) as file:
        modified = os.fstat(file.fileno()).st_mtime
        data = file.read(_READ_LIMIT)
    try:
        return Owner.parse(data), modified
    except Malformed:
        return None, modified


def read_owner(path: Path) -> Owner | None:
    """Return the owner that a lock file names; None when the file is missing or unreadable."""
    try:
        return read_lock_file(path)[0]
    except (OSError, Malformed):
        return None


def process_start(pid: int) -> float | None:
    """Return when a process started, 0 when it exists but does not reveal that, None when there is no such process.

    A zombie, which has ended but was not waited for, counts as no process.
    """
    import psutil  # not needed to import this package

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0 if psutil.pid_exists(pid) else None  # /proc may be mounted so that it hides other users' processes
    except psutil.Error:
        return 0.0


@cache
def _boot_and_pid_namespace() -> tuple[str, str]:
    """Return the boot id of this kernel and the PID namespace of this process; "" for what is not revealed."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:64]
        return boot, str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    except (OSError, ValueError):
        return "", ""
