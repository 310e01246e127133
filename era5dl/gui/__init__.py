"""Graphical user interface (Tk): `main` opens the window and returns when it is closed. Only this package needs Tk."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from era5dl.redaction import has_credentials, redact_secrets, redact_url

USAGE = 2  # exit codes, the same as those of the command line
CANNOT_RUN = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window. Return the exit code when it is closed."""
    arguments = _parser().parse_args(argv)
    endpoint_url = arguments.endpoint_url or os.environ.get("ERA5DL_ENDPOINT_URL")
    if endpoint_url and has_credentials(endpoint_url):  # the password would be saved and shown
        sys.stderr.write(f"era5dl-gui: {redact_url(endpoint_url)}: remove everything before the @\n")
        return USAGE
    problem = _display_problem()
    if problem:
        sys.stderr.write(f"{problem}\n")
        return CANNOT_RUN
    import tkinter as tk

    from era5dl.gui.app import App
    from era5dl.gui.backend.desktop import identify_program
    from era5dl.gui.signals import INTERRUPTED, close_on_signals
    from era5dl.gui.startup_options import StartupOptions
    from era5dl.gui.theme.scaling import prepare_process
    from era5dl.log_file import start_logging
    from era5dl.thread_registry import shut_down

    prepare_process()
    identify_program()
    try:
        root = tk.Tk(className="Era5dl")
    except tk.TclError as error:
        sys.stderr.write(f"The window cannot open: {error}. {_REMEDY}\n")
        return CANNOT_RUN
    end_logging = start_logging()
    options = StartupOptions(
        demo=arguments.demo,
        endpoint_url=endpoint_url,
        bucket=arguments.bucket or os.environ.get("ERA5DL_BUCKET"),
        out=arguments.out,
        folder=arguments.folder,
        scale=arguments.scale,
    )
    # Each Tk call releases the GIL. With the default interval of 5 ms, busy workers keep it for that long each time,
    # and drawing takes 100 ms instead of 3. Windows waits for whole milliseconds: less than one would be a busy loop.
    sys.setswitchinterval(0.001 if os.name == "nt" else 0.0005)
    app = App(root, options)
    with close_on_signals(lambda: root.after(0, app.controllers.closing.close_now)) as signals_received:
        root.mainloop()
    end_logging()
    return shut_down(INTERRUPTED if signals_received else 0)


_REMEDY = "The command line needs no window: era5dl --help"


def _display_problem() -> str:
    """Return why no window can be opened on this computer; "" if none is known."""
    if find_spec("tkinter") is None or find_spec("_tkinter") is None:
        install = (
            "apt install python3-tk" if sys.platform.startswith("linux") else "install a Python that comes with Tk"
        )
        return f"This Python has no tkinter, which the window needs: {install}. {_REMEDY}"
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        return f"The window cannot open because there is no display (DISPLAY is not set). {_REMEDY}"
    return ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error without passwords: argparse repeats the rejected argument, possibly a URL with a password."""
        super().error(redact_secrets(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="era5dl-gui", description="Download ERA5 files, with a window.", epilog=_REMEDY)
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="resume the session in this folder")
    parser.add_argument("--demo", action="store_true", help="use a small demo bucket on this computer")
    parser.add_argument("--endpoint-url", metavar="URL", help="S3 server to use instead of Amazon's")
    parser.add_argument("--bucket", metavar="NAME", help="bucket to use instead of nsf-ncar-era5")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files")
    parser.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    return parser
