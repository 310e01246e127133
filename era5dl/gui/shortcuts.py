"""Keyboard shortcuts of the menus, which work whichever widget has the focus."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterator
from typing import Any

from era5dl.gui.menus import MENUS, event_keys

_CLOSE_MENU = "if {[info exists tk::Priv(popup)] && $tk::Priv(popup) ne {}} {tk::MenuUnpost $tk::Priv(popup)}"
_TAG = "Era5Keys"  # Tk binding tag


def bind_shortcuts(root: tk.Tk, run_action: Callable[[str], object]) -> None:
    """Bind all shortcuts. They take precedence over widgets: Ctrl+Enter starts even if the widget uses Enter.

    run_action: called with the name of an action. Call this when all widgets exist.
    """
    for menu in MENUS:
        for item in filter(None, menu.items):
            for key in event_keys(item.key) if item.key else ():
                root.bind_class(_TAG, f"<{key}>", _handler(root, run_action, item.action))
    if root.tk.call("tk", "windowingsystem") == "aqua":
        # Quit and Settings in the menu of the application; without it, Quit ends the program without its checkpoint.
        root.createcommand("::tk::mac::Quit", lambda: run_action("close"))
        root.createcommand("::tk::mac::ShowPreferences", lambda: run_action("show_settings"))
    for widget in _descendants(root):
        widget.bindtags((_TAG, *widget.bindtags()))


def _handler(root: tk.Tk, run_action: Callable[[str], object], action: str) -> Callable[[tk.Event[Any]], str]:
    def handle(_event: tk.Event[Any]) -> str:
        root.tk.eval(_CLOSE_MENU)  # an open menu would keep the keyboard focus
        run_action(action)
        return "break"

    return handle


def _descendants(widget: tk.Misc) -> Iterator[tk.Misc]:
    """Yield the widget and all widgets in it."""
    yield widget
    for child in widget.winfo_children():
        yield from _descendants(child)
