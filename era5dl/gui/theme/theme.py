"""The theme of a window: palette, scale, fonts, images and ttk style in one object that every widget receives.

    theme = Theme(root)                                create it before anything is shown in `root`
    theme.use(DARK)                                    switch palettes; all followers repaint
    theme.set_icon(button, "retry")                    an icon that is repainted, too
    theme.follow(canvas, lambda palette: canvas.configure(background=palette.card))

The ttk style of a palette is created at its first use. Switching between two that exist costs one repaint.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk
from typing import Any

from era5dl.gui.theme import scaling, ttk_style
from era5dl.gui.theme.image_cache import ImageCache
from era5dl.gui.theme.palette import LIGHT, Palette

Restyle = Callable[[Palette], object]


class Theme:
    """The current appearance of one window."""

    def __init__(self, root: tk.Tk, palette: Palette = LIGHT, factor: float | None = None) -> None:
        """factor: scale factor, 1.0 for 96 dots per inch; by default that of the desktop."""
        self.root = root
        self.palette = palette
        self.scale = scaling.detect(root, factor)
        self.images = ImageCache(root, self.scale)
        self._style = ttk.Style(root)
        self._fonts = scaling.make_fonts(root)
        self._ttk_themes: set[str] = set()
        self._icons: dict[Any, tuple[str, str, float]] = {}  # by widget: name, colour, size
        self._followers: dict[object, Restyle] = {}
        self._bind_classes()
        self.use(palette)

    def px(self, length: float) -> int:
        """Convert a length in unscaled pixels to whole pixels of this screen."""
        return self.scale.px(length)

    # --- palette

    def use(self, palette: Palette) -> None:
        """Switch to this palette."""
        name = f"era5dl-{palette.name}"
        self.palette = palette
        if name not in self._ttk_themes:
            ttk_style.create_ttk_theme(name, self._style, self.images, palette)
            self._ttk_themes.add(name)
        self._style.theme_use(name)
        self.root.configure(background=palette.page)
        _set_defaults(self.root, palette)
        for apply in list(self._followers.values()):
            apply(palette)

    def follow(self, widget: tk.Misc, apply: Restyle) -> None:
        """Call `apply` now and after each palette switch, until the widget is destroyed."""
        token = object()
        self._followers[token] = apply

        def destroyed(event: tk.Event[Any]) -> None:
            if event.widget is widget:
                self._followers.pop(token, None)

        widget.bind("<Destroy>", destroyed, add="+")
        apply(self.palette)

    def colour(self, name: str) -> str:
        """Return the colour of this field of the palette; "#rrggbb" is returned as it is."""
        return name if name.startswith("#") else str(getattr(self.palette, name))

    # --- images

    def icon(self, name: str, colour: str = "muted", size: float = 16) -> str:
        """Return the Tk image of an icon. colour: a field of the palette, or "#rrggbb"."""
        return self.images.icon(name, self.colour(colour), size)

    def bar(
        self,
        fraction: float,
        colour: str,
        *,
        width: float = 92,
        height: float = 6,
        track: str = "track",
        background: str | None = None,
    ) -> str:
        """Return the Tk image of a progress bar filled up to `fraction` (0 to 1)."""
        fill, empty = self.colour(colour), self.colour(track)
        return self.images.bar(fraction, fill, empty, width=width, height=height, background=background)

    def set_icon(
        self, widget: ttk.Button | ttk.Label | ttk.Menubutton, name: str, colour: str = "text", size: float = 16
    ) -> None:
        """Show an icon on a ttk widget, left of its text if it has one. The icon follows the palette."""
        known = widget in self._icons
        self._icons[widget] = (name, colour, size)
        if str(widget["text"]):
            widget.configure(compound="left")
        if known:
            self._show_icon(widget)
        else:
            widget.bind("<Destroy>", lambda _: self._icons.pop(widget, None), add="+")
            self.follow(widget, lambda _: self._show_icon(widget))

    def _show_icon(self, widget: Any) -> None:
        name, colour, size = self._icons[widget]
        # without a separate image for the disabled state, ttk stipples the normal one
        widget.configure(image=(self.icon(name, colour, size), "disabled", self.icon(name, "faint", size)))

    # --- widgets without a ttk style

    def menu(self, master: tk.Misc) -> tk.Menu:
        """Create a pop-up menu that follows the palette."""
        menu = tk.Menu(master, tearoff=False, borderwidth=0, activeborderwidth=self.px(3), relief="flat")
        self.follow(menu, lambda palette: menu.configure(**_menu_colours(palette)))
        return menu

    def _bind_classes(self) -> None:
        """Bind keys that ttk lacks, and colour combobox lists.

        Return presses a button. Ctrl+A selects the whole text of an entry; on X11 Tk would move the cursor."""
        root = self.root
        for key in ("<Control-a>", "<Control-A>"):
            root.bind_class("TEntry", key, _select_all)
        for name in ("TButton", "TCheckbutton", "TRadiobutton"):
            root.bind_class(name, "<Return>", _invoke)
            root.bind_class(name, "<KP_Enter>", _invoke)
        for option, value in (  # options that change the size of the list must be set before it is placed
            ("highlightThickness", self.px(4)),
            ("borderWidth", 0),
            ("activeStyle", "none"),
            ("font", scaling.TEXT),
        ):
            root.option_add(f"*TCombobox*Listbox.{option}", value)
        root.bind_class("ComboboxPopdown", "<Map>", self._colour_combobox_list, add="+")

    def _colour_combobox_list(self, event: tk.Event[Any]) -> None:
        palette = self.palette
        self.root.tk.call(
            *(f"{event.widget}.f.l", "configure", "-relief", "flat"),
            *("-background", palette.card, "-foreground", palette.text),
            *("-selectbackground", palette.select, "-selectforeground", palette.select_text),
            *("-highlightbackground", palette.card, "-highlightcolor", palette.card),
        )


def _menu_colours(palette: Palette) -> dict[str, Any]:
    return {
        "background": palette.card,
        "foreground": palette.text,
        "activebackground": palette.select,
        "activeforeground": palette.select_text,
        "disabledforeground": palette.faint,
        "selectcolor": palette.accent,
    }


def _set_defaults(root: tk.Tk, palette: Palette) -> None:
    """Set the colours of non-ttk widgets that do not exist yet: dialogs, menus and combobox lists."""
    for pattern, value in {
        "*Menu.background": palette.card,
        "*Menu.foreground": palette.text,
        "*Menu.activeBackground": palette.select,
        "*Menu.activeForeground": palette.select_text,
        "*Toplevel.background": palette.card,
        "*Dialog.background": palette.card,
        "*TkFDialog*Canvas.background": palette.card,
        "*TkFDialog*Canvas.highlightThickness": 0,
    }.items():
        root.option_add(pattern, value)


def _select_all(event: tk.Event[Any]) -> str:
    event.widget.selection_range(0, "end")
    event.widget.icursor("end")
    return "break"


def _invoke(event: tk.Event[Any]) -> str:
    event.widget.invoke()
    return "break"
