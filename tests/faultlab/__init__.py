"""A fault lab for S3 clients: a bucket on 127.0.0.1 that resets, stalls, lies and goes away, exactly as ordered.

    with FaultServer() as server:       # for https: FaultServer(certificates=make_certificates(folder))
        server.put("a/b.nc", pseudo_random(1, 3_000_000), part_size=1_000_000)
        server.script(Fault("body-reset", at=1_000_000), "slow-down", Fault("access-denied", times=None), key="a/b.nc")
        ...                                                     # point a client at server.endpoint_url, server.bucket
        assert server.stats().requests["GET"] == 3

With `FaultServer(upstream="http://127.0.0.1:8333")` it is a proxy in front of a real S3 server: what no fault strikes
goes there and comes back as it is. Without, it answers HEAD (also with partNumber), GET (Range, If-Match) and
ListObjectsV2 from memory as S3 does. Path style, to anybody.

Faults come from sources, asked in the order in which they were added, until one has a fault for the request:

    server.script(...)                          one after the other, for one key or for all
    server.add(Mix(seed=7, share=0.3))          at random, the same for the same seed
    server.add(Burst(Fault("slow-down", times=None), period=30, length=10))
    server.add(Every(Fault("outage", seconds=30), period=600))

`Fault` has the terms (where in the body, how long, how often, for which operations), `KINDS` all the kinds with one
line each; `python -m tests.faultlab --kinds` prints them. What holds for all requests is `server.link = Link(...)`:
latency, speed, slow connections, deaf ones, a limit on connections, idle ones that die. `server.outage(seconds)`,
`server.cut_connections()` and, with `Names`, `server.lose_name(seconds)` act at once. `server.stats()` and `server.log`
say what happened.

For a client in another language, or in a process of its own (`process.LabProcess`): README.md beside this file.
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
