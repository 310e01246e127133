"""A port that does not answer connection attempts: its queue is full, so that the system drops them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def unresponsive_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Context manager: the number of a port that does not answer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            queued = stack.enter_context(socket.socket(family))
            queued.setblocking(False)
            queued.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])
