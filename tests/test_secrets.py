"""The password of a proxy is told to the proxy and to nobody else: not the terminal, not the records, not the log."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Unreachable
from era5dl.settings import Settings

SECRET = "zQ9vuLt7"


@pytest.mark.parametrize(
    ("command", "how", "debug"),
    [
        ("diagnose", "ERA5DL_PROXY", ""),
        ("diagnose", "HTTPS_PROXY", ""),
        ("plan", "mistyped", "1"),
        ("plan", "no port", ""),
    ],
)
def test_no_word_of_it(tmp_path: Path, command: str, how: str, debug: str) -> None:
    with socket.socket() as closed:  # bound, and not listening: whoever connects is refused
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        address = {
            "mistyped": f"htp://user:{SECRET}@127.0.0.1:{port}",
            "no port": f"http://user:{SECRET}@127.0.0.1:port",
        }.get(how, f"http://user:{SECRET}@127.0.0.1:{port}")
        variable = how if how.endswith("PROXY") else "ERA5DL_PROXY"
        said = _run(tmp_path, {variable: address, "ERA5DL_DEBUG": debug}, command)
    assert said.returncode != 0 or command == "diagnose"
    assert SECRET not in said.stdout + said.stderr
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_word_of_it_in_what_is_raised(scheme: str) -> None:
    """Not even in the traceback, which ERA5DL_DEBUG shows and people send around."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"{scheme}://user:{SECRET}@127.0.0.1:{closed.getsockname()[1]}"
        for endpoint in ("https://s3.example.invalid", "http://s3.example.invalid"):
            bucket = S3Bucket(Settings(proxy=proxy, endpoint_url=endpoint, connect_timeout=1, read_timeout=1))
            with pytest.raises(Unreachable) as refused:
                bucket.head("a")
            assert SECRET not in "".join(traceback.format_exception(refused.value))


def _run(folder: Path, settings: dict[str, str], command: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environ |= {"ERA5DL_STATE_DIR": str(folder), "ERA5DL_CONNECT_TIMEOUT": "1", **settings}
    words = ["plan", "--keys-file", "-"] if command == "plan" else ["diagnose", "--json"]
    return subprocess.run(
        [sys.executable, "-m", "era5dl", *words, "--endpoint-url", "https://s3.example.invalid"],
        input="e5.oper.an.pl/a.nc\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env=environ,
    )
