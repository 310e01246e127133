"""TLS trust: a configured CA file, or the system's certificate store together with a bundled set of certificates.

The system's store may have the certificate authority of a company. The bundled certificates (certifi's or botocore's)
are for systems with an old store or without one, such as small containers. Certificates and host names are always
verified.
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
# On these systems truststore locks the context while the system verifies a handshake. With a shared context all
# handshakes would wait for the slowest one.
_SYSTEM_VERIFIES = sys.platform in ("win32", "darwin")


class TrustStore:
    """Creates TLS contexts.

    file: the CA file; if given, nothing else is trusted. source: the option or environment variable that names it.
    """

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
        """Return the context for a new connection. Raises Untrusted if the CA file cannot be used."""
        if self.file is None and _SYSTEM_VERIFIES:
            return _system_and_bundle()
        with self._lock:
            if self._shared is None:  # reading the certificates takes as long as several handshakes
                self._shared = self._only(self.file) if self.file else _system_and_bundle()
            return self._shared

    def _only(self, file: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificates and host names
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
        try:
            context.load_verify_locations(file)
        except OSError as error:  # or ssl.SSLError, a subclass
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise Untrusted(
                f"the CA file {file} (from {self.source}) cannot be used: {reason}",
                remedy=f"Set {self.source} to a PEM file with the certificates to trust.",
            ) from error
        return context


def _system_and_bundle() -> ssl.SSLContext:
    import truststore
    from botocore.httpsession import get_cert_path

    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not _SYSTEM_VERIFIES:
        # truststore loads the system's certificates into an inner context at the first use. Using that context directly
        # avoids truststore's lock.
        wrapped = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        context = wrapped.context
        context.sslsocket_class, context.sslobject_class = ssl.SSLSocket, ssl.SSLObject
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.load_verify_locations(get_cert_path(True))
    return context
