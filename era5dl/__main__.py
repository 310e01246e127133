"""The program: the command `era5dl` is the same as `python -m era5dl`.

Imports of the command line take a few tenths of a second on a slow disk. An interrupt in that time must not print a
traceback, so they are inside of `main`, and this module and era5dl/__init__.py import next to nothing.
"""

import os
import sys

INTERRUPTED = 130  # as in era5dl.cli.exit_codes, which may not be imported yet


def main() -> int:
    """Run the command line with the arguments of `sys.argv`, and return the exit code."""
    try:
        from era5dl.cli.main import main as run
    except (KeyboardInterrupt, RuntimeError) as error:  # Python 3.11 raises RuntimeError if a class is being created
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        try:
            os.write(2, b"era5dl: interrupted\n")
        finally:  # also if stderr is closed
            os._exit(INTERRUPTED)  # a return would end in an exit by signal, as explained in era5dl.cli.main
    return run()


if __name__ == "__main__":
    sys.exit(main())
