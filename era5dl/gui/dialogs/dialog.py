"""Base class of the dialog windows: appearance, position above the main window, closing with Escape."""

from __future__ import annotations

import tkinter as tk

from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme


class Dialog(tk.Toplevel):
    """Dialog window that is hidden until `open`. Escape and the window manager's close button call `close`."""

    def __init__(self, master: tk.Misc, theme: Theme) -> None:
        super().__init__(master)
        self.withdraw()
        self._theme = theme
        theme.follow(self, self._paint)
        self.bind("<Escape>", lambda _event: self.close(), add="+")
        self.protocol("WM_DELETE_WINDOW", self.close)
        self.resizable(width=False, height=False)

    def open(self) -> None:
        """Show the dialog above the middle of the main window."""
        window = self.master.winfo_toplevel()
        self.transient(window)
        self.update_idletasks()
        x = window.winfo_rootx() + (window.winfo_width() - self.winfo_reqwidth()) // 2
        y = window.winfo_rooty() + (window.winfo_height() - self.winfo_reqheight()) // 3
        self.geometry(f"+{max(0, x)}+{max(0, y)}")
        self.deiconify()

    def close(self) -> None:
        """Close the dialog."""
        self.destroy()

    def _paint(self, palette: Palette) -> None:
        self.configure(background=palette.page)
