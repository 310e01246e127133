"""Runs the fault lab as a program, for clients of any language: in front of an S3 server, or serving a folder.

Prints its URL, waits for Ctrl-C, then prints its statistics as JSON. README.md explains how to configure clients.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from tests.faultlab import BUCKET, HEALING, KINDS, Burst, Every, Fault, FaultServer, Link, Mix, make_certificates

COMMANDS = """\
With --commands it reads one command per line, answers each with one line, and exits at the end of the input:
  stats              print the statistics so far, as JSON
  reset              reset the statistics
  mix SHARE          inject faults into this share of the requests
  calm               remove all faults
  outage SECONDS     break all connections, and refuse new ones for this time
  cut                break all connections
"""


def main() -> int:
    """Parse the command line, serve, and print the statistics."""
    options = _parser().parse_args()
    if options.kinds:
        print_kinds()
        return 0
    if (options.folder is None) == (options.upstream is None):
        _parser().error("one of --upstream and --folder is needed")
    with tempfile.TemporaryDirectory(prefix="faultlab") as scratch:
        certificates = make_certificates(Path(scratch)) if options.tls else None
        with FaultServer(
            certificates=certificates, bucket=options.bucket, upstream=options.upstream, port=options.port
        ) as server:
            if options.folder is not None:
                for path in sorted(options.folder.rglob("*")):
                    if path.is_file():
                        server.put(path.relative_to(options.folder).as_posix(), path.read_bytes())
            server.link = _link(options)
            _order(server, options, options.mix)
            print(f"{server.endpoint_url}  bucket {server.bucket}  CA {server.ca_file or '-'}", flush=True)
            with suppress(KeyboardInterrupt):
                signal.signal(signal.SIGTERM, signal.default_int_handler)
                if options.commands:
                    obey(server, options, sys.stdin)
                else:
                    threading.Event().wait()
            print(json.dumps(asdict(server.stats()), indent=2))
    return 0


def obey(server: FaultServer, options: argparse.Namespace, orders: TextIO) -> None:
    """Execute commands, one per line, until the end of the input."""
    for line in orders:
        word, _, value = line.strip().partition(" ")
        if word == "stats":
            print(json.dumps(asdict(server.stats())), flush=True)
            continue
        if word == "reset":
            server.reset_stats()
        elif word == "mix":
            server.calm()
            _order(server, options, float(value))
        elif word == "calm":
            server.calm()
        elif word == "outage":
            server.outage(float(value))
        elif word == "cut":
            server.cut_connections()
        else:
            print(f"there is no order {word!r}", flush=True)
            continue
        print("done", flush=True)


def print_kinds() -> None:
    """Print the table of all faults."""
    print("Faults of single requests (--kind), with what a client has to do about them (--cure):\n")
    for name, kind in KINDS.items():
        print(f"  {name:22}{kind.cure:8}{kind.what}")
    print("\nFor all requests and connections:\n")
    for option, what in _FOR_ALL.items():
        print(f"  {option:22}        {what}")


_FOR_ALL = {
    "--burst P/L": "503 SlowDown for every request in the first L of every P seconds",
    "--outage P/L": "every P seconds, connections are refused for L seconds, and existing ones are broken",
    "--most-connections N": "connections beyond the N-th are reset",
    "--idle-close S": "a connection that was idle for S seconds is closed",
    "--idle-swallow S": "a connection that was idle for S seconds stays open, but never answers again",
    "--slow-every N": "one connection in N has 20 kB/s",
    "--deaf-every N": "one connection in N is accepted, but never answers",
    "--speed BYTES": "bytes per second of each connection",
    "--latency S": "seconds before each answer",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faultlab",
        description=(__doc__ or "").splitlines()[0],
        epilog=COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kinds", action="store_true", help="print all kinds of faults and exit")
    parser.add_argument("--upstream", metavar="URL", help="the S3 server whose bucket is served (path style)")
    parser.add_argument("--folder", type=Path, help="instead of --upstream: serve each file below it as an object")
    parser.add_argument("--bucket", default=BUCKET)
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free port)")
    parser.add_argument("--tls", action="store_true", help="serve https, with a temporary certificate")
    parser.add_argument("--mix", type=float, default=0.0, metavar="SHARE", help="share of requests with a fault")
    parser.add_argument(
        "--kind", action="append", choices=sorted(KINDS), metavar="KIND", help="only faults of these kinds (repeatable)"
    )
    cures = sorted({kind.cure for kind in KINDS.values()})
    parser.add_argument("--cure", action="append", choices=cures, help="and those with this cure (repeatable)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same faults")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of stalls and similar faults")
    parser.add_argument("--in-a-row", type=int, default=3, help="maximum number of consecutive faults for a key")
    for option, what in _FOR_ALL.items():
        name, metavar = option.split()
        parser.add_argument(name, type=_TYPES.get(metavar, int), metavar=metavar, help=what)
    parser.add_argument("--commands", action="store_true", help="read commands from standard input, see below")
    return parser


def _pair(text: str) -> tuple[float, float]:
    period, _, length = text.partition("/")
    return float(period), float(length)


_TYPES: dict[str, Callable[[str], Any]] = {"S": float, "P/L": _pair}


def _link(options: argparse.Namespace) -> Link:
    return Link(
        latency=options.latency or 0.0,
        speed=options.speed,
        slow_every=options.slow_every,
        most_connections=options.most_connections,
        idle_close=options.idle_close,
        idle_swallow=options.idle_swallow,
        deaf_every=options.deaf_every,
    )


def _order(server: FaultServer, options: argparse.Namespace, share: float) -> None:
    """Add all faults of the command line."""
    if options.outage:
        period, length = options.outage
        server.add(Every(Fault("outage", seconds=length, on=ALL), period=period))
    if options.burst:
        period, length = options.burst
        server.add(Burst(Fault("slow-down", on=ALL), period=period, length=length))
    cures = options.cure or ()
    kinds = [*(options.kind or ()), *(name for name, kind in KINDS.items() if kind.cure in cures)] or HEALING
    terms = {"at_most": sys.maxsize, "seconds": options.seconds, "in_a_row": options.in_a_row}
    server.add(Mix(options.seed, kinds, share=share, **terms))


ALL = ("get", "head", "list")

if __name__ == "__main__":
    sys.exit(main())
