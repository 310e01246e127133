"""The ttk style, made from a palette: every element of it is one of our drawings. Built on Tk's own "clam".

Names of styles: without a prefix they are for things on a card; "Page." is the same on the page behind the cards.
Buttons: TButton, Accent, Ghost, Danger, Icon (small, only a picture). Labels: TLabel, Muted, Small, Head, Title, Figure,
Ok, Warn, Danger. Frames: TFrame, Card, Field (around a Bare.TEntry), Segments. Banners: Info.Banner, Ok, Warn, Danger.

Three traps of ttk: it tiles the middle of pictures, so they must be wide, and opaque (a see-through 24 px tile takes
seconds for a big card); without width=1, height=1, padding=0 the drawing's size becomes the widget's smallest; and it
finds moving parts by the end of their names: pbar, thumb, uparrow, downarrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from era5dl.gui.look import scale, sprites
from era5dl.gui.look.marks import check_box, radio_disc, switch_track
from era5dl.gui.look.palette import Palette, blend
from era5dl.gui.look.sprites import Shape

if TYPE_CHECKING:
    from era5dl.gui.look.theme import Look

RADIUS = 6  # of fields and buttons
CARD_RADIUS = 10
_TILE = 64  # side of a drawing whose middle is tiled


def make(look: Look, name: str) -> None:
    """Make the ttk theme of this name from the palette of now."""
    look.style.theme_create(name, parent="clam")
    look.style.theme_use(name)
    sheet = _Sheet(look)
    sheet.basics()
    for prefix, ground in (("", look.palette.card), ("Page.", look.palette.page)):
        sheet.labels(prefix, ground)
        sheet.buttons(prefix, ground)
        sheet.fields(prefix, ground)
        sheet.toggles(prefix, ground)
    sheet.segments()
    sheet.bars()
    sheet.scrollbars()
    sheet.tree()
    sheet.tabs()
    sheet.banners()


def nested_boxes(side: int, *insets: tuple[float, float]) -> Shape:
    """Round boxes within one another, a layer each: (distance from the edge, radius)."""
    core = min(side, 2 * math.ceil(max(inset + radius for inset, radius in insets)) + 5)
    layers = (sprites.rounded(core, core, (by, by, core - by, core - by), radius) for by, radius in insets)
    return sprites.draw(core, core, *layers, wider=side - core, higher=side - core)


class _Sheet:
    """Writes one theme."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.style = look.style
        self.palette: Palette = look.palette
        self.px = look.px
        self.hair = look.px(1)  # the thinnest line

    # --- pieces

    def box(
        self,
        ground: str,
        fill: str,
        border: str | None = None,
        *,
        ring: str | None = None,
        gap: bool = False,
        radius: float = RADIUS,
        size: float = _TILE,
    ) -> str:
        """A round box. ring: a thick border, with a gap of the ground behind it if `gap`."""
        side, corner, hair = self.px(size), self.px(radius), self.hair
        if ring and gap:
            insets, colours = (
                ((0, corner), (2 * hair, corner - 2 * hair), (3 * hair, corner - 2 * hair)),
                (
                    ring,
                    ground,
                    fill,
                ),
            )
        elif ring:
            insets, colours = ((0, corner), (2 * hair, corner - 2 * hair)), (ring, fill)
        else:
            insets, colours = ((0, corner), (hair, corner - hair)), (border or fill, fill)
        return self.look.picture(("boxes", side, insets), lambda: nested_boxes(side, *insets), *colours, ground=ground)

    def element(self, name: str, first: str, *states: tuple[Any, ...], **options: Any) -> None:
        options.setdefault("padding", 0)
        if "border" in options:
            options.setdefault("width", 1)
            options.setdefault("height", 1)
        create: Any = self.style.element_create  # its stub knows less than Tk
        create(name, "image", first, *states, **options)

    def nest(self, style: str, *names: str, **last: str) -> None:
        """A layout of elements, each inside the one before."""
        inner: list[Any] = [(names[-1], {"sticky": "nsew", **last})]
        for name in reversed(names[:-1]):
            inner = [(name, {"sticky": "nsew", "children": inner})]
        self.style.layout(style, inner)

    # --- the parts of the theme

    def basics(self) -> None:
        p, style, px = self.palette, self.style, self.px
        style.configure(
            ".",
            background=p.card,
            foreground=p.text,
            font=scale.TEXT,
            troughcolor=p.stripe,
            bordercolor=p.border,
            lightcolor=p.card,
            darkcolor=p.card,
            selectbackground=p.select,
            selectforeground=p.select_text,
            insertcolor=p.text,
            focuscolor=p.accent,
        )
        style.map(".", foreground=[("disabled", p.faint)])
        style.configure("Page.TFrame", background=p.page)
        style.configure("Stripe.TFrame", background=p.stripe)
        corner = CARD_RADIUS
        edge = p.border if p.dark else p.line
        self.element(
            "Card.bg", self.box(p.page, p.card, edge, radius=corner, size=192), border=px(corner + 1), sticky="nsew"
        )
        self.nest("Card.TFrame", "Card.bg")
        style.configure("Card.TFrame", background=p.page, padding=px(14))
        style.configure("TSeparator", background=p.line)
        style.configure("TPanedwindow", background=p.page)
        style.configure(
            "Sash", sashthickness=px(10), gripcount=0, background=p.page, bordercolor=p.page, lightcolor=p.page
        )
        style.configure("ComboboxPopdownFrame", relief="solid", borderwidth=1, background=p.card, bordercolor=p.border)

    def labels(self, prefix: str, ground: str) -> None:
        p = self.palette
        for name, colour, font in (
            ("", p.text, scale.TEXT),
            ("Muted.", p.muted, scale.TEXT),
            ("Small.", p.muted, scale.SMALL),
            ("Head.", p.text, scale.HEAD),
            ("Title.", p.text, scale.TITLE),
            ("Figure.", p.text, scale.FIGURE),
            ("Ok.", p.ok, scale.TEXT),
            ("Warn.", p.warn, scale.TEXT),
            ("Danger.", p.danger, scale.TEXT),
            ("Accent.", p.accent, scale.TEXT),
        ):
            style = f"{prefix}{name}TLabel"
            self.style.configure(style, background=ground, foreground=colour, font=font)
            self.style.map(style, foreground=[("disabled", p.faint)])

    def buttons(self, prefix: str, ground: str) -> None:
        p, px = self.palette, self.px
        quiet = p.hover if prefix == "" else p.press
        plain = (p.card, p.hover, p.press, p.text, p.border)
        kinds = {
            "": plain,
            "Accent.": (p.accent, p.accent_hover, p.accent_press, p.on_accent, None),
            "Danger.": (p.card, p.danger_hover, p.danger_tint, p.danger, p.border),
            "Ghost.": (ground, quiet, p.press, p.text, None),
            "Icon.": (ground, quiet, p.press, p.text, None),
        }
        for kind, (rest, hover, press, text, border) in kinds.items():
            style, filled = f"{prefix}{kind}TButton", kind == "Accent."
            off = p.track if filled else ground
            self.element(
                f"{style}.bg",
                self.box(ground, rest, border),
                ("disabled", self.box(ground, off, border and p.line)),
                ("pressed", self.box(ground, press, border)),
                ("focus", "active", self.box(ground, hover, ring=p.accent, gap=filled)),
                ("focus", self.box(ground, rest, ring=p.accent, gap=filled)),
                ("active", self.box(ground, hover, border)),
                border=px(RADIUS + 1),
                sticky="nsew",
            )
            self.nest(style, f"{style}.bg", "Button.padding", "Button.label")
            padding = (px(5), px(5)) if kind == "Icon." else (px(13), px(6))
            self.style.configure(style, padding=padding, foreground=text, anchor="center", background=ground)
            self.style.map(style, foreground=[("disabled", p.faint)], background=[])
        arrow = self.look.icon("down", p.muted, 12)
        if not prefix:
            self.element("Menubutton.arrow", arrow, sticky="", width=px(24))
        inner = [
            ("Menubutton.arrow", {"side": "right", "sticky": "ns"}),
            ("Menubutton.padding", {"sticky": "nsew", "children": [("Menubutton.label", {"sticky": "nsew"})]}),
        ]
        self.style.layout(f"{prefix}TMenubutton", [(f"{prefix}TButton.bg", {"sticky": "nsew", "children": inner})])
        self.style.configure(f"{prefix}TMenubutton", padding=(px(11), px(6)), foreground=p.text, background=ground)

    def fields(self, prefix: str, ground: str) -> None:
        p, px, style = self.palette, self.px, self.style
        self.element(
            f"{prefix}Field.bg",
            self.box(ground, p.field, p.border),
            ("invalid", self.box(ground, p.field, ring=p.danger)),
            ("disabled", self.box(ground, ground, p.line)),
            ("focus", self.box(ground, p.field, ring=p.accent)),
            ("active", self.box(ground, p.field, p.control)),
            border=px(RADIUS + 1),
            sticky="nsew",
        )
        field = f"{prefix}Field.bg"
        self.nest(f"{prefix}Field.TFrame", field)
        style.configure(f"{prefix}Field.TFrame", background=ground, padding=px(3))
        self.nest(f"{prefix}TEntry", field, "Entry.padding", "Entry.textarea")
        if not prefix:
            self.nest("Bare.TEntry", "Entry.padding", "Entry.textarea")
            self.element("Combobox.downarrow", self.look.icon("down", p.muted, 12), sticky="", width=px(26))
            for way in ("up", "down"):
                self.element(f"Spinbox.{way}arrow", self.look.icon(way, p.muted, 10), sticky="", width=px(22))
        text: list[Any] = [
            ("Combobox.padding", {"sticky": "nsew", "children": [("Combobox.textarea", {"sticky": "nsew"})]})
        ]
        style.layout(
            f"{prefix}TCombobox",
            [
                (
                    field,
                    {"sticky": "nsew", "children": [("Combobox.downarrow", {"side": "right", "sticky": "ns"}), *text]},
                )
            ],
        )
        arrows: Sequence[Any] = [
            ("Spinbox.uparrow", {"side": "top", "sticky": "e"}),
            ("Spinbox.downarrow", {"side": "bottom", "sticky": "e"}),
        ]
        text = [("Spinbox.padding", {"sticky": "nsew", "children": [("Spinbox.textarea", {"sticky": "nsew"})]})]
        style.layout(
            f"{prefix}TSpinbox",
            [
                (
                    field,
                    {
                        "sticky": "nsew",
                        "children": [("null", {"side": "right", "sticky": "", "children": arrows}), *text],
                    },
                )
            ],
        )
        for name in (f"{prefix}TEntry", "Bare.TEntry", f"{prefix}TCombobox", f"{prefix}TSpinbox"):
            padding = (px(5), px(3)) if name == "Bare.TEntry" else (px(8), px(6))
            style.configure(name, padding=padding, foreground=p.text, fieldbackground=p.field, background=p.field,
                            insertcolor=p.text, insertwidth=px(1.5), selectbackground=p.select,
                            selectforeground=p.select_text, selectborderwidth=0)  # fmt: skip
            style.map(
                name,
                foreground=[("disabled", p.faint)],
                fieldbackground=[("disabled", ground), ("readonly", p.field)],
                selectbackground=[("readonly", p.field), ("!focus", p.quiet_select)],
                selectforeground=[("readonly", p.text), ("!focus", p.text)],
            )
        style.configure("Placeholder.Bare.TEntry", foreground=p.muted)

    def toggles(self, prefix: str, ground: str) -> None:
        p, px = self.palette, self.px
        for kind, indicator in (("TCheckbutton", self.checks), ("TRadiobutton", self.radios)):
            indicator(f"{prefix}{kind}.indicator", ground)
            self.toggle_layout(f"{prefix}{kind}", f"{prefix}{kind}.indicator", ground)
        self.switches(f"{prefix}Switch.indicator", ground)
        self.toggle_layout(f"{prefix}Switch.TCheckbutton", f"{prefix}Switch.indicator", ground)
        self.style.configure(f"{prefix}Switch.TCheckbutton", padding=(0, px(2)))

    def toggle_layout(self, style: str, indicator: str, ground: str) -> None:
        p, px = self.palette, self.px
        label = ("Checkbutton.label", {"sticky": "nsew"})
        inner = [(indicator, {"side": "left", "sticky": ""}), label]
        self.style.layout(style, [("Checkbutton.padding", {"sticky": "nsew", "children": inner})])
        self.style.configure(style, background=ground, foreground=p.text, padding=(0, px(3)))
        self.style.map(style, background=[], foreground=[("disabled", p.faint)])

    def checks(self, name: str, ground: str) -> None:
        p = self.palette

        def box(mark: str, fill: str, edge: str, ring: str | None = None) -> str:
            return check_box(self.look, mark, fill, edge, p.on_accent, ring=ring, ground=ground, gap=6)

        on, off = (p.accent, p.accent), (p.field, p.control)
        self.element(
            name,
            box("", *off),
            ("alternate", "!disabled", box("minus", *on)),
            ("selected", "disabled", box("check", p.faint, p.faint)),
            ("disabled", box("", ground, p.border)),
            ("selected", "focus", box("check", *on, ring=p.accent)),
            ("selected", "active", box("check", p.accent_hover, p.accent_hover)),
            ("selected", box("check", *on)),
            ("focus", box("", *off, ring=p.accent)),
            ("active", box("", p.field, p.accent)),
            sticky="w",
        )

    def radios(self, name: str, ground: str) -> None:
        p = self.palette

        def disc(rim: str, inner: str, dot: str, ring: str | None = None) -> str:
            return radio_disc(self.look, rim, inner, dot, ring, ground)

        self.element(
            name,
            disc(p.control, p.field, p.field),
            ("selected", "disabled", disc(p.faint, p.faint, ground)),
            ("disabled", disc(p.border, ground, ground)),
            ("selected", "focus", disc(p.accent, p.accent, p.on_accent, p.accent)),
            ("selected", disc(p.accent, p.accent, p.on_accent)),
            ("focus", disc(p.control, p.field, p.field, p.accent)),
            ("active", disc(p.accent, p.field, p.field)),
            sticky="w",
        )

    def switches(self, name: str, ground: str) -> None:
        p = self.palette
        knob = "#ffffff" if not p.dark else p.text

        def switch(on: bool, track: str, dot: str, ring: str | None = None) -> str:
            return switch_track(self.look, on, track, dot, ring, ground)

        self.element(
            name,
            switch(False, p.control, knob),
            ("selected", "disabled", switch(True, p.faint, ground)),
            ("disabled", switch(False, p.track, ground)),
            ("selected", "focus", switch(True, p.accent, p.on_accent, p.accent)),
            ("selected", "active", switch(True, p.accent_hover, p.on_accent)),
            ("selected", switch(True, p.accent, p.on_accent)),
            ("focus", switch(False, p.control, knob, p.accent)),
            ("active", switch(False, p.muted, knob)),
            sticky="w",
        )

    def segments(self) -> None:
        p, px = self.palette, self.px
        chosen = p.press if p.dark else p.card
        trough = p.stripe
        self.element("Segments.bg", self.box(p.card, trough, p.border, radius=7), border=px(8), sticky="nsew")
        self.nest("Segments.TFrame", "Segments.bg")
        self.style.configure("Segments.TFrame", background=p.card, padding=px(3))
        self.element(
            "Segment.bg",
            self.box(trough, trough, radius=5),
            ("selected", "focus", self.box(trough, chosen, ring=p.accent, radius=5)),
            ("focus", self.box(trough, trough, ring=p.accent, radius=5)),
            ("selected", self.box(trough, chosen, p.border, radius=5)),
            ("active", "!disabled", self.box(trough, p.press, radius=5)),
            border=px(6),
            sticky="nsew",
        )
        self.nest("Segment.TRadiobutton", "Segment.bg", "Radiobutton.padding", "Radiobutton.label", sticky="")
        self.style.configure("Segment.TRadiobutton", padding=(px(12), px(3)), foreground=p.muted, anchor="center",
                             background=trough)  # fmt: skip
        self.style.map("Segment.TRadiobutton", background=[],
                       foreground=[("disabled", p.faint), ("selected", p.text), ("active", p.text)])  # fmt: skip

    def bars(self) -> None:
        p, px = self.palette, self.px
        wide, high = px(160), px(8)

        def capsule(colour: str, ground: str) -> str:
            layer = lambda: sprites.draw(wide, high, sprites.rounded(wide, high, (0, 0, wide, high), high / 2))  # noqa: E731
            return self.look.picture(("capsule", wide, high), layer, colour, ground=ground)

        edge = {"border": ((high + 1) // 2, 0), "sticky": "ew", "height": high}
        self.element("Progress.trough", capsule(p.track, p.card), **edge)
        for name, colour in (("", p.accent), ("Ok.", p.ok), ("Warn.", p.warn), ("Danger.", p.danger)):
            self.element(f"{name}Progress.pbar", capsule(colour, p.track), **edge)
            bar = [(f"{name}Progress.pbar", {"side": "left", "sticky": "nsew"})]
            style = f"{name}Horizontal.TProgressbar"
            self.style.layout(style, [("Progress.trough", {"sticky": "ew", "children": bar})])
            self.style.configure(style, background=p.card, thickness=high)

    def scrollbars(self) -> None:
        p, px = self.palette, self.px
        thick, long, inset = px(10), px(96), px(2)
        for way, (wide, high) in (("Vertical", (thick, long)), ("Horizontal", (long, thick))):

            def thumb(colour: str, wide: int = wide, high: int = high) -> str:
                box = (inset, inset, wide - inset, high - inset)
                return self.look.picture(
                    ("thumb", wide, high),
                    lambda: sprites.draw(wide, high, sprites.rounded(wide, high, box, thick)),
                    colour,
                    ground=p.card,
                )

            least = {"width": thick, "height": px(36)} if way == "Vertical" else {"width": px(36), "height": thick}
            self.element(f"{way}.Scrollbar.trough", thumb(p.card), border=1, sticky="nsew", width=thick, height=thick)
            self.element(f"{way}.Scrollbar.thumb", thumb(p.border), ("disabled", thumb(p.card)),
                         ("pressed", thumb(p.muted)), ("active", thumb(p.control)),
                         border=thick // 2, sticky="nsew", **least)  # fmt: skip
            inner = [(f"{way}.Scrollbar.thumb", {"expand": 1, "sticky": "nsew"})]
            self.style.layout(f"{way}.TScrollbar", [(f"{way}.Scrollbar.trough", {"sticky": "nsew", "children": inner})])

    def tree(self) -> None:
        p, px, style = self.palette, self.px, self.style
        style.configure("Treeview", background=p.card, fieldbackground=p.card, foreground=p.text, borderwidth=0,
                        font=scale.TEXT, indent=px(18), rowheight=scale.line_height(self.look.root) + px(10))  # fmt: skip
        style.map("Treeview", background=[("selected", "!focus", p.quiet_select), ("selected", p.select)],
                  foreground=[("disabled", p.faint), ("selected", "!focus", p.text), ("selected", p.select_text)])  # fmt: skip
        style.layout("Treeview", [("Treeview.treearea", {"sticky": "nsew"})])
        style.configure("Treeview.Heading", background=p.card, foreground=p.muted, relief="flat", borderwidth=0,
                        padding=(px(6), px(6)), font=scale.TEXT)  # fmt: skip
        style.map("Treeview.Heading", background=[("active", p.hover)])
        nothing = self.look.picture(
            ("nothing", px(12)), lambda: sprites.draw(px(12), px(12), (bytes(px(12)),) * px(12)), p.card
        )
        self.element(
            "Tree.indicator",
            self.look.icon("right", p.muted, 12),
            ("user2", nothing),
            ("user1", self.look.icon("down", p.muted, 12)),
            sticky="w",
            width=px(18),
        )
        parts = [
            ("Tree.indicator", {"side": "left", "sticky": ""}),
            ("Treeitem.image", {"side": "left", "sticky": ""}),
            ("Treeitem.text", {"sticky": "nsew"}),
        ]
        style.layout("Treeview.Item", [("Treeitem.padding", {"sticky": "nsew", "children": parts})])
        style.configure("Treeview.Item", padding=(px(4), 0))

    def tabs(self) -> None:
        p, px, style = self.palette, self.px, self.style

        def tab(line: str, ground: str = p.page, thick: float = 2) -> str:
            wide, high, below = px(96), px(40), px(thick)
            return self.look.picture(
                ("tab", wide, high, below),
                lambda: sprites.draw(wide, high, sprites.rounded(wide, high, (0, high - below, wide, high), 0)),
                line,
                ground=ground,
            )

        self.element(
            "Tabs.tab",
            tab(p.page),
            ("selected", "focus", tab(p.accent, p.press, 3)),
            ("selected", tab(p.accent)),
            ("active", tab(p.border)),
            border=(1, 1, 1, px(3)),
            sticky="nsew",
        )
        self.nest("TNotebook.Tab", "Tabs.tab", "Notebook.padding", "Notebook.label", sticky="")
        style.layout("TNotebook", [("Notebook.client", {"sticky": "nsew"})])
        style.configure("TNotebook", background=p.page, borderwidth=0, tabmargins=(px(8), 0, 0, 0), padding=0,
                        bordercolor=p.page, lightcolor=p.page, darkcolor=p.page)  # fmt: skip
        style.configure("TNotebook.Tab", padding=(px(14), px(9)), foreground=p.muted, font=scale.TEXT)
        style.map("TNotebook.Tab", foreground=[("selected", p.text), ("active", p.text)])

    def banners(self) -> None:
        p, px, style = self.palette, self.px, self.style
        for kind, tint, colour in (
            ("Info.", p.info_tint, p.accent),
            ("Ok.", p.ok_tint, p.ok),
            ("Warn.", p.warn_tint, p.warn),
            ("Danger.", p.danger_tint, p.danger),
        ):
            banner = f"{kind}Banner"
            edge = blend(colour, tint, 0.35)
            self.element(f"{banner}.bg", self.box(p.page, tint, edge, radius=8, size=192), border=px(9), sticky="nsew")
            self.nest(f"{banner}.TFrame", f"{banner}.bg")
            style.configure(f"{banner}.TFrame", background=p.page, padding=(px(12), px(7)))
            style.configure(f"{banner}.TLabel", background=tint, foreground=p.text)
            for part, rest, border in (("", p.card, p.border), ("Icon.", tint, None)):
                name = f"{part}{banner}.TButton"
                self.element(
                    f"{name}.bg",
                    self.box(tint, rest, border),
                    ("pressed", self.box(tint, p.press, border)),
                    ("focus", self.box(tint, rest, ring=p.accent)),
                    ("active", self.box(tint, p.hover, border)),
                    border=px(RADIUS + 1),
                    sticky="nsew",
                )
                self.nest(name, f"{name}.bg", "Button.padding", "Button.label")
                style.configure(name, padding=(px(4), px(4)) if part else (px(11), px(3)), foreground=p.text,
                                background=tint, anchor="center")  # fmt: skip
