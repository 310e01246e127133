"""Temporary certificates for TLS test servers on 127.0.0.1, issued by a private authority."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

DOMAIN = "faultlab.test"  # of the names that `names.Names` invent; `.test` is nobody's, by RFC 2606


@dataclass(frozen=True, slots=True)
class Certificates:
    """ca_file: PEM file that a client must trust. context: for the server."""

    ca_file: Path
    context: ssl.SSLContext


def make_certificates(folder: Path, *names: str) -> Certificates:
    """An authority and a certificate for `names` (127.0.0.1, localhost and names in DOMAIN when none are given)."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1", "localhost", f"*.{DOMAIN}"))).configure_cert(context)
    ca_file = folder / "faultlab-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Certificates(ca_file, context)
