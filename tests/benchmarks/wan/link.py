"""A long, lossy link on one machine: two network namespaces, and a program that carries packets between them.

The kernel's TCP is the real one on both ends; `wan.c` delays, drops and queues packets in user space, since not every
kernel has netem. Needs Linux, root, gcc and ip (iproute2). The server's namespace has the address `SERVER`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER, CLIENT = "10.88.0.1", "10.88.0.2"
SOURCE = Path(__file__).with_name("wan.c")
BUFFERS = {"net.ipv4.tcp_rmem": "4096 131072 16777216", "net.ipv4.tcp_wmem": "4096 65536 16777216"}


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of a link; the other one is the same.

    delay: milliseconds, half of the round trip. loss: percent of packets. rate: Mbit/s. queue: KB. congestion: the
    sender's algorithm.
    """

    delay: float
    loss: float
    rate: float
    queue: int = 4000
    congestion: str = "cubic"

    def words(self) -> list[str]:
        """As `wan.c` takes them."""
        return [str(self.delay), str(self.loss), str(self.rate), str(self.queue)]

    def __str__(self) -> str:
        return f"{2 * self.delay:g} ms, {self.loss:g} % loss, {self.rate:g} Mbit/s, {self.congestion}"


class LongLink:
    """A link that is up. server, client: words that run a command at either end."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.server = ["ip", "netns", "exec", f"{name}-server"]
        self.client = ["ip", "netns", "exec", f"{name}-client"]
        self._process = process

    def change(self, link: Link) -> None:
        """Make it another one, at once; not its congestion control."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(link.words()) + "\n")
        self._process.stdin.flush()


def obstacle() -> str:
    """Why there can be no such link here; "" when there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        return "needs Linux, root and /dev/net/tun"
    missing = [program for program in ("gcc", "ip", "sysctl") if shutil.which(program) is None]
    return f"needs {', '.join(missing)}" if missing else ""


@contextmanager
def long_link(link: Link) -> Iterator[LongLink]:
    """Set it up, and take it down afterwards. Raises CalledProcessError."""
    name = f"wan{os.getpid()}"
    ends = {f"{name}-server": ("wan0", SERVER, CLIENT), f"{name}-client": ("wan1", CLIENT, SERVER)}
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "wan"
        _run("gcc", "-O2", "-o", str(program), str(SOURCE))
        try:
            for namespace in ends:
                _run("ip", "netns", "add", namespace)
                _run("ip", "-n", namespace, "link", "set", "lo", "up")
                for key, value in BUFFERS.items():
                    _run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"{key}={value}")
            where = [word for namespace, (device, _, _) in ends.items() for word in (namespace, device)]
            with subprocess.Popen(
                [str(program), *where, *link.words()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                try:
                    assert process.stdout.readline() == "ready\n"
                    for namespace, (device, own, other) in ends.items():
                        _run("ip", "-n", namespace, "addr", "add", own, "peer", other, "dev", device)
                        _run("ip", "-n", namespace, "link", "set", device, "up", "txqueuelen", "10000")
                    yield LongLink(name, process)
                finally:
                    process.stdin.close()  # which ends it
        finally:
            for namespace in ends:
                subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def at(end: Sequence[str], words: Sequence[str]) -> list[str]:
    """The command, run at this end of the link."""
    return [*end, *words]
