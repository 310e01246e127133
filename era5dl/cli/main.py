"""Main function of `era5dl` and `python -m era5dl`: runs one command, reports how it ended, and returns its exit code.

With --json the `end` record is the last one. An error is printed as a sentence and a remedy, never as a traceback
(ERA5DL_DEBUG=1 shows it). Slow imports are delayed until the command is known, so that `era5dl --help` is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from era5dl.cli import exit_codes
from era5dl.cli.exit_codes import ExitCode
from era5dl.errors import Era5Error
from era5dl.redaction import redact_secrets

if TYPE_CHECKING:
    from era5dl.cli.interrupts import Interrupts
    from era5dl.cli.output import Output

    Command = Callable[[argparse.Namespace, Output, Interrupts], int]

_GC_THRESHOLD = 10_000  # objects; with Python's default of 700, garbage collection takes a tenth of the start-up time
_RESUMABLE = ("download", "resume", "demo", "update")  # commands that report a closed output as an interruption


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Without `argv` this is the program itself, with the arguments of `sys.argv`, and may end the process.
    """
    if argv is not None:
        return _main(list(argv))
    gc.set_threshold(_GC_THRESHOLD)
    _open_missing_streams()
    try:
        code = _main(sys.argv[1:], is_program=True)
        if "threading" not in sys.modules:  # --help
            return code
        from era5dl.cli.interrupts import ignore_signals
        from era5dl.thread_registry import shut_down

        code = shut_down(code)
        ignore_signals()  # a signal during the interpreter's exit must not replace the exit code
    except KeyboardInterrupt:  # before the signal handlers were installed, or while an error was reported
        code = ExitCode.INTERRUPTED
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write("era5dl: interrupted\n")
    if code == ExitCode.INTERRUPTED:
        os._exit(code)  # after an interrupt inside exec(), as in an import, Python would exit by signal instead
    return code


def _main(words: list[str], *, is_program: bool = False) -> int:
    """Parse the arguments, run the command, and return the exit code. is_program: the process ends afterwards."""
    from era5dl.cli.parser import build_parser  # imported here, where an interrupt is handled: it takes a while

    try:
        arguments = build_parser().parse_args(words)
    except SystemExit as end:  # argparse has printed the error to stderr, or the help
        code = end.code if isinstance(end.code, int) else ExitCode.USAGE
        return _end_of_parsing(code, json="--json" in words)

    from era5dl.cli.interrupts import Interrupts
    from era5dl.cli.output import Output
    from era5dl.log_file import start_logging

    _escape_unencodable_characters()
    output = Output(json=arguments.json, quiet=arguments.quiet)
    stop_logging = start_logging()
    try:
        with Interrupts(until_exit=is_program) as interrupts:
            code = _run(arguments, output, interrupts)
    except BrokenPipeError:  # the reader of stdout has closed it, which is not an error
        code = ExitCode.INTERRUPTED if _is_resumable(arguments) else ExitCode.OK
    finally:
        stop_logging()
    return code if _flush_stdout(output) else code or ExitCode.FAILED


def _is_resumable(arguments: argparse.Namespace) -> bool:
    return arguments.command in _RESUMABLE or arguments.run == "queue:run"


def _run(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Run the command, print its error, write the `end` record, and return the exit code."""
    error = remedy = ""
    try:
        with _recognise_interrupts():
            code = _command(arguments.run)(arguments, output, interrupts)
    except KeyboardInterrupt:
        code, error = ExitCode.INTERRUPTED, "interrupted"
        output.notice("era5dl: interrupted")
    except Era5Error as failure:
        _print_traceback_if_debugging()
        output.error(failure)
        code, error, remedy = exit_codes.for_error(failure), redact_secrets(str(failure)), failure.remedy
    except BrokenPipeError:
        raise
    except Exception as bug:  # noqa: BLE001 - a bug in era5dl: the user gets a sentence, with ERA5DL_DEBUG=1 a traceback
        _print_traceback_if_debugging()
        problem = Era5Error(
            redact_secrets(f"internal error: {type(bug).__name__}: {bug}"),
            remedy="This is a bug. Run the command again with ERA5DL_DEBUG=1 and report the output.",
        )
        output.error(problem)
        code, error, remedy = ExitCode.FAILED, str(problem), problem.remedy
    with contextlib.suppress(BrokenPipeError, Era5Error):  # `_flush_stdout` reports an output that cannot be written
        if output.json_writer is not None:
            output.json_writer.end(code, error, remedy)
    return code


@contextlib.contextmanager
def _recognise_interrupts() -> Iterator[None]:
    """Raise an exception that was caused by a KeyboardInterrupt as a KeyboardInterrupt.

    Python 3.11 raises RuntimeError when an interrupt arrives while a class is created, as in most imports.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        seen: list[BaseException] = []  # exceptions can be each other's causes
        while cause is not None and cause not in seen and not isinstance(cause, KeyboardInterrupt):
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        if not isinstance(cause, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from error


def _command(name: str) -> Command:
    """Import a command's function, named "module:function" below era5dl.cli.commands."""
    module, function = name.split(":")
    command: Command = getattr(import_module(f"era5dl.cli.commands.{module}"), function)
    return command


def _end_of_parsing(code: int, *, json: bool) -> int:
    """Write the `end` record after a usage error. There are no records after --help and --version."""
    if code and json:
        from era5dl.cli.json_output import JsonWriter

        JsonWriter(sys.stdout).end(code, error="wrong usage", remedy="See era5dl --help.")
    return code


def _print_traceback_if_debugging() -> None:
    if os.environ.get("ERA5DL_DEBUG", "") not in ("", "0"):
        import traceback

        sys.stderr.write(redact_secrets(traceback.format_exc()))


def _open_missing_streams() -> None:
    """Use the null device for stdout or stderr if the program was started without it (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the exit


def _escape_unencodable_characters() -> None:
    """Print characters that the terminal's encoding lacks as escapes, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")


def _flush_stdout(output: Output) -> bool:
    """Return whether all of stdout has been written, or its reader has closed it."""
    from era5dl.cli.json_output import stdout_errors
    from era5dl.thread_registry import redirect_to_devnull

    try:
        with stdout_errors():
            sys.stdout.flush()
    except BrokenPipeError:
        redirect_to_devnull(sys.stdout)
        redirect_to_devnull(sys.stderr)
    except Era5Error as lost:
        redirect_to_devnull(sys.stdout)
        output.error(lost)
        return False
    return True
