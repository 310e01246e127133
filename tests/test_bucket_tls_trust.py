"""Tests of TLS trust: the system's and the bundled certificates, or a configured file alone."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from era5dl import errors
from era5dl.bucket.s3 import S3Bucket
from era5dl.bucket.tls_trust import VARIABLES, TrustStore
from era5dl.diagnosis.network_test import run_network_test
from era5dl.settings import Settings
from tests.faultlab import Certificates, FaultServer, make_certificates

KEY = "a.nc"


@pytest.fixture(autouse=True)
def nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *VARIABLES,
        "SSL_CERT_DIR",
        "ERA5DL_CA_BUNDLE",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(certificates: Certificates) -> Iterator[FaultServer]:
    with FaultServer(certificates=certificates) as made:
        made.put(KEY, b"data")
        yield made


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The CA file of another authority."""
    return str(make_certificates(tmp_path).ca_file)


@pytest.fixture
def company(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add the authority of the server to the system's store."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here that could name the file as a store has it")
    store = tmp_path / "store"
    store.mkdir()
    command = [openssl, "x509", "-noout", "-hash", "-in", str(certificates.ca_file)]
    name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    shutil.copy(certificates.ca_file, store / f"{name}.0")
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    return store


def settings_of(server: FaultServer, ca_file: str | None = None, host: str = "127.0.0.1") -> Settings:
    url = server.endpoint_url.replace("127.0.0.1", host)
    return Settings(endpoint_url=url, bucket=server.bucket, ca_bundle=ca_file, read_timeout=5, connect_timeout=5)


def size_of(server: FaultServer, ca_file: str | None = None, host: str = "127.0.0.1") -> int:
    bucket = S3Bucket(settings_of(server, ca_file, host))
    try:
        return bucket.head(KEY).size
    finally:
        bucket.drop_idle_connections()


def step_of(server: FaultServer, ca_file: str | None = None) -> str:
    return run_network_test(settings_of(server, ca_file), probes=1).failed_step


linux = pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO[0] < 1 or not Path("/proc").is_dir(), reason="as Linux has it")


@linux
def test_an_authority_of_the_system_is_trusted_by_default(server: FaultServer, company: Path) -> None:
    assert size_of(server) == 4
    assert step_of(server) == ""


def test_an_unknown_authority_is_not_trusted(server: FaultServer) -> None:
    with pytest.raises(errors.Untrusted):
        size_of(server)
    assert step_of(server) == "certificate"


@linux
def test_a_certificate_for_another_host_name_is_not_trusted(
    server: FaultServer, company: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1", *a, **k))
    with pytest.raises(errors.Untrusted, match="mismatch"):
        size_of(server, host="elsewhere.example.org")


@linux
@pytest.mark.parametrize("name", ["--ca-bundle", *VARIABLES])
def test_a_ca_file_replaces_the_systems_authorities(
    server: FaultServer, company: Path, other: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ca_file = other if name == "--ca-bundle" else None
    if ca_file is None:
        monkeypatch.setenv(name, other)
    with pytest.raises(errors.Untrusted):
        size_of(server, ca_file)
    assert step_of(server, ca_file) == "certificate"
    found = run_network_test(settings_of(server, ca_file), probes=1)
    assert (found.trust_file, found.trust_source) == (other, name)


@pytest.mark.parametrize("name", ["--ca-bundle", *VARIABLES])
def test_a_ca_file_is_trusted(
    server: FaultServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ca_file = str(certificates.ca_file)
    if name != "--ca-bundle":
        monkeypatch.setenv(name, ca_file)
    assert size_of(server, ca_file if name == "--ca-bundle" else None) == 4
    assert step_of(server, ca_file if name == "--ca-bundle" else None) == ""


def test_the_setting_takes_precedence_over_variables(
    server: FaultServer, certificates: Certificates, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, other)
    assert size_of(server, str(certificates.ca_file)) == 4
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.ca_file))
    assert size_of(server) == 4


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_an_invalid_ca_file_is_reported(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(name, str(file))
    with pytest.raises(errors.Untrusted) as caught:
        size_of(server)
    assert str(file) in str(caught.value) and name in str(caught.value) and name in caught.value.remedy
    found = run_network_test(settings_of(server), probes=1)
    assert (found.failed_step, found.error) == ("certificate", str(caught.value))


@linux
def test_the_bundled_authorities_are_trusted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minimal container has no certificate store."""
    from botocore.httpsession import get_cert_path

    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    bundled = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bundled.load_verify_locations(get_cert_path(True))
    assert bundled.get_ca_certs()
    found = TrustStore().context()
    assert set(found.get_ca_certs(binary_form=True)) >= set(bundled.get_ca_certs(binary_form=True))


def test_certificates_are_always_verified() -> None:
    for trust in (TrustStore(), TrustStore(str(Path(ssl.__file__).parent / "nothing"))):
        try:
            context = trust.context()
        except errors.Untrusted:
            continue
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@linux
def test_a_stalled_handshake_does_not_block_others(server: FaultServer, company: Path) -> None:
    trust = TrustStore()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stalled = socket.create_connection(listener.getsockname(), timeout=60)
        thread = threading.Thread(target=_shake, args=(trust, stalled), daemon=True)
        thread.start()
        with listener.accept()[0] as peer:
            peer.settimeout(10)
            assert peer.recv(1) == b"\x16"  # the handshake has started
            done = threading.Thread(target=_shake, args=(trust, socket.create_connection(("127.0.0.1", server.port))))
            done.start()
            done.join(10)
            assert not done.is_alive()
        thread.join(10)
    assert not thread.is_alive()


def _shake(trust: TrustStore, sock: socket.socket) -> None:
    try:
        trust.context().wrap_socket(sock, server_hostname="127.0.0.1").close()
    except OSError:
        sock.close()


def test_certificates_are_read_once(server: FaultServer, certificates: Certificates) -> None:
    trust = TrustStore(str(certificates.ca_file))
    assert trust.context() is trust.context()


def test_the_authority_of_the_tests_is_not_trusted_by_default() -> None:
    """Otherwise the other tests here would prove nothing."""
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    assert der not in TrustStore().context().get_ca_certs(binary_form=True)
