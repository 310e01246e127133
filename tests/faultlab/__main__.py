"""The fault lab as a program, for clients that are not written in Python: serves the files of a folder.

Prints where it listens, waits for Ctrl-C, then prints as JSON what it did.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.faultlab import HEALING, KINDS, FaultServer, Link, Mix, make_certificates


def main() -> int:
    """Read the command line, serve, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.faultlab", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", action="store_true", help="print all kinds of fault and leave")
    parser.add_argument("--folder", type=Path, help="what to serve: each file below it is an object")
    parser.add_argument("--mix", type=float, default=0.0, metavar="SHARE", help="share of requests that meet a fault")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="of these kinds only (repeatable)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long stalls and the like last")
    parser.add_argument("--speed", type=int, metavar="BYTES", help="bytes per second of each connection")
    parser.add_argument("--tls", action="store_true", help="serve https, with a throw-away certificate")
    options = parser.parse_args()
    if options.kinds:
        for name, kind in KINDS.items():
            print(f"{name:22}{kind.cure:8}{kind.what}")
        return 0
    if options.folder is None:
        parser.error("--folder is needed")
    with tempfile.TemporaryDirectory() as scratch:
        certificates = make_certificates(Path(scratch)) if options.tls else None
        with FaultServer(certificates=certificates) as server:
            for path in sorted(options.folder.rglob("*")):
                if path.is_file():
                    server.put(path.relative_to(options.folder).as_posix(), path.read_bytes())
            server.link = Link(speed=options.speed)
            kinds = options.kind or HEALING
            server.add(Mix(options.seed, kinds, share=options.mix, at_most=sys.maxsize, seconds=options.seconds))
            print(f"{server.endpoint_url}  bucket {server.bucket}  CA {server.ca_file or '-'}", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
            print(json.dumps(asdict(server.stats()), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
