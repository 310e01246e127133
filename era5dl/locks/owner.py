"""The owner recorded in a lock file, and whether it may still be alive.

Process numbers mean something only to the kernel that gave them, and only within one PID namespace: two containers of
one host name are two worlds, and so are two hosts of one name. So an owner records the kernel's boot and the namespace
of its process number, where the system tells them, and the host name decides only where it does not. Everybody else is
judged by the last touch of the lock file, in the time of the file server alone.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from era5dl.validation import Fields, Malformed, open_regular, parse_json

SILENCE = 60.0  # seconds without a touch after which an owner whose process cannot be looked at counts as dead
_START_SLACK = 2.0  # seconds by which the start of one process may seem to differ: clocks are set
_LIMIT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Owner:
    """Who says that a lock is theirs."""

    pid: int
    host: str
    started: float  # when the process began
    since: float  # when it took the lock
    program: str
    token: str
    kernel: bool  # it holds the operating system's lock, too
    boot: str = ""  # of the kernel it runs under; "" where the system does not tell
    pids: str = ""  # the namespace of `pid`

    @classmethod
    def parse(cls, data: bytes) -> Owner:
        item = Fields(parse_json(data))
        return cls(
            item.whole("pid", 1, 2**40),
            item.text("host", 255),
            item.instant("started"),
            item.instant("since"),
            item.text("program", 255),
            item.hex("token", 16),
            item.flag("kernel"),
            item.text("boot", 64) if "boot" in item else "",
            item.text("pids", 64) if "pids" in item else "",
        )

    @classmethod
    def this_process(cls, token: str, *, kernel: bool) -> Owner:
        """This process, as the owner of a lock taken now."""
        started = process_start(os.getpid()) or 0.0
        script = Path(sys.argv[0] if sys.argv else "")
        program = (script.parent.name if script.name == "__main__.py" else script.name)[:100] or "python"
        boot, pids = _world()
        return cls(os.getpid(), socket.gethostname(), started, time.time(), program, token, kernel, boot, pids)

    @property
    def same_kernel(self) -> bool:
        """Whether it runs, or ran, under the kernel of this process, since it was booted."""
        boot, _ = _world()
        return self.boot == boot and (bool(boot) or self.host == socket.gethostname())

    @property
    def same_pids(self) -> bool:
        """Whether its process number means the same process to us."""
        return self.same_kernel and self.pids == _world()[1]

    @property
    def gone(self) -> bool:
        """Whether its process has certainly ended."""
        if not self.same_pids:
            return False
        started = process_start(self.pid)
        return started is None or self._another(started)

    @property
    def running(self) -> bool:
        """Whether its process certainly still exists."""
        if not self.same_pids:
            return False
        started = process_start(self.pid)
        return bool(started) and not self._another(started or 0.0)

    def _another(self, started: float) -> bool:
        """Whether the process that has its number now, and began at `started`, is another one."""
        return bool(started and self.started) and abs(started - self.started) > _START_SLACK

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.program} (process {self.pid} on {self.host}, since {since})"


def look(path: Path) -> tuple[Owner | None, float]:
    """Whom the lock file names, None when it says nothing that can be read; and when it was touched.

    Both from one opening: NFS may answer `stat` from memory for a minute, but asks the server at each `open`.
    Raises OSError when it cannot be opened, Malformed when it is no plain file.
    """
    with open_regular(path) as file:
        touched = os.fstat(file.fileno()).st_mtime
        data = file.read(_LIMIT)
    try:
        return Owner.parse(data), touched
    except Malformed:
        return None, touched


def read_owner(path: Path) -> Owner | None:
    """Who the lock file names; None when it is not there or says nothing that can be read."""
    try:
        return look(path)[0]
    except (OSError, Malformed):
        return None


def process_start(pid: int) -> float | None:
    """When the process of that number began, 0 when it exists and does not tell; None when there is none.

    A dead one that nobody has waited for is none.
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
def _world() -> tuple[str, str]:
    """The boot of this kernel and the namespace of our process numbers; "" for what the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:64]
        return boot, str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116
    except (OSError, ValueError):
        return "", ""
