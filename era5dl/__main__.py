"""Runs the command line: `python -m era5dl` is the same as `era5dl`."""

import sys

from era5dl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
