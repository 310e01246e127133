"""Tests of commands and runs behind a proxy: from the environment variable to the file."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.engine.events import Event, State, StateChanged
from tests.command_line import call_main
from tests.faultlab import Certificates, FaultServer, pseudo_random
from tests.runs import plan_of, running, settings_for, wrong_files
from tests.servers.proxies import Http, Socks

KEY = "e5.oper.an.sfc/a.nc"
DATA = pseudo_random("behind a proxy", 2_000_000)
NAME = "s3.faultlab.test"  # a host name that only the proxy can resolve
SECRET = "zQ9vuLt7"


@pytest.fixture
def server(certificates: Certificates) -> Iterator[FaultServer]:
    with FaultServer(certificates=certificates) as made:
        made.put(KEY, DATA)
        yield made


def command(
    server: FaultServer, folder: Path, *words: str, host: str = NAME, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `era5dl` with these variables. It cannot resolve the server's host name itself."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_ca_bundle"))}
    url = server.endpoint_url.replace("127.0.0.1", host)
    environ = {**clean, "ERA5DL_STATE_DIR": str(folder / "state"), "ERA5DL_CONNECT_TIMEOUT": "2", **variables}
    return call_main([*words, "--endpoint-url", url, "--ca-bundle", str(server.ca_file)], environ, stdin=KEY)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
@pytest.mark.parametrize("how", ["ALL_PROXY", "https_proxy", "ERA5DL_PROXY", "--proxy"])
def test_a_download_behind_a_proxy(
    server: FaultServer, certificates: Certificates, tmp_path: Path, scheme: str, how: str
) -> None:
    names = {NAME: ("127.0.0.1", server.port)}
    tls = certificates.context if scheme == "https" else None
    with Socks(names) if scheme == "socks5h" else Http(names, tls=tls) as proxy:
        url = f"{scheme}://{proxy.place}"
        flags, variables = (["--proxy", url], {}) if how == "--proxy" else ([], {how: url})
        words = ["download", "--keys-file", "-", "--out", str(tmp_path / "out"), *flags]
        done = command(server, tmp_path, *words, **variables)
    assert (done.returncode, wrong_files(tmp_path / "out", {KEY: DATA})) == (0, []), done.stderr
    assert proxy.asked


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "socks4a"])
def test_diagnose_shows_the_proxy_and_who_set_it(
    server: FaultServer, certificates: Certificates, tmp_path: Path, scheme: str
) -> None:
    names = {NAME: ("127.0.0.1", server.port)}
    tls = certificates.context if scheme == "https" else None
    with Socks(names) if scheme.startswith("socks") else Http(names, tls=tls) as proxy:
        url = f"{scheme}://user:{SECRET}@{proxy.place}"
        said = command(server, tmp_path, "diagnose", ALL_PROXY=url)
        record = json.loads(command(server, tmp_path, "diagnose", "--json", ALL_PROXY=url).stdout.splitlines()[0])
    assert f"{scheme}://{proxy.place} (from ALL_PROXY)" in said.stdout
    assert f"only {server.ca_file} (from --ca-bundle)" in said.stdout
    assert (said.returncode, record["proxy"], record["proxy_source"]) == (0, f"{scheme}://{proxy.place}", "ALL_PROXY")
    assert record["status"] == 200 and record["throughput"]
    assert SECRET not in said.stdout + said.stderr + json.dumps(record)


def test_diagnose_names_a_proxy_that_fails(server: FaultServer, tmp_path: Path) -> None:
    with Http(authorization="of somebody else") as proxy:
        said = command(server, tmp_path, "diagnose", HTTPS_PROXY=f"http://user:{SECRET}@{proxy.place}")
    assert said.returncode == 3
    assert "The proxy fails" in said.stdout and "does not accept the user name and password" in said.stdout
    said = command(server, tmp_path, "diagnose", HTTPS_PROXY=f"socks5h://user:{SECRET}@{proxy.place}")
    assert said.returncode == 3
    assert f"the proxy socks5h://{proxy.place} (from HTTPS_PROXY) refuses the connection" in said.stdout
    assert SECRET not in said.stdout + said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", ["quic://user:{0}@h:1", "http:/user:{0}@h:1", "user:{0}@h:port"])
@pytest.mark.parametrize("how", ["HTTPS_PROXY", "ERA5DL_PROXY", "--proxy"])
def test_a_mistyped_proxy_is_wrong_usage(server: FaultServer, tmp_path: Path, text: str, how: str) -> None:
    text = text.format(SECRET)
    flags, variables = (["--proxy", text], {}) if how == "--proxy" else ([], {how: text})
    said = command(server, tmp_path, "plan", "--keys-file", "-", *flags, ERA5DL_DEBUG="1", **variables)
    assert said.returncode == 2
    assert ("the settings" if how == "--proxy" else how) in said.stderr and "socks5h" in said.stderr
    assert SECRET not in said.stdout + said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", ["quic://user:{0}@h:1", "http:/user:{0}@h:1", "user:{0}@h:port"])
def test_diagnose_finds_a_mistyped_proxy(server: FaultServer, tmp_path: Path, text: str) -> None:
    said = command(server, tmp_path, "diagnose", ALL_PROXY=text.format(SECRET))
    assert said.returncode == 3
    assert "the proxy from ALL_PROXY cannot be used" in said.stdout and "socks5h" in said.stdout
    assert SECRET not in said.stdout + said.stderr


def test_a_proxy_that_requires_a_login_ends_the_run(server: FaultServer, tmp_path: Path) -> None:
    with Http(authorization="of somebody else") as proxy:
        words = ["download", "--keys-file", "-", "--out", str(tmp_path / "out")]
        said = command(server, tmp_path, *words, HTTPS_PROXY=f"http://{proxy.place}")
    assert said.returncode == 3
    assert f"the proxy http://{proxy.place} (from HTTPS_PROXY) requires a user name and password" in said.stderr
    assert f"http://USER:PASSWORD@{proxy.place}" in said.stderr


def test_a_run_waits_for_its_proxy(server: FaultServer, tmp_path: Path) -> None:
    """As during an outage: no file fails, and the run continues by itself."""
    names = {NAME: ("127.0.0.1", server.port)}
    waits = threading.Event()
    said: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, StateChanged) and event.state is State.WAITING_FOR_NETWORK:
            said.append(event.reason)
            waits.set()

    with Socks(names) as proxy:
        url = server.endpoint_url.replace("127.0.0.1", NAME)
        bucket = S3Bucket(replace(settings_for(server), endpoint_url=url, proxy=f"socks5h://{proxy.place}"))
        plan = plan_of(bucket)
    with running(server, tmp_path, bucket=bucket, plan=plan, on_event=hear) as run:
        assert waits.wait(30)
        assert f"the proxy socks5h://{proxy.place} (from the settings) refuses the connection" in said[0]
        with Socks(names, port=proxy.port):
            assert run.engine.wait(60)
    assert wrong_files(tmp_path, {KEY: DATA}) == []
