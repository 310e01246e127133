"""Where a dialog stands."""

from __future__ import annotations

import tkinter as tk


def show_over(dialog: tk.Toplevel, window: tk.Tk | tk.Toplevel) -> None:
    """Show a dialog that was withdrawn: above the window it belongs to, in its middle, a little higher."""
    dialog.transient(window)
    dialog.update_idletasks()
    x = window.winfo_rootx() + (window.winfo_width() - dialog.winfo_reqwidth()) // 2
    y = window.winfo_rooty() + (window.winfo_height() - dialog.winfo_reqheight()) // 3
    dialog.geometry(f"+{max(0, x)}+{max(0, y)}")
    dialog.deiconify()
