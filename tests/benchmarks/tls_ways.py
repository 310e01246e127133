"""Benchmark of TLS in Python: bare loops from sockets to files, as an upper limit for the engine.

    python -m tests.benchmarks.tls_ways [--scale 1] [--rounds 5] [--folder FOLDER]

Eight connections on eight threads with a file each, as W4 of the speed benchmark. Nothing is verified, and the response
headers are written, too. CPU and seconds are those of the loops, without the start of Python.

records    `SSLSocket.recv_into`, as era5dl uses it: each call returns one record of at most 16 KiB and costs two system
           calls and two changes of the interpreter lock
memory     256 KiB at a time from the plain socket, decrypted in memory (`ssl.MemoryBIO`): fewer system calls, two more
           copies of each byte
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.speed.hosts import Host, files
from tests.benchmarks.speed.objects import BUCKET, WORKLOADS, Workload, make

GATHERED = 1 << 20  # bytes per write
BITE = 1 << 18  # bytes read from a plain socket at once
RECORD = 1 << 14  # maximum size of a TLS record

Way = str  # "records" or "memory"
Into = Callable[[memoryview], int]
"""Fills the front of a buffer and returns how many bytes it has read."""


@contextlib.contextmanager
def by_records(host: Host, request: bytes) -> Iterator[Into]:
    with _context(host).wrap_socket(_connected(host), server_hostname="127.0.0.1") as connection:
        connection.sendall(request)
        connection.settimeout(20)
        yield connection.recv_into


@contextlib.contextmanager
def in_memory(host: Host, request: bytes) -> Iterator[Into]:
    cipher, answer, bite = ssl.MemoryBIO(), ssl.MemoryBIO(), memoryview(bytearray(BITE))
    tls = _context(host).wrap_bio(cipher, answer, server_hostname="127.0.0.1")
    with _connected(host) as connection:

        def read(view: memoryview) -> int:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    return int(tls.read(len(view), view))  # type: ignore[call-overload]
                cipher.write(bite[: connection.recv_into(bite)])

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(answer.read())
                cipher.write(bite[: connection.recv_into(bite)])
        tls.write(request)
        connection.sendall(answer.read())
        yield read


def fetch(host: Host, key: str, size: int, file: Path, way: Way) -> None:
    """Read one object into a file, with the headers of the response before it."""
    open_way = by_records if way == "records" else in_memory
    request = f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    gathered, at, count, whole = memoryview(bytearray(GATHERED)), 0, 0, 0
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    with open_way(host, request) as read:
        while not whole or at + count < whole:
            received = read(gathered[count:])
            assert received, "the connection ended"
            count += received
            if not whole and (end := bytes(gathered[:count]).find(b"\r\n\r\n")) >= 0:
                whole = size + end + 4
            if count > GATHERED - RECORD or at + count == whole:
                os.pwrite(fd, gathered[:count], at)
                at, count = at + count, 0
    os.close(fd)


def measured(host: Host, work: Workload, way: Way, out: Path) -> tuple[float, float]:
    """Return seconds and seconds of CPU."""
    threads = [
        threading.Thread(target=fetch, args=(host, key, work.size, out / str(number), way))
        for number, key in enumerate(work.key_list())
    ]
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began, time.process_time() - cpu
    for number in range(len(threads)):
        assert (out / str(number)).stat().st_size > work.size
        (out / str(number)).unlink()
    return took


def _context(host: Host) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=host.ca_file)


def _connected(host: Host) -> socket.socket:
    address = urlsplit(host.url)
    assert address.hostname
    return socket.create_connection((address.hostname, address.port or 443))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the bytes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the speed benchmark has kept its objects")
    given = parser.parse_args()
    work = WORKLOADS["W4"].scaled(given.scale)
    memory = Path("/dev/shm")
    ways: dict[Way, list[tuple[float, float]]] = {"records": [], "memory": []}
    with tempfile.TemporaryDirectory(prefix="era5dl-tls-", dir=memory if memory.is_dir() else None) as name:
        folder = (given.folder or Path(name)).resolve()
        make(folder, [work])
        with files(folder, work) as host:
            for number in range(given.rounds + 1):
                for way, found in ways.items():
                    took = measured(host, work, way, Path(name))
                    if number:  # the first round is a warm-up
                        found.append(took)
    print("| way | s, median (min to max) | MB/s | CPU, s |\n|---|--:|--:|--:|")
    for way, found in ways.items():
        seconds, cpu = zip(*found, strict=True)
        middle = statistics.median(seconds)
        print(
            f"| {way} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | {work.total / middle / 1e6:.0f}"
            f" | {statistics.median(cpu):.2f} |"
        )


if __name__ == "__main__":
    main()
