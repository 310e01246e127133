"""One request on one connection, with all that a fault needs to play its part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.faultlab.faults import Fault
from tests.faultlab.http import Answer, Request
from tests.faultlab.objects import Objects
from tests.faultlab.s3 import honest_answer
from tests.faultlab.wire import BLOCK, Connection

SLICE = 0.02  # seconds between two sends of a body whose speed is limited


@dataclass(frozen=True, slots=True)
class Scene:
    """What the acts in `kinds` work with.

    number: of the request, counted over the whole server. speed: bytes per second of this connection, None unlimited.
    count: told how many bytes of an object are being sent. outage: makes the server refuse connections for so long.
    """

    connection: Connection
    request: Request
    fault: Fault
    objects: Objects
    bucket: str
    number: int
    speed: int | None
    count: Callable[[int], None]
    outage: Callable[[float], None]

    def honest(self, *, without: str = "") -> Answer:
        """What S3 would answer, with one header of the request overlooked if so wished."""
        headers = {name: value for name, value in self.request.headers.items() if name != without}
        return honest_answer(self.objects, self.bucket, replace(self.request, headers=headers))

    def answer(self, answer: Answer, *, speed: int | None = None) -> bool:
        """Send all of an answer; True, so that an act can end with it. HEAD gets no body."""
        self.connection.send(answer.head())
        if self.request.method != "HEAD":
            self.send_body(answer.body, counted=answer.payload, speed=speed)
        return True

    def part_of_body(self) -> bytes | memoryview:
        """Send the honest headers and the body up to where the fault strikes; returns what was not sent."""
        answer = self.honest()
        at = self.strike_at(answer)
        self.connection.send(answer.head())
        self.send_body(answer.body[:at], counted=answer.payload)
        return answer.body[at:]

    def strike_at(self, answer: Answer) -> int:
        """After how many bytes of this body the fault strikes."""
        length = len(answer.body)
        return int(length * self.fault.share) if self.fault.at is None else min(self.fault.at, length)

    def seconds(self, default: float) -> float:
        """How long the fault lasts."""
        return default if self.fault.seconds is None else self.fault.seconds

    def retry_after(self) -> dict[str, str]:
        """A Retry-After header, if the fault names seconds."""
        return {} if self.fault.seconds is None else {"Retry-After": str(round(self.fault.seconds))}

    def send_body(self, body: bytes | memoryview, *, counted: bool = True, speed: int | None = None) -> None:
        """Send bytes at the speed of this connection, or at `speed`, whichever is lower; counted as they leave."""
        limits = [limit for limit in (self.speed, speed) if limit]
        limit = min(limits, default=0)
        view = memoryview(body)
        began, sent = time.monotonic(), 0
        while sent < len(view):
            allowed = int((time.monotonic() - began) * limit) + 1 if limit else sent + BLOCK
            piece = view[sent : max(allowed, sent)]
            if piece:
                if counted:
                    self.count(len(piece))  # first, so that who has the bytes finds them counted
                self.connection.send(piece)
                sent += len(piece)
            else:
                self.connection.pause(SLICE)
