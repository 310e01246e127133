"""The programs that are compared on faults: era5dl, its predecessor, s5cmd, rclone and aws cli.

Each runs with its default settings, aws cli also with more retries. A program is looked for beside the running Python,
then in the given virtual environments, then on the PATH.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.soak_objects import PREFIX
from tests.benchmarks.speed.peers import program_of

WORKERS = 16


@dataclass(frozen=True, slots=True)
class Task:
    """What to fetch, and where to save it: files get their keys as paths below `out`."""

    url: str
    ca_file: str  # "" for a plain server
    bucket: str
    keys_file: Path
    out: Path


@dataclass(frozen=True, slots=True)
class Client:
    """One client program. environment: additional variables. tls: uses https."""

    name: str
    command: Callable[[Task], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False


def find_clients(venvs: Sequence[Path]) -> tuple[list[Client], list[str]]:
    """Return the installed clients, and a line about each missing one."""
    clients, missing = [Client("era5dl", _era5dl), Client("era5dl, https", _era5dl, tls=True)], []
    clients.append(Client("predecessor", _predecessor))
    for name, make in (("s5cmd", _s5cmd), ("rclone", _rclone), ("aws", _aws)):
        program = program_of(name, venvs)
        if program is None:
            missing.append(f"{name} is not there: left out")
        else:
            clients += make(program)
    return clients, missing


def _era5dl(task: Task) -> list[str]:
    where = ["--endpoint-url", task.url, "--bucket", task.bucket, "--keys-file", str(task.keys_file)]
    trust = ["--ca-bundle", task.ca_file] if task.ca_file else []
    how = ["--out", str(task.out), "--workers", str(WORKERS), "--quiet"]
    return [sys.executable, "-m", "era5dl", "download", *where, *trust, *how]


def _predecessor(task: Task) -> list[str]:
    words = [task.url, task.bucket, str(task.keys_file), str(task.out), str(WORKERS), "1"]
    return [sys.executable, "-m", "tests.benchmarks.predecessor", *words]


def _s5cmd(program: str) -> list[Client]:
    def command(task: Task) -> list[str]:
        where = ["--endpoint-url", task.url, "--no-sign-request", "--log", "error", "--numworkers", str(WORKERS)]
        return [program, *where, "cp", f"s3://{task.bucket}/{PREFIX}*", f"{task.out / PREFIX}/"]

    return [Client("s5cmd (10 retries)", command)]


def _rclone(program: str) -> list[Client]:
    def command(task: Task) -> list[str]:
        remote = f":s3,provider=Other,endpoint='{task.url}',env_auth=false,region=us-west-2:{task.bucket}/{PREFIX}"
        how = ["--config", "/dev/null", "--s3-no-check-bucket", "--transfers", str(WORKERS)]
        return [program, "copy", remote, str(task.out / PREFIX), *how]

    return [Client("rclone (10 low-level retries, 3 rounds)", command)]


def _aws(program: str) -> list[Client]:
    def command(task: Task) -> list[str]:
        where = ["--endpoint-url", task.url, "--no-sign-request", "--region", "us-west-2"]
        source = f"s3://{task.bucket}/{PREFIX}"
        return [program, "s3", "cp", *where, "--recursive", "--only-show-errors", source, str(task.out / PREFIX)]

    usual = {"AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
    patient = {**usual, "AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "10"}
    return [Client("aws cli", command, usual), Client("aws cli (standard, 10 attempts)", command, patient)]
