"""The window: `main` opens it and returns when it is closed. tkinter is needed here, and nowhere else in era5dl."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from era5dl.redaction import has_credentials, redact_secrets, redact_url

USAGE = 2  # exit code, as of the command line
CANNOT_GO_ON = 3  # exit code, as of the command line


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window; returns an exit code."""
    arguments = _parser().parse_args(argv)
    endpoint_url = arguments.endpoint_url or os.environ.get("ERA5DL_ENDPOINT_URL")
    if endpoint_url and has_credentials(endpoint_url):  # it would be kept, and shown
        sys.stderr.write(f"era5dl-gui: {redact_url(endpoint_url)}: leave out everything before the @\n")
        return USAGE
    obstacle = _obstacle()
    if obstacle:
        sys.stderr.write(f"{obstacle}\n")
        return CANNOT_GO_ON
    import tkinter as tk

    from era5dl.gui.app import App
    from era5dl.gui.signals import INTERRUPTED, ends_on_signals
    from era5dl.gui.startup_options import StartupOptions
    from era5dl.gui.theme.scaling import prepare_process
    from era5dl.log_file import start_logging
    from era5dl.thread_registry import shut_down

    prepare_process()
    try:
        root = tk.Tk(className="Era5dl")
    except tk.TclError as error:
        sys.stderr.write(f"The window cannot open: {error}. {_REMEDY}\n")
        return CANNOT_GO_ON
    end_logging = start_logging()
    options = StartupOptions(
        demo=arguments.demo,
        endpoint_url=endpoint_url,
        bucket=arguments.bucket or os.environ.get("ERA5DL_BUCKET"),
        out=arguments.out,
        folder=arguments.folder,
        scale=arguments.scale,
    )
    # Each call of Tk gives the interpreter's lock away; with the usual 5 ms, workers at full speed keep it that long
    # every time, and what the window draws in 3 ms takes 100.
    sys.setswitchinterval(0.0005)
    app = App(root, options)
    with ends_on_signals(lambda: root.after(0, app.controllers.closing.close_now)) as asked:
        root.mainloop()
    end_logging()
    return shut_down(INTERRUPTED if asked else 0)


_REMEDY = "Without a window everything works on the command line: era5dl --help"


def _obstacle() -> str:
    """Why no window can be opened here; "" when it can be tried."""
    if find_spec("tkinter") is None or find_spec("_tkinter") is None:
        install = (
            "apt install python3-tk" if sys.platform.startswith("linux") else "install a Python that comes with Tk"
        )
        return f"This Python has no tkinter, which the window needs: {install}. {_REMEDY}"
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        return f"There is no display (DISPLAY is not set), so no window can open here. {_REMEDY}"
    return ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What argparse complains of it repeats, and that may be an address with a password."""
        super().error(redact_secrets(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="era5dl-gui", description="The window of era5dl.", epilog=_REMEDY)
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="go on with the session in this folder")
    parser.add_argument("--demo", action="store_true", help="open on a small demo bucket on this computer")
    parser.add_argument("--endpoint-url", metavar="URL", help="another server than Amazon's")
    parser.add_argument("--bucket", metavar="NAME", help="another bucket than nsf-ncar-era5")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder the files go to")
    parser.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    return parser
