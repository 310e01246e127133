"""Fixtures for all tests. Servers are started only by the tests that use them.

Tests marked `slow` take long and test what faster tests of the same module or package cover in less depth:
`pytest -m "not slow"` leaves them out.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from era5dl.engine import retry
from tests import texts
from tests.bucket_setup import (  # noqa: F401 - fixtures
    bucket_fixture,
    canned_fixture,
    get_way,
    http_bucket,
    no_user_settings,
    server_fixture,
)
from tests.faultlab import Certificates, FaultServer, make_certificates
from tests.servers.seaweed import Seaweed


def pytest_sessionstart() -> None:
    """Compile the window's texts if the .po has changed since the last installation, and let Python keep bytecode.

    Without it each worker of pytest-xdist, and each of the many programs that tests start, compiles every module again.
    """
    texts.compile_if_stale()
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Leave out the thousands of collected tests whenever garbage is collected, as each test of the window does."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the list of sessions of the person who runs them."""
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True)
def _short_retry_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start retry rounds without the usual delay."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.1)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server with one bucket, started once per test process. Tests share it: use keys of your own."""
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Temporary certificates for 127.0.0.1; `.ca_file` is what a client must trust."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    """An S3 server over http with an empty bucket, and without faults until the test adds them. One per test."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def fault_server_tls(certificates: Certificates) -> Iterator[FaultServer]:
    """The same over https."""
    with FaultServer(certificates=certificates) as server:
        yield server


@pytest.fixture
def fault_proxy(seaweed: Seaweed) -> Iterator[FaultServer]:
    """The fault server in front of `seaweed`, over http. One per test; the objects are shared: use keys of your own."""
    with FaultServer(upstream=seaweed.endpoint_url) as server:
        yield server


@pytest.fixture
def fault_proxy_tls(seaweed: Seaweed, certificates: Certificates) -> Iterator[FaultServer]:
    """The same over https."""
    with FaultServer(upstream=seaweed.endpoint_url, certificates=certificates) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk needs root: {mounted.stderr.strip()}")
    yield folder
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)
