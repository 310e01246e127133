"""The program that era5dl replaces, rebuilt from an analysis of it, to be measured beside era5dl.

    python -m tests.benchmarks.predecessor URL BUCKET KEYS-FILE OUT WORKERS SCALE

Taken from the analysis: one thread per file; a connection pool of twice that size; timeouts of 10 and 30 s; two
retries by botocore below six of its own with delays of 2 * 2**n seconds and no jitter, during which the worker sleeps;
a Range request that continues at the size of the temporary file, appended in blocks of 8 MiB; bodies that are never
closed; growing lists of failures with their tracebacks, a growing error log and a growing progress file.

What the analysis does not mention is built favourably: a file is renamed only if its size is right, a temporary file
that is too long is deleted, and the progress file, which is rewritten for every file, is written at most once per
second (otherwise the compressed time would count against it).

All its delays and timeouts, also those of botocore, are divided by SCALE, as are the lengths of all disturbances.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.endpoint
from botocore import UNSIGNED
from botocore.config import Config

from tests.benchmarks.soak_figures import Figures, tell

CHUNK = 8 * 1024 * 1024
MAX_RETRIES = 6
RETRY_DELAY = 2.0  # seconds
SAVE_EVERY = 1.0


class Predecessor:
    """The predecessor without its window."""

    def __init__(self, url: str, bucket: str, out: Path, workers: int, scale: float) -> None:
        self.bucket, self.out, self.workers, self.scale = bucket, out, workers, scale
        _scale_botocore(scale)
        self.s3_client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-west-2",
            config=Config(
                signature_version=UNSIGNED,
                max_pool_connections=workers * 2,
                tcp_keepalive=True,
                connect_timeout=10 / scale,
                read_timeout=30 / scale,
                retries={"max_attempts": 2},
                response_checksum_validation="when_required",
            ),
        )
        self.failed_files: list[dict[str, Any]] = []
        self.completed_files: set[str] = set()
        self.lock = threading.Lock()
        self.counts = Figures()
        self.saved_at = 0.0

    def run(self, files: list[dict[str, Any]]) -> None:
        """Fetch all files, each on its own thread."""
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(self._download, files))
        self._save_progress(at_once=True)

    def list_files(self, prefix: str) -> list[dict[str, Any]]:
        """What is below a prefix. It had no retries there; here it asks again until it has them."""
        while True:
            try:
                pages = self.s3_client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
                return [entry for page in pages for entry in page.get("Contents", ())]
            except Exception:  # noqa: BLE001, PERF203 - whatever it is
                time.sleep(1.0)

    def figures(self) -> Figures:
        """Return the current metrics."""
        with self.lock:
            return self.counts

    def _download(self, f_info: dict[str, Any]) -> None:
        path = self.out / f_info["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        temp_path = path.with_name(path.name + ".tmp")
        for retry in range(MAX_RETRIES + 1):
            try:
                self._attempt(f_info, temp_path)
                temp_path.replace(path)
            except Exception as error:  # noqa: BLE001, PERF203 - as it was
                traceback_str = traceback.format_exc()
                self._log_error(f_info, error, traceback_str)
                if retry == MAX_RETRIES:
                    self._failed(f_info, error, traceback_str)
                    return
                self._sleep(RETRY_DELAY * 2**retry)
            else:
                self._completed(f_info)
                return

    def _attempt(self, f_info: dict[str, Any], temp_path: Path) -> None:
        start_byte = temp_path.stat().st_size if temp_path.exists() else 0
        if start_byte > f_info["Size"]:
            temp_path.unlink()
            start_byte = 0
        if start_byte < f_info["Size"]:
            response = self.s3_client.get_object(Bucket=self.bucket, Key=f_info["Key"], Range=f"bytes={start_byte}-")
            with temp_path.open("ab" if start_byte else "wb") as file:
                for chunk in response["Body"].iter_chunks(chunk_size=CHUNK):
                    file.write(chunk)
            # response["Body"] is not closed
        size = temp_path.stat().st_size
        if size != f_info["Size"]:
            raise OSError(f"{size} bytes instead of {f_info['Size']}")

    def _sleep(self, seconds: float) -> None:
        began = time.monotonic()
        time.sleep(seconds / self.scale)
        with self.lock:
            blocked = self.counts.blocked + time.monotonic() - began
            self.counts = replace(self.counts, blocked=blocked)

    def _completed(self, f_info: dict[str, Any]) -> None:
        with self.lock:
            self.completed_files.add(f_info["Key"])
            self.counts = replace(self.counts, files=self.counts.files + 1, size=self.counts.size + f_info["Size"])
            self._save_progress()

    def _failed(self, f_info: dict[str, Any], error: Exception, traceback_str: str) -> None:
        with self.lock:
            self.failed_files.append({**f_info, "error": str(error), "traceback": traceback_str})
            self.counts = replace(self.counts, files=self.counts.files + 1, failed=self.counts.failed + 1)

    def _log_error(self, f_info: dict[str, Any], error: Exception, traceback_str: str) -> None:
        with self.lock:
            self.counts = replace(self.counts, faults=self.counts.faults + 1)
            with (self.out / "errors.log").open("a", encoding="utf-8") as log:
                log.write(f"{time.time()} {f_info['Key']}: {error}\n{traceback_str}\n")

    def _save_progress(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self.saved_at >= SAVE_EVERY:
            progress = {"completed": sorted(self.completed_files), "failed": [f["Key"] for f in self.failed_files]}
            text = json.dumps(progress)
            (self.out / "progress.json").write_text(text, "utf-8")
            self.saved_at = time.monotonic()
            self.counts = replace(self.counts, checkpoint_bytes=len(text), checkpoint_seconds=self.saved_at - now)


def _scale_botocore(scale: float) -> None:
    """Scale botocore's delays between its retries, too."""
    botocore.endpoint.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / scale))


def main() -> int:
    """Fetch all objects below the folder of the first key."""
    url, bucket, keys_file, out, workers, scale = sys.argv[1:]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(Path(keys_file).read_text("utf-8").split())
    program = Predecessor(url, bucket, folder, int(workers), float(scale))
    files = [f for f in program.list_files(min(wanted).split("/")[0] + "/") if f["Key"] in wanted]
    over = threading.Event()
    teller = threading.Thread(target=tell, args=(program.figures, over), daemon=True)
    teller.start()
    program.run(files)
    over.set()
    teller.join()
    print(replace(program.figures(), over=True).line(), flush=True)
    return 1 if program.failed_files else 0


if __name__ == "__main__":
    sys.exit(main())
