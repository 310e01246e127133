"""Header of the window: title, bucket, language, theme, and buttons for settings, help and menu."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import ttk

from era5dl.gui.menus import MENUS, accelerator
from era5dl.gui.text import i18n
from era5dl.gui.text.i18n import LANGUAGES, _, follow, translate
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.toggle_switch import ToggleSwitch
from era5dl.gui.widgets.tooltip import Tooltip


@dataclass(frozen=True, slots=True)
class HeaderCallbacks:
    """Callbacks of the header. language: called with a key of `LANGUAGES`."""

    menu: Callable[[], object]
    help: Callable[[], object]
    settings: Callable[[], object]
    toggle_theme: Callable[[], object]
    language: Callable[[str], object]


class Header(ttk.Frame):
    """Displays state, and passes input to its callbacks."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: HeaderCallbacks) -> None:
        super().__init__(master, style="Page.TFrame")
        self._theme, self._callbacks = theme, callbacks
        px = theme.px
        follow(ttk.Label(self, style="Page.Title.TLabel"), text=lambda: _("ERA5 Downloader")).pack(side="left")
        self._server = ttk.Label(self, style="Page.Muted.TLabel")
        self._server.pack(side="left", padx=px(12), anchor="s", pady=(0, px(3)))
        self._menu = self._button("menu", callbacks.menu, lambda: _("Menu"))
        self._help = self._button("help", callbacks.help, lambda: _("Help"))
        self._settings = self._button("gear", callbacks.settings, lambda: _("Settings"))
        self._dark = ToggleSwitch(
            self, theme, text="", value=theme.palette.dark, on_change=lambda _on: callbacks.toggle_theme(), on_page=True
        )
        self._dark.pack(side="right", padx=(px(12), px(12)))
        follow(self, lambda: self._dark.set_texts(_("Dark")))
        self._language = ttk.Combobox(
            self, state="readonly", width=11, values=list(LANGUAGES.values()), style="Page.TCombobox"
        )
        self._language.bind("<<ComboboxSelected>>", lambda _event: self._choose_language(), add="+")
        self._language.pack(side="right")
        for widget in (self._language, self._dark, self._settings, self._help, self._menu):
            widget.lift()  # corrects the Tab order: the widgets are packed from right to left
        self.show_language()

    def _button(self, icon: str, command: Callable[[], object], hint: Callable[[], str]) -> ttk.Button:
        button = ttk.Button(self, style="Page.Icon.TButton", command=command)
        self._theme.set_icon(button, icon, "text", 18)
        Tooltip(button, self._theme, hint)
        button.pack(side="right", padx=(self._theme.px(4), 0))
        return button

    # --- interface

    def show_server(self, text: str) -> None:
        """Show this text beside the title: the server and bucket, or "" for the default ones."""
        self._server.configure(text=text)

    def show_theme(self, dark: bool) -> None:
        """Show whether the dark palette is used."""
        self._dark.set(dark)

    def show_language(self) -> None:
        """Show the current language."""
        self._language.set(LANGUAGES[i18n.language()])

    def pop_up(self, actions: object) -> None:
        """Show the menu of all actions with their shortcuts. actions: object with a method for each action."""
        menu = self._theme.menu(self)
        for entry in MENUS:
            part = self._theme.menu(menu)
            for item in entry.items:
                if item is None:
                    part.add_separator()
                else:
                    key = accelerator(item.key) if item.key else ""
                    part.add_command(
                        label=translate(item.label), command=getattr(actions, item.action), accelerator=key
                    )
            menu.add_cascade(label=translate(entry.label), menu=part)
        menu.tk_popup(self._menu.winfo_rootx(), self._menu.winfo_rooty() + self._menu.winfo_height())

    # --- inside

    def _choose_language(self) -> None:
        self._language.selection_clear()
        self._callbacks.language(list(LANGUAGES)[self._language.current()])
