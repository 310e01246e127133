"""Menus and shortcuts of the window, as data. No Tk.

Each action is the name of a method of `gui.actions.Actions`. A test checks that every action exists and that no
shortcut is used twice.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from era5dl.gui.text.i18n import N_


class Item(NamedTuple):
    """An item of a menu. key: its shortcut, in Tk's notation without the brackets; "" for none."""

    label: str
    action: str
    key: str = ""


class Menu(NamedTuple):
    """A menu. None in `items` is a separator."""

    label: str
    items: tuple[Item | None, ...]


MENUS = (
    Menu(
        N_("File"),
        (
            Item(N_("Open session folder…"), "open_folder", "Control-o"),
            Item(N_("Paste a CDS request…"), "paste_cds_request", "Control-Shift-V"),
            Item(N_("Settings…"), "show_settings", "Control-comma"),
            None,
            Item(N_("Quit"), "close", "Control-q"),
        ),
    ),
    Menu(
        N_("Download"),
        (
            Item(N_("Start download"), "start", "Control-Return"),
            Item(N_("Add to queue"), "add_to_queue", "Control-Shift-Return"),
            Item(N_("Run the queue"), "run_queue"),
            Item(N_("Pause or resume"), "pause_or_resume", "Control-p"),
            Item(N_("Stop"), "stop", "Control-period"),
            None,
            Item(N_("Hold or release the selected files"), "hold_or_release", "Control-h"),
            Item(N_("Retry all failed files"), "retry_all", "Control-r"),
        ),
    ),
    Menu(
        N_("View"),
        (
            Item(N_("Download page"), "show_download", "Control-Key-1"),
            Item(N_("Sessions page"), "show_sessions", "Control-Key-2"),
            Item(N_("Archive page"), "show_archive", "Control-Key-3"),
            Item(N_("Diagnostics page"), "show_diagnostics", "Control-Key-4"),
            Item(N_("Log page"), "show_log", "Control-Key-5"),
            None,
            Item(N_("Search"), "search", "Control-f"),
            Item(N_("Toggle dark theme"), "switch_theme", "Control-d"),
        ),
    ),
    Menu(N_("Help"), (Item(N_("Help"), "show_help", "F1"),)),
)

QUEUE = (
    Item(N_("Retry"), "retry"),
    Item(N_("Download next"), "promote"),
    Item(N_("Hold"), "hold", "Control-h"),
    Item(N_("Release"), "release", "Control-h"),
    None,
    Item(N_("Show map"), "show_map", "Return"),
    Item(N_("Open folder"), "open_folder"),
    Item(N_("Copy key"), "copy_key", "Control-c"),
    Item(N_("Copy error"), "copy_error"),
)
"""Context menu of the selected files in the queue; `gui.pages.queue_panel` executes its actions."""

QUEUE_VIEW = (Item(N_("Group by variable"), "group"), Item(N_("Show keys"), "show_keys"))
"""Switches at the end of that menu, and in the menu of the table's header."""

_DISPLAYED = {"Control-": "Ctrl+", "Shift-": "Shift+", "Key-": "", "Return": "Enter", "comma": ",", "period": "."}


def accelerator(key: str, platform: str = sys.platform) -> str:
    """Return a shortcut for display, such as "Ctrl+Enter"; "" for none. On macOS Tk shows its sign for "Command-"."""
    if platform == "darwin":
        return key.replace("Control-", "Command-").replace("Key-", "").replace("period", ".").replace("comma", ",")
    for tk_name, displayed in _DISPLAYED.items():
        key = key.replace(tk_name, displayed)
    return key.upper() if len(key) == 1 else key[:-1] + key[-1].upper() if key[-2:-1] == "+" else key


def event_keys(key: str, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the keys to bind for a shortcut. On macOS the Command key takes the place of Ctrl, which still works."""
    return (key.replace("Control-", "Command-"), key) if platform == "darwin" and "Control-" in key else (key,)
