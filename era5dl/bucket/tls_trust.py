"""TLS trust: a CA file that was configured, else the system's certificate store and the bundled one.

The system's store has what a company's IT put there; the bundled one has the usual authorities where the system has no
store, as in small containers, or an old one. Certificates and host names are always verified.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from collections.abc import Mapping

from era5dl.errors import Untrusted

SETTING = "--ca-bundle"
OWN_VARIABLE = "ERA5DL_CA_BUNDLE"
VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# There the system itself judges, at each handshake. truststore holds a lock of the context meanwhile, so that one that
# is shared would make all handshakes wait for the slowest.
_SYSTEM_JUDGES = sys.platform in ("win32", "darwin")


class Trust:
    """file: the CA file that alone is believed, or None. source: the flag or variable that names it."""

    def __init__(self, ca_file: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.file: str | None = ca_file
        self.source = ""
        if ca_file:
            self.source = OWN_VARIABLE if environ.get(OWN_VARIABLE, "").strip() == ca_file else SETTING
        else:
            self.source = next((name for name in VARIABLES if environ.get(name)), "")
            self.file = environ[self.source] if self.source else None
        self._lock = threading.Lock()
        self._shared: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """For a new connection. Raises Untrusted when the CA file cannot be used."""
        if self.file is None and _SYSTEM_JUDGES:
            return _of_system_and_bundle()
        with self._lock:
            if self._shared is None:  # reading the certificates takes as long as some handshakes
                self._shared = self._of_file(self.file) if self.file else _of_system_and_bundle()
            return self._shared

    def _of_file(self, file: str) -> ssl.SSLContext:
        context = _plain()
        try:
            context.load_verify_locations(file)
        except OSError as error:  # ssl.SSLError is one
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise Untrusted(
                f"the CA file {file} (from {self.source}) cannot be used: {reason}",
                remedy=f"Let {self.source} name a PEM file with the certificates to trust.",
            ) from error
        return context


def _of_system_and_bundle() -> ssl.SSLContext:
    import truststore
    from botocore.httpsession import get_cert_path

    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not _SYSTEM_JUDGES:
        # The same certificates in a context without that lock: truststore loads them when it first wraps something.
        wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        context = wrapped.context
        context.sslsocket_class, context.sslobject_class = ssl.SSLSocket, ssl.SSLObject
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.load_verify_locations(get_cert_path(True))
    return context


def _plain() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificates and host names
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    return context
