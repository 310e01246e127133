"""Tests of the end of the program: exit code, complete output, and no thread left."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from era5dl.bucket.s3 import S3Bucket
from era5dl.errors import Stopped
from era5dl.planner import plan_keys
from era5dl.settings import Settings
from tests.faultlab import FaultServer

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits that bind threads so are Linux's")
GIB = 1 << 30
FOLDERS = 16


def python(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments. A crash writes a traceback to stderr."""
    environ = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, encoding="utf-8", timeout=60, env=environ, **options
    )


def era5dl(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return python("-m", "era5dl", *map(str, words), **options)


def script(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return python("-c", textwrap.dedent(text), *words)


def key_list(tmp_path: Path, server: FaultServer) -> Path:
    """Create objects in many folders, and return a list of their keys, one per folder."""
    keys = [f"folder{number:02}/one.nc" for number in range(FOLDERS)]
    for key in keys:
        server.put(key, key.encode() * 1000)
    path = tmp_path / "keys.txt"
    path.write_text("\n".join(keys), encoding="utf-8")
    return path


def wait_until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def planners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("planner-")]


# --- threads are stopped at the exit


def test_cancelled_planning_leaves_no_thread_in_a_handshake() -> None:
    """The server accepts connections but never answers. Without being stopped, threads would wait for a minute."""
    with ExitStack() as open_connections, socket.create_server(("127.0.0.1", 0), backlog=FOLDERS) as silent:
        silent.settimeout(20)
        endpoint = f"https://127.0.0.1:{silent.getsockname()[1]}"
        bucket = S3Bucket(Settings(endpoint_url=endpoint, connect_timeout=60.0, read_timeout=60.0))
        cancel = threading.Event()
        failure: list[BaseException] = []

        def plan() -> None:
            try:
                plan_keys([f"{number}/a" for number in range(4)], bucket, cancelled=cancel.is_set)
            except Stopped as stopped:
                failure.append(stopped)

        thread = threading.Thread(target=plan)
        thread.start()
        for _ in range(4):
            connection = open_connections.enter_context(silent.accept()[0])
            assert connection.recv(1) == b"\x16"  # a handshake has started
        assert len(planners()) == 4
        cancel.set()
        thread.join(10)
        assert isinstance(failure[0], Stopped)
        wait_until(lambda: not planners())


def test_the_interpreter_exit_stops_and_waits_for_downloads() -> None:
    """As a library: an exit during a download leaves no thread."""
    done = script("""
        import threading
        from era5dl import thread_registry

        class Work:
            def __init__(self):
                self.over = threading.Event()
            def stop(self):
                self.over.set()
            def work(self):
                self.over.wait(30)
                print("ended in order", flush=True)

        work = Work()
        thread_registry.start_thread(threading.Thread(target=work.work, daemon=True), work.stop)
        raise SystemExit(7)
    """)
    assert (done.returncode, done.stdout) == (7, "ended in order\n"), done.stderr


def test_a_thread_that_cannot_be_stopped_does_not_block_the_exit_or_lose_output() -> None:
    began = time.monotonic()
    done = script("""
        import sys, threading
        from era5dl import thread_registry

        thread_registry.start_thread(threading.Thread(target=threading.Event().wait, args=(30,)))
        sys.stdout.write("the last word")
        sys.exit(thread_registry.shut_down(3))
    """)
    assert (done.returncode, done.stdout) == (3, "the last word"), done.stderr
    assert time.monotonic() - began < 15


# --- the command line


@pytest.mark.slow
def test_a_failed_plan_ends_with_its_exit_code(fault_server_tls: FaultServer, tmp_path: Path) -> None:
    """Sixteen threads find the certificate untrusted at the same time. One reports it while fifteen still run."""
    keys = key_list(tmp_path, fault_server_tls)
    for _ in range(12):
        done = era5dl("plan", "--keys-file", keys, "--endpoint-url", fault_server_tls.endpoint_url)
        assert done.returncode == 3, done.stderr
        assert "certificate" in done.stderr
        assert "Fatal" not in done.stderr


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("words", [("products",), ("products", "--json"), ("variables", "temperature")])
def test_lost_results_are_reported(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "era5dl", *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 3
    assert "standard output cannot be written" in done.stderr
    assert "This is a bug" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_an_error_keeps_its_exit_code_when_stdout_is_closed(
    fault_server_tls: FaultServer, tmp_path: Path, json: tuple[str, ...]
) -> None:
    keys = key_list(tmp_path, fault_server_tls)
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "era5dl", "plan", "--keys-file", str(keys), *json,
             "--endpoint-url", fault_server_tls.endpoint_url],
            stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.returncode == 3, done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
def test_commands_work_without_stdout_and_stderr() -> None:
    done = python("-c", "import os, sys; os.close(1); os.close(2); os.execv(sys.executable, sys.argv[1:])",
                  sys.executable, "-m", "era5dl", "products", "--json")  # fmt: skip
    assert done.returncode == 0


# --- systems that limit the number of threads


def few_threads(most: int) -> Callable[[], None]:
    """Limit the threads of a child process by its address space, of which each stack takes 2 GiB."""

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_STACK, (2 * GIB, resource.RLIM_INFINITY))
        room = int((2 * most + 0.9) * GIB)
        resource.setrlimit(resource.RLIMIT_AS, (room, room))

    return limit


@pytest.mark.slow
@LINUX
def test_a_thread_limit_reduces_the_workers_and_is_reported(fault_server: FaultServer, tmp_path: Path) -> None:
    keys = key_list(tmp_path, fault_server)
    out = tmp_path / "out"
    words = ("--keys-file", keys, "--out", out, "--endpoint-url", fault_server.endpoint_url, "--json")
    done = era5dl("download", *words, "--workers", 64, preexec_fn=few_threads(20))
    assert done.returncode == 0, done.stderr
    assert "instead of 64" in done.stderr
    assert "ulimit -u" in done.stderr
    assert '"fewer-workers"' in done.stdout
    assert len(list(out.rglob("*.nc"))) == FOLDERS


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("command", ["plan", "download", "diagnose", "verify"])
def test_a_system_without_threads_is_reported_with_a_remedy(
    fault_server: FaultServer, tmp_path: Path, command: str, most: int
) -> None:
    keys, out = key_list(tmp_path, fault_server), tmp_path / "out"
    where = ("--endpoint-url", fault_server.endpoint_url)
    what = ("--keys-file", keys) if command in ("plan", "download") else ()
    if command in ("download", "verify"):
        what += ("--out", out) if command == "download" else (out,)
    if command == "verify":
        assert era5dl("download", "--keys-file", keys, "--out", out, *where).returncode == 0
    done = era5dl(command, *what, *where, preexec_fn=few_threads(most))
    assert done.returncode in (0, 3), done.stderr
    assert "This is a bug" not in done.stderr
    assert "internal error" not in done.stderr
    if most == 0 or command == "download":
        assert done.returncode == 3
        assert "more threads" in done.stderr
        assert "ulimit -u" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
@pytest.mark.parametrize(
    "place",
    [
        "exec('import signal; signal.raise_signal(signal.SIGINT)')",
        "type('Made', (), {'field': Field()})",
    ],
)
def test_an_interrupt_at_any_point_has_exit_code_130(tmp_path: Path, place: str) -> None:
    """Python exits by SIGINT after a KeyboardInterrupt in exec(), and converts one during the creation of a class to a
    RuntimeError."""
    program = f"""
        import signal, sys
        import era5dl.cli.commands.catalog as commands
        from era5dl.cli.main import main

        class Field:
            def __set_name__(self, *_):
                signal.raise_signal(signal.SIGINT)

        def products(*_):
            {place}

        commands.products = products
        sys.argv = ["era5dl", "products"]
        sys.exit(main())
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    done = python("-m", "program", cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "era5dl: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
@pytest.mark.parametrize("module", ["era5dl.cli", "era5dl.errors", "era5dl.cli.parser", "era5dl.log_file"])
@pytest.mark.parametrize(
    "start", ["runpy.run_module('era5dl', run_name='__main__', alter_sys=True)", "sys.exit(entry_point.load()())"]
)
def test_an_interrupt_during_startup_prints_no_traceback(tmp_path: Path, module: str, start: str) -> None:
    program = f"""
        import runpy, signal, sys
        from importlib.metadata import EntryPoint

        class Finder:
            def find_spec(self, name, *_):
                if name == {module!r}:
                    signal.raise_signal(signal.SIGINT)

        sys.meta_path.insert(0, Finder())
        entry_point = EntryPoint("era5dl", {_console_script()!r}, "console_scripts")
        sys.argv = ["era5dl", "products"]
        {start}
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    done = python("-m", "program", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "era5dl: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of other kinds")
def test_an_interrupt_while_a_class_is_created_during_startup_prints_no_traceback(tmp_path: Path) -> None:
    """Python 3.11 converts it to a RuntimeError."""
    program = """
        import runpy, signal, sys

        class Field:
            def __set_name__(self, *_):
                signal.raise_signal(signal.SIGINT)

        class Finder:
            def find_spec(self, name, *_):
                if name == "era5dl.errors":
                    type("Made", (), {"field": Field()})

        sys.meta_path.insert(0, Finder())
        sys.argv = ["era5dl", "products"]
        runpy.run_module("era5dl", run_name="__main__", alter_sys=True)
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    done = python("-m", "program", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "era5dl: interrupted\n")


def _console_script() -> str:
    """Return the entry point of the command `era5dl`, such as "package.module:function"."""
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^era5dl = "(.+)"$', project, re.MULTILINE)
    assert found is not None
    return found[1]
