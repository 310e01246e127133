"""The look of one window: its scale, palette, fonts, drawings and ttk style, and their live switch.

    look = Look(root)                                  root: before anything is shown in it
    look.use(DARK)                                     everything that follows is repainted
    look.set_icon(button, "retry")                     a picture that is repainted, too
    look.follow(canvas, lambda palette: canvas.configure(background=palette.card))

Each drawing is made once for a scale and its colours and kept: Tk forgets a picture that Python lets go of. ttk makes a
theme from them at the first use of a palette; switching between two that are made costs a repaint.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable
from tkinter import ttk
from typing import Any

from era5dl.gui.theme import drawing, icons, scaling, ttk_style
from era5dl.gui.theme.drawing import Shape
from era5dl.gui.theme.palette import LIGHT, Palette

Restyle = Callable[[Palette], object]


class Theme:
    """How a window looks now. Every widget of ours is handed the one of its window."""

    def __init__(self, root: tk.Tk, palette: Palette = LIGHT, factor: float | None = None) -> None:
        """factor: the scale, 1.0 for 96 dots per inch; by default what the desktop says."""
        self.root = root
        self.scale = scaling.detect(root, factor)
        self.style = ttk.Style(root)
        self._fonts = scaling.make_fonts(root)
        self._images: dict[Hashable, tk.PhotoImage] = {}
        self._shapes: dict[Hashable, Shape] = {}
        self._themes: set[str] = set()
        self._icons: dict[Any, tuple[str, str, float]] = {}
        self._followers: dict[object, Restyle] = {}
        self.palette = palette
        _bind_classes(root, self)
        self.use(palette)

    def px(self, length: float) -> int:
        """Pixels of this screen for our length."""
        return self.scale.px(length)

    # --- pictures

    def picture(self, key: Hashable, shape: Callable[[], Shape], *colours: str, ground: str | None = None) -> str:
        """Tk's name of a drawing; drawn at its first use. key: tells shapes apart, colours not counted."""
        full = (key, colours, ground)
        image = self._images.get(full)
        if image is None:
            form = self._shapes.get(key)
            if form is None:
                form = self._shapes[key] = shape()
            data = form.png(*colours, ground=ground)
            image = self._images[full] = tk.PhotoImage(master=self.root, data=data, format="png")
        return str(image)

    def icon(self, name: str, colour: str = "muted", size: float = 16) -> str:
        """An icon of `icons.NAMES` as Tk's name of the picture.

        colour: a field of the palette ("accent"), or "#rrggbb".
        """
        pixels = self.px(size)
        return self.picture(("icon", name, pixels), lambda: icons.icon(name, pixels), self.colour(colour))

    def set_icon(
        self, widget: ttk.Button | ttk.Label | ttk.Menubutton, name: str, colour: str = "text", size: float = 16
    ) -> None:
        """Put an icon on a ttk widget, beside its text; it follows the palette, and is faint where disabled."""
        known = widget in self._icons
        self._icons[widget] = (name, colour, size)
        if str(widget["text"]):
            widget.configure(compound="left")
        if known:
            self._put_icon(widget)
        else:
            widget.bind("<Destroy>", lambda _: self._icons.pop(widget, None), add="+")
            self.follow(widget, lambda _: self._put_icon(widget))

    def _put_icon(self, widget: Any) -> None:
        name, colour, size = self._icons[widget]
        # ttk draws dots over the picture of a disabled widget, unless it has one of its own for that
        widget.configure(image=(self.icon(name, colour, size), "disabled", self.icon(name, "faint", size)))

    def colour(self, name: str) -> str:
        """The colour of this name in the palette of now; "#rrggbb" is itself."""
        return name if name.startswith("#") else str(getattr(self.palette, name))

    def bar(
        self,
        fraction: float,
        colour: str,
        *,
        width: float = 92,
        height: float = 6,
        track: str = "track",
        ground: str | None = None,
    ) -> str:
        """A progress bar, filled up to `fraction` (0 … 1); shared by all that look alike."""
        wide, high = self.px(width), self.px(height)
        filled = 0 if fraction <= 0 else max(high, min(wide, round(wide * fraction)))
        colours = (self.colour(track), self.colour(colour))
        return self.picture(("bar", wide, high, filled), lambda: bar_shape(wide, high, filled), *colours, ground=ground)

    def pictures(self) -> int:
        """How many drawings are kept."""
        return len(self._images)

    # --- the switch

    def use(self, palette: Palette) -> None:
        """Show everything in these colours."""
        name = f"era5dl-{palette.name}"
        self.palette = palette
        if name not in self._themes:
            ttk_style.make(self, name)
            self._themes.add(name)
        self.style.theme_use(name)
        self.root.configure(background=palette.page)
        _set_defaults(self.root, palette)
        for apply in list(self._followers.values()):
            apply(palette)

    def follow(self, widget: tk.Misc, apply: Restyle) -> None:
        """Call `apply` now and after each switch of colours, until the widget is destroyed."""
        token = object()
        self._followers[token] = apply

        def destroyed(event: tk.Event[Any]) -> None:
            if event.widget is widget:
                self._followers.pop(token, None)

        widget.bind("<Destroy>", destroyed, add="+")
        apply(self.palette)

    def menu(self, master: tk.Misc) -> tk.Menu:
        """A pop-up menu in these colours."""
        menu = tk.Menu(master, tearoff=False, borderwidth=0, activeborderwidth=self.px(3), relief="flat")
        self.follow(menu, lambda palette: menu.configure(**_menu_colours(palette)))
        return menu


def bar_shape(width: int, height: int, filled: int) -> Shape:
    """Two layers: the whole capsule, and the filled part of it."""
    whole = drawing.rounded(width, height, (0, 0, width, height), height / 2)
    return drawing.draw(width, height, whole, drawing.rounded(width, height, (0, 0, filled, height), height / 2))


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
    """Colours of what is no ttk widget and not made yet: dialogs, menus and the lists of comboboxes."""
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


def _bind_classes(root: tk.Tk, theme: Theme) -> None:
    """What stock ttk lacks: Return presses a button, Ctrl+A takes all of a field (on X11 it goes to its beginning), and
    the list of a combobox wears the colours of now."""
    for key in ("<Control-a>", "<Control-A>"):
        root.bind_class("TEntry", key, _take_all)
    for name in ("TButton", "TCheckbutton", "TRadiobutton"):
        root.bind_class(name, "<Return>", _invoke)
        root.bind_class(name, "<KP_Enter>", _invoke)

    for option, value in (  # what counts for its size must be known before it is placed
        ("highlightThickness", theme.px(4)),
        ("borderWidth", 0),
        ("activeStyle", "none"),
        ("font", scaling.TEXT),
    ):
        root.option_add(f"*TCombobox*Listbox.{option}", value)

    def list_shown(event: tk.Event[Any]) -> None:
        palette = theme.palette
        listbox = f"{event.widget}.f.l"
        root.tk.call(
            *(listbox, "configure", "-background", palette.card, "-foreground", palette.text),
            *("-selectbackground", palette.select, "-selectforeground", palette.select_text, "-relief", "flat"),
            *("-highlightbackground", palette.card, "-highlightcolor", palette.card),
        )

    root.bind_class("ComboboxPopdown", "<Map>", list_shown, add="+")


def _take_all(event: tk.Event[Any]) -> str:
    event.widget.selection_range(0, "end")
    event.widget.icursor("end")
    return "break"


def _invoke(event: tk.Event[Any]) -> str:
    event.widget.invoke()
    return "break"
