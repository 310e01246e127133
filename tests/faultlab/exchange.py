"""One HTTP exchange (request and response) on a connection: what the functions in `kinds` work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.faultlab.bodies import BLOCK, Body, First, Stream, streamed
from tests.faultlab.connection import Connection
from tests.faultlab.faults import Fault
from tests.faultlab.http import Answer, Request
from tests.faultlab.origins import Origin
from tests.faultlab.stats import LoggedRequest, Recorder

SLICE = 0.02  # seconds between two sends of a body whose speed is limited


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, its connection, and the fault that strikes it.

    number: of the request, counted over the whole server. speed: bytes per second of this connection, None unlimited.
    spoilt: whether the payload of this answer is worthless from the start. outage: makes the server refuse connections
    for so long; lose_name: takes its name out of the names that resolve.
    """

    connection: Connection
    request: Request
    fault: Fault
    origin: Origin
    number: int
    speed: int | None
    recorder: Recorder
    logged: LoggedRequest
    spoilt: bool
    outage: Callable[[float], None]
    lose_name: Callable[[float], None]
    opened: list[Stream] = field(default_factory=list)

    def honest(self, **headers: str | None) -> Answer:
        """What S3 would answer; with some headers of the request replaced, or left out where None, if so wished."""
        asked = {name: value for name, value in self.request.headers.items() if name not in _header_names(headers)}
        asked |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        return self._asked(replace(self.request, headers=asked))

    def size_of_object(self) -> int:
        """How many bytes the whole object has."""
        headers = {name: value for name, value in self.request.headers.items() if name != "range"}
        return self._asked(replace(self.request, method="HEAD", headers=headers)).length or 0

    def answer(self, answer: Answer, *, speed: int | None = None) -> bool:
        """Send all of an answer; True, so that an act can end with it. HEAD gets no body."""
        self.connection.send(answer.head())
        if self.request.method != "HEAD":
            self.send_body(answer.body, counted=answer.payload, speed=speed)
        return True

    def part_of_body(self) -> Stream:
        """Send the honest headers and the body up to where the fault strikes; returns what was not sent."""
        answer = self.honest()
        body = streamed(answer.body)
        at = self.strike_at(answer)
        self.connection.send(answer.head())
        self.send_body(First(body, at), counted=answer.payload)
        return body

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

    def send_body(self, body: Body, *, counted: bool = True, speed: int | None = None) -> None:
        """Send bytes at the speed of this connection, or at `speed`, whichever is lower; counted as they leave."""
        limits = [limit for limit in (self.speed, speed) if limit]
        limit = min(limits, default=0)
        least = max(1, int(SLICE * limit))  # at once: byte by byte, the server's CPU would be the limit
        stream = streamed(body)
        began, sent = time.monotonic(), 0
        while len(stream):
            allowed = int((time.monotonic() - began) * limit) + least - sent if limit else BLOCK
            if allowed >= min(least, len(stream)):
                piece = stream.read(min(allowed, BLOCK))
                if counted:  # first, so that who has the bytes finds them counted
                    self.recorder.sent(self.logged, len(piece), spoilt=self.spoilt)
                self.connection.send(piece)
                sent += len(piece)
            else:
                self.connection.pause(SLICE)

    def replace_object(self) -> None:
        """Put a new version in the object's place; all that was sent of the old one was in vain."""
        self.origin.replace(self.request.key)
        self.recorder.replaced(self.logged)

    def spoil_object(self) -> None:
        """Some bytes of this answer are wrong: count the object as lost, for no checksum tells which bytes they are."""
        self.recorder.spoilt(self.logged, self.size_of_object())

    def close(self) -> None:
        """Let go of what was opened for this request and not read to its end."""
        for stream in self.opened:
            stream.close()

    def _asked(self, request: Request) -> Answer:
        answer = self.origin.answer(request)
        if isinstance(answer.body, Stream):
            self.opened.append(answer.body)
        return answer


def _header_names(keywords: dict[str, str | None]) -> set[str]:
    return {name.replace("_", "-") for name in keywords}
