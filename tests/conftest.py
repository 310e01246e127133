"""Fixtures that several test modules share. Every server is started only by the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.seaweed import Seaweed


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server with one bucket, started once per test run. Tests share it: use keys of your own."""
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server
