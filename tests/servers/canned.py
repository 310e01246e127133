"""HTTP server with prepared responses, given byte by byte, which no S3 server would send."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from tests.faultlab.http import Answer


class Canned:
    """Serves on 127.0.0.1 over http and closes the connection after each response. Use it as a context manager.

    answers: sent one after the other, the last one for all further requests; each an Answer, or bytes that are sent
    unchanged. hold: after each response the connection stays open until this event is set.
    """

    bucket = "nsf-ncar-era5"
    ca_file = None

    def __init__(self, *answers: Answer | bytes, hold: threading.Event | None = None) -> None:
        self.asked: list[str] = []  # the headers of each request
        self.answers = list(answers)
        self._hold = hold
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="canned", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Canned:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, if the system supports it
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(10)
                head = b""
                while b"\r\n\r\n" not in head and (data := sock.recv(65536)):
                    head += data
                self.asked.append(head.decode("latin-1"))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, Answer):
                    answer = answer.but(add={"Connection": "close"})
                    answer = answer.head() + (b"" if head.startswith(b"HEAD ") else bytes(answer.body))
                sock.sendall(answer)
                if self._hold is not None:
                    self._hold.wait(10)
