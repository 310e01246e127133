"""Benchmark of small objects: CPU time of one request by five methods, and of each step from plan to final name.

    python -m tests.benchmarks.object_cost [--count 2000] [--size 65536]

One thread and one connection, with `speed.server` in its own process. All methods read the same bytes and discard them.
The steps come from a profile of an engine with one worker. Profiling slows everything down, so they are given as shares
of the time without a profile.
"""

from __future__ import annotations

import argparse
import cProfile
import http.client
import os
import pstats
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import boto3.session
import urllib3
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from era5dl.bucket.cancellation import Abort
from era5dl.bucket.get_object import ObjectBody
from era5dl.bucket.s3 import S3Bucket
from era5dl.engine import dispatch
from era5dl.engine import engine as engines
from era5dl.engine.prepare import prepare_transfer
from era5dl.engine.run_state import RunState
from era5dl.engine.verification import verify_part_file
from era5dl.engine.worker import work
from era5dl.folder.part_file import PartFile
from era5dl.planner.from_keys import plan_keys
from era5dl.planner.plan import Plan
from era5dl.session import Session
from era5dl.session.object_paths import ObjectPaths
from era5dl.settings import Settings
from tests.benchmarks.growth import key_of, offer
from tests.benchmarks.speed.hosts import files
from tests.benchmarks.speed.objects import BUCKET, Workload

DISPATCH = (dispatch.next_job, dispatch.record_prepared, dispatch.record_fetched, dispatch.record_finished)
STEPS: dict[str, tuple[Callable[..., object], ...]] = {
    "scheduling and bookkeeping": DISPATCH,
    "its paths, made safe": (ObjectPaths.final_and_part,),
    "what is there already": (prepare_transfer,),
    "request and headers": (ObjectBody.__enter__, ObjectBody.__exit__),
    "bytes from the socket": (ObjectBody.readinto,),
    "part file: open, write, sync, close": (PartFile.acquire, PartFile.write, PartFile.release),
    "proof": (verify_part_file,),
    "final name": (PartFile.commit,),
}


def ways(url: str, keys: list[str]) -> dict[str, Callable[[str], object]]:
    """Return functions that fetch the bytes of an object, by the name of the method."""
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    client = boto3.session.Session().client("s3", region_name="us-west-2", endpoint_url=url, config=config)
    session, pool = URLLib3Session(), urllib3.PoolManager()
    bucket = S3Bucket(Settings(endpoint_url=url, bucket=BUCKET))
    objects = {obj.key: obj for obj in plan_keys(keys, bucket).objects}
    buffer = memoryview(bytearray(1 << 20))
    plain = http.client.HTTPConnection(urlsplit(url).netloc)

    def by_session(key: str) -> None:
        session.send(AWSPreparedRequest("GET", f"{url}/{BUCKET}/{key}", {}, None, stream_output=True)).raw.read()

    def ours(key: str) -> None:
        obj = objects[key]
        with bucket.open(obj, 0, obj.size, Abort()) as body:
            while body.readinto(buffer):
                pass

    def by_http_client(key: str) -> None:
        plain.request("GET", f"/{BUCKET}/{key}")
        plain.getresponse().readinto(buffer)

    return {
        "boto3's get_object": lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
        "botocore's session under it": by_session,
        "urllib3 under that": lambda key: pool.request("GET", f"{url}/{BUCKET}/{key}").data,
        "http.client under that": by_http_client,
        "era5dl's bucket, proven by its headers": ours,
        "a socket, nothing read but its bytes": bare(url, buffer),
    }


def bare(url: str, buffer: memoryview) -> Callable[[str], object]:
    host, port = urlsplit(url).netloc.split(":")
    connection = socket.create_connection((host, int(port)))

    def get(key: str) -> None:
        connection.sendall(f"GET /{BUCKET}/{key} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        count = connection.recv_into(buffer)
        head = bytes(buffer[:2048]).split(b"\r\n\r\n")[0]
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) + len(head) + 4
        while count < length:
            count += connection.recv_into(buffer)

    return get


def milliseconds(get: Callable[[str], object], keys: list[str]) -> float:
    """Return the CPU time of one request in milliseconds."""
    get(keys[0])
    began = time.thread_time()
    for key in keys:
        get(key)
    return 1000 * (time.thread_time() - began) / len(keys)


def fetched(url: str, plan: Plan, out: Path, profile: cProfile.Profile | None) -> float:
    """Fetch the plan with one worker. Return its CPU time per object in ms."""
    settings = Settings(endpoint_url=url, bucket=BUCKET, workers=1, disk_reserve=0)
    spent: list[float] = []

    def live(run: RunState, number: int, leaving: Callable[[int], None]) -> None:
        began = time.thread_time()
        if profile is None:
            work(run, number, leaving)
        else:
            profile.runcall(work, run, number, leaving)
        spent.append(time.thread_time() - began)

    engines.work = live  # type: ignore[attr-defined]
    with Session.begin(out, plan, settings) as session:
        engine = engines.Engine(S3Bucket(settings), session, settings)
        engine.start()
        engine.wait()
        assert engine.result is not None
        assert engine.result.verified == len(plan.objects), engine.result
    return 1000 * sum(spent) / len(plan.objects)


def shares(profile: cProfile.Profile) -> dict[str, float]:
    """Return the share of each step in the worker's time."""
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    whole = max(entry[3] for entry in found.values())

    def cumulative(function: Callable[..., object]) -> float:
        code = function.__code__
        return float(found[code.co_filename, code.co_firstlineno, code.co_name][3])

    return {step: sum(map(cumulative, functions)) / whole for step, functions in STEPS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=65536, help="bytes of each object")
    given = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="era5dl-cost-", dir=memory if memory.is_dir() else None) as name:
        os.environ["ERA5DL_STATE_DIR"] = f"{name}/state"
        offer(Path(name), given.count, given.size)
        with files(Path(name), Workload("cost", "", given.count, given.size)) as host:
            keys = [key_of(number) for number in range(given.count)]
            print("| a request | CPU, ms |\n|---|--:|")
            for way, get in ways(host.url, keys).items():
                print(f"| {way} | {milliseconds(get, keys):.2f} |", flush=True)
            plan = plan_keys(keys, S3Bucket(Settings(endpoint_url=host.url, bucket=BUCKET)))
            whole = fetched(host.url, plan, Path(name, "plain"), None)
            profile = cProfile.Profile(time.thread_time)
            fetched(host.url, plan, Path(name, "profiled"), profile)
            found = shares(profile)
            print(f"\n| an object | share | CPU, ms |\n|---|--:|--:|\n| from the plan to its name | | {whole:.2f} |")
            for step, share in (found | {"the rest of the worker": 1 - sum(found.values())}).items():
                print(f"| {step} | {100 * share:.0f} % | {share * whole:.2f} |")


if __name__ == "__main__":
    main()
