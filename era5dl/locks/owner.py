"""Lock owner: the process recorded in a lock file, whether it is still alive, and whether its lock is stale.

A process number is valid only under the kernel that assigned it, and within one PID namespace. Two containers or two
computers may have the same host name. So an owner records the boot id of its kernel and its PID namespace if the system
reports them; otherwise the host name is used. For owners on other systems only the heartbeat is used: the modification
time of the lock file, by the clock of the file server.

An owner may have been given its work by a batch system or a cluster scheduler, see `Grant`.
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

STALE_AFTER = 60.0  # seconds without a heartbeat after which an owner whose process cannot be examined counts as dead
_START_TOLERANCE = 2.0  # seconds; the start time of a process may seem to change when the clock is set
_READ_LIMIT = 16 * 1024  # bytes
held_tokens: set[str] = set()  # tokens of the locks that this process holds


@dataclass(frozen=True, slots=True)
class Grant:
    """Who gave this work to this process: a task of a batch system or of a cluster scheduler.

    Such a system gives a task to another node only if it considers the earlier node dead. So a lock whose owner has the
    same grant is taken over at once, without waiting for the silence of its heartbeat. epoch: how often the task was
    given before. name: "" if nobody gave it.
    """

    name: str = ""
    epoch: int = 0

    def supersedes(self, owner: Owner) -> bool:
        """Whether the work of `owner` was given to this process instead. Never true for locks of this process."""
        same_task = bool(self.name) and owner.grant == self.name and owner.epoch <= self.epoch
        return same_task and owner.token not in held_tokens


NO_GRANT = Grant()


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
    boot: str = ""  # boot id of its kernel; "" if the system does not report it
    pids: str = ""  # the PID namespace of `pid`
    shared: bool = False  # the operating system's lock is valid on all computers that share this folder
    grant: str = ""  # `Grant.name`
    epoch: int = 0  # `Grant.epoch`

    @classmethod
    def parse(cls, data: bytes) -> Owner:
        """Parse the content of a lock file. Raises Malformed."""
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
            item.boolean("shared") if "shared" in item else False,
            item.text("grant", 255) if "grant" in item else "",
            item.integer("epoch", 0, 2**31) if "epoch" in item else 0,
        )

    @classmethod
    def this_process(cls, token: str, *, kernel: bool, shared: bool = False, grant: Grant = NO_GRANT) -> Owner:
        """Return this process as the owner of a lock that it acquires now."""
        started = process_start(os.getpid()) or 0.0
        script = Path(sys.argv[0] if sys.argv else "")
        program = (script.parent.name if script.name == "__main__.py" else script.name)[:100] or "python"
        boot, pids = _boot_and_pid_namespace()
        now = time.time()
        place = os.getpid(), socket.gethostname(), started, now, program, token, kernel, boot, pids
        return cls(*place, shared, grant.name, grant.epoch)

    @property
    def same_kernel(self) -> bool:
        """Whether the owner's process runs or ran under the same kernel as this process, since its last boot."""
        boot, _ = _boot_and_pid_namespace()
        return self.boot == boot and (bool(boot) or self.host == socket.gethostname())

    @property
    def same_pid_namespace(self) -> bool:
        """Whether this process can look up the owner by its process number."""
        return self.same_kernel and self.pids == _boot_and_pid_namespace()[1]

    @property
    def is_dead(self) -> bool:
        """Whether the owner's process has certainly ended."""
        if not self.same_pid_namespace:
            return False
        started = process_start(self.pid)
        return started is None or self._is_other_process(started)

    @property
    def is_running(self) -> bool:
        """Whether the owner's process certainly still exists."""
        if not self.same_pid_namespace:
            return False
        started = process_start(self.pid)
        return bool(started) and not self._is_other_process(started or 0.0)

    def _is_other_process(self, started: float) -> bool:
        """Whether the process that started at `started` is another one, to which the number was assigned again."""
        return bool(started and self.started) and abs(started - self.started) > _START_TOLERANCE

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.program} (process {self.pid} on {self.host}, since {since})"


def held_by_this_process(token: str) -> bool:
    """Return whether this process holds the lock with this token."""
    return token in held_tokens


def is_stale(owner: Owner, age: float) -> bool:
    """Return whether a lock may be taken over from `owner`: its process is dead, or its heartbeat has stopped.

    age: seconds since the last heartbeat; used only if the process cannot be examined.
    """
    if owner.token in held_tokens or owner.is_running:
        return False
    return owner.is_dead or age >= STALE_AFTER


def read_lock_file(path: Path) -> tuple[Owner | None, float]:
    """Return the owner in a lock file, None if its content is not valid, and the modification time of the file.

    The file is opened for both: NFS may answer `stat` from its cache for a minute, but each `open` asks the server.
    Raises OSError if it cannot be opened, Malformed if it is not a regular file.
    """
    with open_regular_file(path) as file:
        modified = os.fstat(file.fileno()).st_mtime
        data = file.read(_READ_LIMIT)
    try:
        return Owner.parse(data), modified
    except Malformed:
        return None, modified


def read_owner(path: Path) -> Owner | None:
    """Return the owner in a lock file; None if the file is missing or unreadable."""
    try:
        return read_lock_file(path)[0]
    except (OSError, Malformed):
        return None


def process_start(pid: int) -> float | None:
    """Return when a process started; 0 if it exists but its start is not known; None if there is no such process.

    A zombie counts as no process, because it has ended.
    """
    import psutil  # not needed to import this package

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0 if psutil.pid_exists(pid) else None  # /proc may hide the processes of other users
    except psutil.Error:
        return 0.0


@cache
def _boot_and_pid_namespace() -> tuple[str, str]:
    """Return the boot id of this kernel and the PID namespace of this process; "" for both if not available."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:64]
        return boot, str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    except (OSError, ValueError):
        return "", ""
