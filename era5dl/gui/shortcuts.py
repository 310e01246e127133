"""The window's keys: those of the menus, from wherever the keyboard is."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterator
from typing import Any

from era5dl.gui.menus import MENUS

_CLOSE_MENU = "if {[info exists tk::Priv(popup)] && $tk::Priv(popup) ne {}} {tk::MenuUnpost $tk::Priv(popup)}"
_TAG = "Era5Keys"  # a tag of Tk's for bindings


def bind_shortcuts(root: tk.Tk, act: Callable[[str], object]) -> None:
    """The window's keys go before those of any widget: Ctrl+Enter starts, also where Enter has a meaning.

    act: hears the name of an action. Call it when all widgets are there.
    """
    for menu in MENUS:
        for item in filter(None, menu.items):
            if item.key:
                root.bind_class(_TAG, f"<{item.key}>", _pressed(root, act, item.action))
    for widget in _family(root):
        widget.bindtags((_TAG, *widget.bindtags()))


def _pressed(root: tk.Tk, act: Callable[[str], object], action: str) -> Callable[[tk.Event[Any]], str]:
    def pressed(_event: tk.Event[Any]) -> str:
        root.tk.eval(_CLOSE_MENU)  # else it stays open, and what is typed goes elsewhere
        act(action)
        return "break"

    return pressed


def _family(widget: tk.Misc) -> Iterator[tk.Misc]:
    """The widget and all that is in it."""
    yield widget
    for child in widget.winfo_children():
        yield from _family(child)
