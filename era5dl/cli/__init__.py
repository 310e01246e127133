"""The command line: the engine without a window. `main` is what `era5dl` and `python -m era5dl` call.

Exit codes: 0 all in place and proven, 1 some files failed or are missing upstream, 2 wrong usage, 3 cannot go on,
130 interrupted by the user. An error ends in a sentence and a remedy, never in a traceback (ERA5DL_DEBUG=1 shows it).
Nothing heavy is imported before the command is known: `era5dl --help` must be instant.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from era5dl.errors import Era5Error, Stopped, UsageError
from era5dl.redaction import redact_secrets

if TYPE_CHECKING:
    from era5dl.cli.interrupts import Interrupts
    from era5dl.cli.output import Voice

    Command = Callable[[argparse.Namespace, Voice, Interrupts], int]

FINE, INCOMPLETE, USAGE, CANNOT_GO_ON, INTERRUPTED = 0, 1, 2, 3, 130
_COLLECT_EVERY = 10_000  # objects; with Python's 700, a tenth of the start is looking for garbage where there is none


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Without `argv` we are the program itself and may end the process."""
    if argv is not None:
        return _main(list(argv))
    gc.set_threshold(_COLLECT_EVERY)
    _have_streams()
    try:
        code = _main(sys.argv[1:], last=True)
        if "threading" not in sys.modules:  # --help
            return code
        from era5dl.cli.interrupts import ignore_signals
        from era5dl.thread_registry import shut_down

        code = shut_down(code)
        ignore_signals()  # so that one which comes while Python ends takes the place of no exit code
    except KeyboardInterrupt:  # before our handler was there, or while an error was told
        code = INTERRUPTED
    if code == INTERRUPTED:
        os._exit(code)  # where the interrupt met an exec(), as of an import, Python would end by a signal of its own
    return code


def _main(words: list[str], *, last: bool = False) -> int:
    """last: nothing comes after it but the end of the process."""
    from era5dl.cli.parser import build_parser  # here, where an interrupt is told: it takes a third of the start

    try:
        arguments = build_parser().parse_args(words)
    except SystemExit as end:  # argparse has said it all on stderr, or printed the help
        code = end.code if isinstance(end.code, int) else USAGE
        return _end_of_usage(code, json="--json" in words)

    from era5dl.cli.interrupts import Interrupts
    from era5dl.cli.output import Voice
    from era5dl.log_file import start_logging

    _forgive_odd_characters()
    voice = Voice(json=arguments.json, quiet=arguments.quiet)
    end_logging = start_logging()
    try:
        with Interrupts(last=last) as interrupts:
            code = _run(arguments, voice, interrupts)
    except BrokenPipeError:  # whoever read our output has left: stop quietly, it is no error
        code = INTERRUPTED if arguments.command in ("download", "resume", "demo") else FINE
    finally:
        end_logging()
    return code if _flushed(voice) else code or CANNOT_GO_ON


def _run(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """The command, with every way it can end turned into an exit code and a last record."""
    error = remedy = ""
    try:
        with _interrupts_as_such():
            code = _function(arguments.run)(arguments, voice, interrupts)
    except KeyboardInterrupt:
        code, error = INTERRUPTED, "interrupted"
        voice.insist("era5dl: interrupted")
    except Era5Error as failure:
        _show_traceback_if_asked()
        voice.complain(failure)
        code, error, remedy = exit_code(failure), redact_secrets(str(failure)), failure.remedy
    except BrokenPipeError:
        raise
    except Exception as bug:  # noqa: BLE001 - a bug of ours; the user gets a sentence, ERA5DL_DEBUG=1 the rest
        _show_traceback_if_asked()
        problem = Era5Error(
            redact_secrets(f"{type(bug).__name__}: {bug}"),
            remedy="This should not happen. Run it again with ERA5DL_DEBUG=1 and report what it says.",
        )
        voice.complain(problem)
        code, error, remedy = CANNOT_GO_ON, str(problem), problem.remedy
    with contextlib.suppress(BrokenPipeError, Era5Error):  # nobody hears how it ended; `_flushed` has a word on that
        voice.record("end", exit_code=code, error=error, remedy=remedy)
    return code


@contextlib.contextmanager
def _interrupts_as_such() -> Iterator[None]:
    """Inside, an error that was made of an interrupt is one: Python 3.11 makes a RuntimeError of one that comes while a
    class is being made, as imports do all the time."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        seen: list[BaseException] = []  # errors of one `raise ... from` and the next can be each other's causes
        while cause is not None and cause not in seen and not isinstance(cause, KeyboardInterrupt):
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        if not isinstance(cause, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from error


def exit_code(error: Era5Error) -> int:
    """
    UsageError                                   -> 2
    Stopped                                      -> 130
    disk, folder, endpoint, certificate, session -> 3, and whatever else ends a whole command
    """
    if isinstance(error, UsageError):
        return USAGE
    return INTERRUPTED if isinstance(error, Stopped) else CANNOT_GO_ON


def _function(place: str) -> Command:
    module, name = place.split(":")
    command: Command = getattr(import_module(f"era5dl.cli.commands.{module}"), name)
    return command


def _end_of_usage(code: int, *, json: bool) -> int:
    """--help and --version end well; a wrong command line still gets its last record."""
    if code and json:
        from era5dl.cli.json_output import JsonLines

        JsonLines(sys.stdout).write("end", exit_code=code, error="wrong usage", remedy="See era5dl --help.")
    return code


def _show_traceback_if_asked() -> None:
    if os.environ.get("ERA5DL_DEBUG", "") not in ("", "0"):
        import traceback

        sys.stderr.write(redact_secrets(traceback.format_exc()))


def _have_streams() -> None:
    """A program that was started without streams (`>&-`) speaks to nobody."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


def _forgive_odd_characters() -> None:
    """A terminal that cannot show a character gets its code instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")


def _flushed(voice: Voice) -> bool:
    """Whether all that was said on stdout is out, or nobody reads it."""
    from era5dl.cli.json_output import writing

    try:
        with writing():
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_streams()
    except Era5Error as lost:
        _silence_streams(sys.stdout)
        voice.complain(lost)
        return False
    return True


def _silence_streams(*streams: TextIO) -> None:
    """Point stdout and stderr at nothing, so that leaving Python does not complain about the broken pipe again."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in streams or (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)
