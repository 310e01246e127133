"""Entry point of the frozen window, and of its child processes."""

import sys

from era5dl.child_process import run_module_if_asked

if __name__ == "__main__":
    if not run_module_if_asked():
        from era5dl.gui import main

        sys.exit(main())
