"""HTTP exchange (a request and its response) on a connection, on which the functions in `kinds` operate."""

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
    """A request, its connection, and its fault.

    number: sequence number of the request on this server. speed: returns the bytes per second of this connection at
    present; None for no limit. spoilt: whether the payload of the response is useless from the start. outage(seconds):
    makes the server refuse connections. lose_name(seconds): makes the resolution of its host name fail.
    """

    connection: Connection
    request: Request
    fault: Fault
    origin: Origin
    number: int
    speed: Callable[[], int | None]
    recorder: Recorder
    logged: LoggedRequest
    spoilt: bool
    outage: Callable[[float], None]
    lose_name: Callable[[float], None]
    opened: list[Stream] = field(default_factory=list)

    def honest(self, **headers: str | None) -> Answer:
        """Return the response of S3. headers: replace headers of the request; None removes one."""
        asked = {name: value for name, value in self.request.headers.items() if name not in _header_names(headers)}
        asked |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        return self._asked(replace(self.request, headers=asked))

    def size_of_object(self) -> int:
        """Return the size of the whole object in bytes."""
        headers = {name: value for name, value in self.request.headers.items() if name != "range"}
        return self._asked(replace(self.request, method="HEAD", headers=headers)).length or 0

    def answer(self, answer: Answer, *, speed: int | None = None) -> bool:
        """Send a whole response, without the body for HEAD. Return True, as the result of a function in `kinds`."""
        self.connection.send(answer.head())
        if self.request.method != "HEAD":
            self.send_body(answer.body, counted=answer.payload, speed=speed)
        return True

    def part_of_body(self) -> Stream:
        """Send the correct headers, and the body up to the position of the fault. Return the rest of the body."""
        answer = self.honest()
        body = streamed(answer.body)
        at = self.strike_at(answer)
        self.connection.send(answer.head())
        self.send_body(First(body, at), counted=answer.payload)
        return body

    def strike_at(self, answer: Answer) -> int:
        """Return the position of the fault in this body."""
        length = len(answer.body)
        return int(length * self.fault.share) if self.fault.at is None else min(self.fault.at, length)

    def seconds(self, default: float) -> float:
        """Return the duration of the fault."""
        return default if self.fault.seconds is None else self.fault.seconds

    def retry_after(self) -> dict[str, str]:
        """Return a Retry-After header if the fault has `seconds`, else no header."""
        return {} if self.fault.seconds is None else {"Retry-After": str(round(self.fault.seconds))}

    def send_body(self, body: Body, *, counted: bool = True, speed: int | None = None) -> None:
        """Send bytes at the lower of this connection's speed and `speed`, and count them."""
        stream = streamed(body)
        limit, began, sent = -1, 0.0, 0
        while len(stream):
            if limit != (now := min((some for some in (self.speed(), speed) if some), default=0)):
                limit, began, sent = now, time.monotonic(), 0
                least = max(1, int(SLICE * limit))  # per send: with single bytes the server's CPU would be the limit
            allowed = int((time.monotonic() - began) * limit) + least - sent if limit else BLOCK
            if allowed >= min(least, len(stream)):
                piece = stream.read(min(allowed, BLOCK))
                if counted:  # before sending, so that bytes are counted when the client has them
                    self.recorder.sent(self.logged, len(piece), spoilt=self.spoilt)
                self.connection.send(piece)
                sent += len(piece)
            else:
                self.connection.pause(SLICE)

    def replace_object(self) -> None:
        """Replace the object by a new version, and count the sent bytes of the old one as destroyed."""
        self.origin.replace(self.request.key)
        self.recorder.replaced(self.logged)

    def spoil_object(self) -> None:
        """Count the whole object as destroyed, because no checksum shows which bytes of this response are wrong."""
        self.recorder.spoilt(self.logged, self.size_of_object())

    def close(self) -> None:
        """Close the streams that were opened for this request and not read to their end."""
        for stream in self.opened:
            stream.close()

    def _asked(self, request: Request) -> Answer:
        answer = self.origin.answer(request)
        if isinstance(answer.body, Stream):
            self.opened.append(answer.body)
        return answer


def _header_names(keywords: dict[str, str | None]) -> set[str]:
    return {name.replace("_", "-") for name in keywords}
