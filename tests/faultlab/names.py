"""DNS failures for clients in this process: a host name of the fault server that can stop resolving.

    with FaultServer() as server, Names(server) as names:
        ...                             # point a client at names.endpoint_url
        server.lose_name(5)             # or by the fault "name-lost"

Only `socket.getaddrinfo` of this process is replaced, and only for this one name. A client elsewhere meets the same
when it is pointed at a name that nobody has (`http://s3.faultlab.invalid`), or when its resolver is taken away.
"""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faultlab.certificates import DOMAIN
from tests.faultlab.server import FaultServer


class Names:
    """While it is entered, `host` leads to the server, except when the server has lost its name."""

    def __init__(self, server: FaultServer) -> None:
        self._server = server
        self.host = f"s3-{server.port}.{DOMAIN}"
        self._real = socket.getaddrinfo
        self.failures = 0  # how often the name was asked for in vain

    @property
    def endpoint_url(self) -> str:
        return self._server.endpoint_url.replace("127.0.0.1", self.host)

    @property
    def bucket(self) -> str:
        return self._server.bucket

    @property
    def ca_file(self) -> Path | None:
        return self._server.ca_file

    def __enter__(self) -> Names:
        self._real, socket.getaddrinfo = socket.getaddrinfo, self._resolve
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        socket.getaddrinfo = self._real

    def _resolve(self, host: Any, *args: Any, **keywords: Any) -> Any:
        if host not in (self.host, self.host.encode()):
            return self._real(host, *args, **keywords)
        if not self._server.has_name:
            self.failures += 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real("127.0.0.1", *args, **keywords)
