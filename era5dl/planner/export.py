"""Export of a plan to other download tools: s5cmd, aria2, rclone, the AWS command line, wget, or a Python script.

Each file downloads the objects below the folder it is run in, with the keys as paths, as `era5dl download` does: a
folder filled by one can be continued or verified by the other. Where the format has room for it, sizes, MD5s (ETags of
objects that were not uploaded in parts) and the ETag itself (If-Match) go along. Keys are untrusted: they are quoted
for each format, and keys that are no file below the folder are refused.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import UsageError
from era5dl.folder.paths import check_key
from era5dl.formatting import format_count, format_size
from era5dl.planner.export_scripts import PYTHON, SHELL
from era5dl.planner.plan import Plan
from era5dl.proof.etag import etag_md5, is_weak, quoted
from era5dl.settings import Settings

TITLE = "ERA5 from NSF NCAR's bucket"
"""Begin of the first comment of each file."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A plan and where its objects are. endpoint: "" for Amazon's."""

    objects: Sequence[ObjectInfo]
    endpoint: str
    bucket: str
    region: str
    opaque_etags: bool
    about: tuple[str, ...]  # lines of the comment at the top

    def url(self, key: str) -> str:
        """Return the URL of an object."""
        base = f"{self.endpoint}/{quote(self.bucket)}"
        if not self.endpoint:
            base = f"https://{self.bucket}.s3.{self.region}.amazonaws.com"
        return f"{base}/{quote(key, safe='/')}"

    def md5(self, obj: ObjectInfo) -> str:
        """Return the MD5 of an object in hexadecimal; "" if its ETag is not one."""
        found = None if self.opaque_etags else etag_md5(obj.etag)
        return found.md5 if found and found.parts is None else ""

    def comment(self, *more: str, mark: str = "#") -> list[str]:
        return [f"{mark} {line}" for line in (*self.about, *more)]


def export_plan(plan: Plan, tool: str, settings: Settings) -> str:
    """Return the text of the file for a tool of TOOLS. A subset is ignored: these tools fetch whole files.

    Raises UsageError for another tool, for --flat, and for keys that cannot be file names.
    """
    if tool not in TOOLS:
        raise UsageError(f"There is no export for “{tool}”.", remedy=f"Use one of: {', '.join(TOOLS)}.")
    if settings.flat:
        raise UsageError("Exports keep the folders of the bucket.", remedy="Leave --flat out.")
    for obj in plan.objects:
        check_key(obj.key, windows=False)
        if not obj.key.isprintable():
            raise UsageError(f"{obj.key!a} contains control characters.", remedy="Leave this key out.")
    job = _Job(
        plan.objects,
        (settings.endpoint_url or "").rstrip("/"),
        settings.bucket,
        settings.region,
        settings.opaque_etags,
        _about(plan),
    )
    return TOOLS[tool](job)


def _about(plan: Plan) -> tuple[str, ...]:
    lines = [f"{TITLE}: {format_count(len(plan.objects), 'file')}, {format_size(plan.total_bytes)}"]
    if not plan.subset.is_everything:
        lines.append("Whole files: this tool cannot fetch the subset that was selected.")
    if plan.missing:
        lines.append(f"Not in the bucket, and left out: {format_count(len(plan.missing), 'file')}")
    return tuple(lines)


def _s5cmd(job: _Job) -> str:
    endpoint = f" --endpoint-url {shlex.quote(job.endpoint)}" if job.endpoint else ""
    region = "" if job.endpoint else f"AWS_REGION={shlex.quote(job.region)} "
    head = job.comment(
        "Run in the download folder; again, to continue (files of the right size are left alone):",
        f"  {region}s5cmd --no-sign-request{endpoint} run FILE",
    )
    lines = (
        f"cp --raw --if-size-differ {shlex.quote(f's3://{job.bucket}/{obj.key}')} {shlex.quote(f'./{obj.key}')}"
        for obj in job.objects
    )
    return _text(head, lines)


def _aria2(job: _Job) -> str:
    head = job.comment(
        "Run in the download folder; again, to continue:",
        "  aria2c --input-file=FILE --continue=true --check-integrity=true --auto-file-renaming=false "
        "--max-concurrent-downloads=4 --split=4",
    )
    lines = []
    for obj in job.objects:
        lines += [job.url(obj.key), f"  out={obj.key}"]
        if md5 := job.md5(obj):
            lines.append(f"  checksum=md5={md5}")
        if obj.etag and not is_weak(obj.etag):
            lines.append(f"  header=If-Match: {quoted(obj.etag)}")
    return _text(head, lines)


def _rclone(job: _Job) -> str:
    where = ["--s3-provider", "Other", "--s3-endpoint", job.endpoint] if job.endpoint else ["--s3-provider", "AWS"]
    command = ["rclone", "copy", f":s3:{job.bucket}", ".", *where, "--s3-region", job.region]
    command += ["--s3-env-auth=false", "--s3-no-check-bucket", "--checksum", "--progress", "--files-from-raw", "-"]
    about = "Run in the download folder; again, to continue. rclone compares sizes and MD5s itself."
    keys = [obj.key for obj in job.objects]
    end = "END_OF_KEYS"
    while end in keys:
        end += "_"
    script = [f"{shlex.join(command)} <<'{end}'", *keys, end]
    return _text(["#!/bin/sh", *job.comment(about)], script)


def _aws(job: _Job) -> str:
    options = ["aws", "s3", "cp", "--no-sign-request", "--only-show-errors", "--region", job.region]
    if job.endpoint:
        options += ["--endpoint-url", job.endpoint]
    get = f'{shlex.join(options)} {shlex.quote(f"s3://{job.bucket}/")}"$1" "$2"'
    return _shell(job, get, [(obj.key, obj) for obj in job.objects])


def _wget(job: _Job) -> str:
    get = 'wget --no-verbose --continue --header="If-Match: $3" --output-document="$2" "$1"'
    if any(not obj.etag or is_weak(obj.etag) for obj in job.objects):
        get = get.replace('--header="If-Match: $3" ', "")
    return _shell(job, get, [(job.url(obj.key), obj) for obj in job.objects])


def _shell(job: _Job, get: str, sources: Sequence[tuple[str, ObjectInfo]]) -> str:
    """Return a shell script. get: the command that fetches $1 into the file $2; $3 is the ETag."""
    calls = (
        shlex.join(("fetch", source, obj.key, str(obj.size), job.md5(obj), quoted(obj.etag))) for source, obj in sources
    )
    head, _, tail = SHELL.partition("CALLS\n")
    return _text(["#!/bin/sh", *job.comment(), *head.replace("GET", get).splitlines()], [*calls, *tail.splitlines()])


def _python(job: _Job) -> str:
    rows = [
        json.dumps([obj.key, job.url(obj.key), obj.size, job.md5(obj), "" if is_weak(obj.etag) else quoted(obj.etag)])
        for obj in job.objects
    ]
    head, _, tail = PYTHON.partition("FILES = []\n")
    lines = ["FILES = [  # path, URL, bytes, MD5 or nothing, ETag", *(f"    {row}," for row in rows), "]"]
    return _text(["#!/usr/bin/env python3", *job.comment(), *head.splitlines()], [*lines, *tail.splitlines()])


def _text(head: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join([*head, *lines, ""])


TOOLS: dict[str, Callable[[_Job], str]] = {
    "s5cmd": _s5cmd,
    "aria2": _aria2,
    "rclone": _rclone,
    "aws": _aws,
    "wget": _wget,
    "python": _python,
}
SCRIPTS = frozenset({"rclone", "aws", "wget", "python"})
"""Tools whose file is a script to run; the others read it."""
