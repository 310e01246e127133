"""Entry point of the frozen command line, and of the child processes of both frozen programs."""

import sys

from era5dl.child_process import run_module_if_asked

if __name__ == "__main__":
    if not run_module_if_asked():
        from era5dl.__main__ import main

        sys.exit(main())
