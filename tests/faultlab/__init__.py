"""Fault-injecting S3 server for tests of download clients: resets, stalls, wrong responses and outages on request.

    with FaultServer() as server:       # for https: FaultServer(certificates=make_certificates(folder))
        server.put("a/b.nc", pseudo_random(1, 3_000_000), part_size=1_000_000)
        server.script(Fault("body-reset", at=1_000_000), "slow-down", Fault("access-denied", times=None), key="a/b.nc")
        ...                                                     # point a client at server.endpoint_url, server.bucket
        assert server.stats().requests["GET"] == 3

`FaultServer(upstream="http://127.0.0.1:8333")` is a proxy in front of a real S3 server: requests without a fault are
passed on, and their responses are returned unchanged. Without `upstream` it serves objects from memory, and answers
HEAD (also with partNumber), GET (Range, If-Match) and ListObjectsV2 as S3 does. Requests are path style and anonymous.

Faults are chosen by sources. They are asked in the order in which they were added, until one has a fault for the
request:

    server.script(...)                          a sequence of faults, for one key or for all
    server.add(Mix(seed=7, share=0.3))          random faults, the same for the same seed
    server.add(Burst(Fault("slow-down", times=None), period=30, length=10))
    server.add(Every(Fault("outage", seconds=30), period=600))

`Fault` has the parameters (where in the body, how long, how often, for which operations). `KINDS` contains all kinds
with a line of description, which `python -m tests.faultlab --kinds` prints. `server.link = Link(...)` applies to all
requests: latency, speed, slow or silent connections, a limit on connections, and idle ones that are closed.
`server.outage(seconds)`, `server.cut_connections()` and, with `Names`, `server.lose_name(seconds)` act at once.
`server.stats()` and `server.log` report the requests and faults so far.

README.md explains the use as a separate process (`process.LabProcess`), and with clients in other languages.
"""

from tests.faultlab.certificates import Certificates, make_certificates
from tests.faultlab.faults import HEALING, Burst, Every, Fault, Mix, Script, Source
from tests.faultlab.kinds import KINDS, Kind
from tests.faultlab.names import Names
from tests.faultlab.objects import Blob, Objects, etag_of, pseudo_random
from tests.faultlab.server import BUCKET, FaultServer, Link
from tests.faultlab.stats import LoggedRequest, Stats

__all__ = [
    "BUCKET",
    "HEALING",
    "KINDS",
    "Blob",
    "Burst",
    "Certificates",
    "Every",
    "Fault",
    "FaultServer",
    "Kind",
    "Link",
    "LoggedRequest",
    "Mix",
    "Names",
    "Objects",
    "Script",
    "Source",
    "Stats",
    "etag_of",
    "make_certificates",
    "pseudo_random",
]
