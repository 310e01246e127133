"""A place where connecting gets no answer: a listener whose queue is full, so that the system drops what comes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def deaf(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Its port, while it is."""
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
