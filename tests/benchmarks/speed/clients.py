"""Download programs written with boto3 and obstore, as a careful user of each library would write them.

    python clients.py boto3|obstore-stream|obstore-ranges URL BUCKET KEYS_FILE FOLDER CONNECTIONS

Needs no era5dl: it is run by the Python that has the library. Files are stored at FOLDER/<last part of the key>. The CA
of a TLS server is in AWS_CA_BUNDLE.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MIB = 1 << 20


def with_boto3(url: str, bucket: str, keys: list[str], folder: Path, connections: int) -> None:
    """Fetch all files with one transfer manager, parts of 8 MiB (64 MiB on a fast line), and large writes."""
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore import UNSIGNED
    from botocore.config import Config
    from s3transfer.manager import TransferManager  # type: ignore[import-untyped]

    part = 64 * MIB if connections <= 8 else 8 * MIB
    config = Config(signature_version=UNSIGNED, max_pool_connections=connections, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=url, region_name="us-west-2", config=config)
    options = TransferConfig(
        max_concurrency=connections, multipart_chunksize=part, multipart_threshold=part, io_chunksize=MIB
    )
    with TransferManager(client, options) as manager:
        for future in [manager.download(bucket, key, str(folder / Path(key).name)) for key in keys]:
            future.result()


def _store(url: str, bucket: str) -> Any:
    from obstore.store import S3Store  # type: ignore[import-not-found,unused-ignore]

    options: dict[str, object] = {"allow_http": True, "timeout": "300s"}
    return S3Store(
        bucket,
        endpoint=url,
        region="us-west-2",
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options=options,
    )


def with_obstore_stream(url: str, bucket: str, keys: list[str], folder: Path, connections: int) -> None:
    """Fetch each file with one request, and write it on arrival: obstore's fastest method for many files."""
    import obstore  # type: ignore[import-not-found,unused-ignore]

    store = _store(url, bucket)

    def one(key: str) -> None:
        with (folder / Path(key).name).open("wb", buffering=0) as file:
            for block in obstore.get(store, key).stream(min_chunk_size=MIB // 4):
                file.write(block)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(one, keys))


def with_obstore_ranges(url: str, bucket: str, keys: list[str], folder: Path, connections: int) -> None:
    """Fetch all files in parts of 8 MiB: obstore's fastest method for few files or slow connections."""
    import obstore  # type: ignore[import-not-found,unused-ignore]

    store = _store(url, bucket)
    with ThreadPoolExecutor(connections) as pool:
        sizes = dict(zip(keys, pool.map(lambda key: obstore.head(store, key)["size"], keys), strict=True))
        files = {}
        for key in keys:
            files[key] = os.open(folder / Path(key).name, os.O_RDWR | os.O_CREAT, 0o644)
            os.truncate(files[key], sizes[key])

        def part(key: str, at: int) -> None:
            view = memoryview(obstore.get_range(store, key, start=at, length=min(8 * MIB, sizes[key] - at)))
            while view:
                count = os.pwrite(files[key], view, at)
                view, at = view[count:], at + count

        parts = [(key, at) for key in keys for at in range(0, sizes[key], 8 * MIB)]
        list(pool.map(lambda wanted: part(*wanted), parts))


WAYS = {"boto3": with_boto3, "obstore-stream": with_obstore_stream, "obstore-ranges": with_obstore_ranges}

if __name__ == "__main__":
    way, url, bucket, keys_file, folder, connections = sys.argv[1:]
    WAYS[way](url, bucket, Path(keys_file).read_text("utf-8").split(), Path(folder), int(connections))
