"""Opens the window: `python -m era5dl.gui`."""

from era5dl.gui import main

if __name__ == "__main__":
    raise SystemExit(main())
