"""Opens the window: python era5download_gui.py"""

from era5dl.gui import main

if __name__ == "__main__":
    raise SystemExit(main())
