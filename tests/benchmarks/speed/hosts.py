"""Servers for the speed benchmarks; each holds the same objects and runs in its own process.

files     `speed.server`: needs nothing and uses little CPU, so that the client is what is measured
seaweed   SeaweedFS, a real S3 server from the test dependencies; it uses half of the CPU. No TLS
nginx     where it is installed. Its ETags are not MD5s, so nothing can be verified: compare without verification
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import trustme

from tests.benchmarks.speed.objects import BUCKET, Workload, load
from tests.servers.seaweed import Seaweed, find_weed, free_ports

PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Host:
    """A running server. pid: process whose CPU time is that of the server."""

    url: str
    ca_file: str
    pid: int


@contextlib.contextmanager
def files(folder: Path, work: Workload, *options: str) -> Iterator[Host]:
    """Run `speed.server` with the link of the workload. options: further command-line options."""
    words = [sys.executable, "-m", "tests.benchmarks.speed.server", str(folder), "--speed", str(work.speed), *options]
    words += ["--tls"] if work.tls else []
    with subprocess.Popen(
        words,
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": ""},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url, ca_file = process.stdout.readline().split()
            yield Host(url, "" if ca_file == "-" else ca_file, process.pid)
        finally:
            process.stdin.close()


@contextlib.contextmanager
def seaweed(folder: Path, work: Workload) -> Iterator[Host]:
    """Run a new SeaweedFS with the objects."""
    stored = load(folder)
    with Seaweed(folder / "seaweed", BUCKET) as server:
        for key in work.key_list():
            server.put(key, (folder / BUCKET / key).read_bytes(), stored[key].part_size)
        ours = [p.pid for p in psutil.Process().children() if p.name().startswith("weed")]
        yield Host(server.endpoint_url, "", ours[-1])


@contextlib.contextmanager
def nginx(folder: Path, work: Workload) -> Iterator[Host]:
    """Run the system's nginx, with its own ETags, and the listing of the workload's folder as a file."""
    port, scratch = free_ports(1)[0], folder / "nginx"
    scratch.mkdir(exist_ok=True)
    ca_file = _make_certificate(scratch)
    (scratch / "listing.xml").write_text(_listing(folder, work), "utf-8")
    conf = scratch / "nginx.conf"
    conf.write_text(_configuration(folder, scratch, port, work), "utf-8")
    program = _find_nginx()
    assert program is not None
    process = subprocess.Popen([program, "-c", str(conf), "-p", str(scratch), "-e", str(scratch / "errors.log")])
    try:
        url = f"http{'s' if work.tls else ''}://127.0.0.1:{port}"
        _until_it_listens(port, process)
        yield Host(url, ca_file if work.tls else "", process.pid)
    finally:
        process.terminate()
        process.wait(30)


SERVERS: dict[str, Callable[[Path, Workload], contextlib.AbstractContextManager[Host]]] = {
    "files": files,
    "seaweed": seaweed,
    "nginx": nginx,
}


def why_not(server: str, work: Workload) -> str:
    """Return why this server cannot serve this workload on this machine; "" if it can."""
    if server == "seaweed":
        if find_weed() is None:
            return "SeaweedFS is not installed"
        return "SeaweedFS is run without TLS and without limits of speed" if work.tls or work.speed else ""
    return "nginx is not installed" if server == "nginx" and _find_nginx() is None else ""


def _find_nginx() -> str | None:
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")


def _make_certificate(scratch: Path) -> str:
    """Create a key and a certificate for nginx. Return the CA file that clients must trust."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(scratch / "server.pem"))
    authority.cert_pem.write_to_path(str(scratch / "ca.pem"))
    return str(scratch / "ca.pem")


def _configuration(folder: Path, scratch: Path, port: int, work: Workload) -> str:
    """limit_rate alone lets the first second through at once; with small sendfile chunks short ranges are paced too."""
    tls = f"ssl_certificate {scratch}/server.pem; ssl_certificate_key {scratch}/server.pem;" if work.tls else ""
    slow = f"limit_rate {work.speed}; sendfile_max_chunk {max(16, work.speed >> 17)}k;" if work.speed else ""
    temporary = " ".join(f"{kind}_temp_path {scratch}/{kind};" for kind in _TEMPORARY)
    user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    return f"""daemon off; {user} worker_processes {os.cpu_count()}; pid {scratch}/nginx.pid;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=5000; {temporary}
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port}{" ssl" if work.tls else ""} backlog=4096; {tls} {slow} root {folder};
    location = /{BUCKET} {{ default_type application/xml; alias {scratch}/listing.xml; }}
    location = /{BUCKET}/ {{ default_type application/xml; alias {scratch}/listing.xml; }}
    location / {{ try_files $uri =404; }} }} }}
"""


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _listing(folder: Path, work: Workload) -> str:
    """Return the response to ListObjectsV2 for the workload's folder, in one page."""
    entries = ""
    for key in work.key_list():
        found = (folder / BUCKET / key).stat()
        etag = f"&quot;{int(found.st_mtime):x}-{found.st_size:x}&quot;"
        entries += f"<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>{etag}</ETag>"
        entries += f"<Size>{found.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{work.prefix}</Prefix><MaxKeys>5000</MaxKeys><KeyCount>{work.count}</KeyCount>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )


def _until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError("nginx did not start")
        time.sleep(0.05)
