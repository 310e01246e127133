"""Waiting for the network before a job is planned: a job that starts during an outage must not fail because of it.

During a download the engine waits without a limit. Here the time is limited, because a server that never answers may
also have a wrong address, and the next job may have another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from era5dl.errors import Stopped, Unreachable

PATIENCE = 900.0  # seconds until the job fails
INTERVAL = 20.0  # seconds between two attempts

T = TypeVar("T")


def retry_while_unreachable(
    attempt: Callable[[], T], wait: Callable[[float], bool], on_wait: Callable[[Unreachable], object]
) -> T:
    """Return the result of `attempt`, which is repeated while the server cannot be reached.

    wait: waits for some seconds; returns True if the user has stopped it meanwhile. on_wait: called once, with the
    reason. Raises Stopped, the last Unreachable after PATIENCE, and any other error of `attempt` at once.
    """
    deadline = time.monotonic() + PATIENCE
    waited = False
    while True:
        try:
            return attempt()
        except Unreachable as error:
            if time.monotonic() > deadline:
                raise
            if not waited:
                on_wait(error)
            waited = True
        if wait(INTERVAL):
            raise Stopped
