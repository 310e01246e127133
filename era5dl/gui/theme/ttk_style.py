"""The ttk style, made from a palette: every element of it is one of our drawings. Built on Tk's own "clam".

Names of styles: without a prefix they are for things on a card; "Page." is the same on the page behind the cards.
Buttons: TButton, Accent, Ghost, Danger, Icon (small, only a picture). Labels: TLabel, Muted, Small, Head, Title,
Figure, Ok, Warn, Danger, Accent. Frames: TFrame, Card, Stripe, Field (around a Bare.TEntry), Segments. Bars:
Horizontal.TProgressbar, Ok, Warn, Danger. Banners: Info.Banner, Ok, Warn, Danger, with .TFrame, .TLabel, .TButton.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.gui.theme import control_styles, drawing, scaling
from era5dl.gui.theme.palette import blend
from era5dl.gui.theme.style_builder import CARD_RADIUS, RADIUS, StyleBuilder

if TYPE_CHECKING:
    from era5dl.gui.theme.theme import Theme


def make(theme: Theme, name: str) -> None:
    """Make the ttk theme of this name from the palette of now."""
    theme.style.theme_create(name, parent="clam")
    theme.style.theme_use(name)
    builder = StyleBuilder(theme)
    basics(builder)
    for prefix, ground in (("", theme.palette.card), ("Page.", theme.palette.page)):
        control_styles.labels(builder, prefix, ground)
        control_styles.buttons(builder, prefix, ground)
        control_styles.fields(builder, prefix, ground)
        control_styles.toggles(builder, prefix, ground)
    control_styles.segments(builder)
    bars(builder)
    scrollbars(builder)
    tree(builder)
    tabs(builder)
    banners(builder)


def basics(builder: StyleBuilder) -> None:
    p, style, px = builder.palette, builder.style, builder.px
    style.configure(
        ".",
        background=p.card,
        foreground=p.text,
        font=scaling.TEXT,
        space=px(6),  # between a picture and the text beside it
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
    builder.element(
        "Card.bg", builder.box(p.page, p.card, edge, radius=corner, size=192), border=px(corner + 1), sticky="nsew"
    )
    builder.nest("Card.TFrame", "Card.bg")
    style.configure("Card.TFrame", background=p.page)
    style.configure("TSeparator", background=p.line)
    style.configure("TPanedwindow", background=p.page)
    style.configure("Sash", sashthickness=px(10), gripcount=0, background=p.page, bordercolor=p.page, lightcolor=p.page)
    style.configure("ComboboxPopdownFrame", relief="solid", borderwidth=1, background=p.card, bordercolor=p.border)


def bars(builder: StyleBuilder) -> None:
    p, px = builder.palette, builder.px
    wide, high = px(160), px(8)

    def capsule(colour: str, ground: str) -> str:
        layer = lambda: drawing.draw(wide, high, drawing.rounded(wide, high, (0, 0, wide, high), high / 2))  # noqa: E731
        return builder.theme.picture(("capsule", wide, high), layer, colour, ground=ground)

    edge = {"border": ((high + 1) // 2, 0), "sticky": "ew", "height": high}
    builder.element("Progress.trough", capsule(p.track, p.card), **edge)
    for name, colour in (("", p.accent), ("Ok.", p.ok), ("Warn.", p.warn), ("Danger.", p.danger)):
        builder.element(f"{name}Progress.pbar", capsule(colour, p.track), **edge)
        bar = [(f"{name}Progress.pbar", {"side": "left", "sticky": "nsew"})]
        style = f"{name}Horizontal.TProgressbar"
        builder.layout(style, [("Progress.trough", {"sticky": "ew", "children": bar})])
        builder.style.configure(style, background=p.card, thickness=high)


def scrollbars(builder: StyleBuilder) -> None:
    p, px = builder.palette, builder.px
    thick, long, inset = px(10), px(96), px(2)
    for way, (wide, high) in (("Vertical", (thick, long)), ("Horizontal", (long, thick))):

        def thumb(colour: str, wide: int = wide, high: int = high) -> str:
            box = (inset, inset, wide - inset, high - inset)
            return builder.theme.picture(
                ("thumb", wide, high),
                lambda: drawing.draw(wide, high, drawing.rounded(wide, high, box, thick)),
                colour,
                ground=p.card,
            )

        least = {"width": thick, "height": px(36)} if way == "Vertical" else {"width": px(36), "height": thick}
        builder.element(f"{way}.Scrollbar.trough", thumb(p.card), border=1, sticky="nsew", width=thick, height=thick)
        builder.element(f"{way}.Scrollbar.thumb", thumb(p.border), ("disabled", thumb(p.card)),
                     ("pressed", thumb(p.muted)), ("active", thumb(p.control)),
                     border=thick // 2, sticky="nsew", **least)  # fmt: skip
        inner = [(f"{way}.Scrollbar.thumb", {"expand": 1, "sticky": "nsew"})]
        builder.layout(f"{way}.TScrollbar", [(f"{way}.Scrollbar.trough", {"sticky": "nsew", "children": inner})])


def tree(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    style.configure("Treeview", background=p.card, fieldbackground=p.card, foreground=p.text, borderwidth=0,
                    font=scaling.TEXT, indent=px(18),
                    rowheight=scaling.line_height(builder.theme.root) + px(10))  # fmt: skip
    style.map("Treeview", background=[("selected", "!focus", p.quiet_select), ("selected", p.select)],
              foreground=[("disabled", p.faint), ("selected", "!focus", p.text),
                          ("selected", p.select_text)])  # fmt: skip
    builder.layout("Treeview", [("Treeview.treearea", {"sticky": "nsew"})])
    style.configure("Treeview.Heading", background=p.card, foreground=p.muted, relief="flat", borderwidth=0,
                    padding=(px(6), px(6)), font=scaling.TEXT)  # fmt: skip
    style.map("Treeview.Heading", background=[("active", p.hover)])
    nothing = builder.theme.picture(
        ("nothing", px(12)), lambda: drawing.draw(px(12), px(12), (bytes(px(12)),) * px(12)), p.card
    )
    builder.element(
        "Tree.indicator",
        builder.theme.icon("right", p.muted, 12),
        ("user2", nothing),
        ("user1", builder.theme.icon("down", p.muted, 12)),
        sticky="w",
        width=px(18),
    )
    parts = [
        ("Tree.indicator", {"side": "left", "sticky": ""}),
        ("Treeitem.image", {"side": "left", "sticky": ""}),
        ("Treeitem.text", {"sticky": "nsew"}),
    ]
    builder.layout("Treeview.Item", [("Treeitem.padding", {"sticky": "nsew", "children": parts})])
    style.configure("Treeview.Item", padding=(px(4), 0))


def tabs(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style

    def tab(line: str, ground: str = p.page, thick: float = 2) -> str:
        wide, high, below = px(96), px(40), px(thick)
        return builder.theme.picture(
            ("tab", wide, high, below),
            lambda: drawing.draw(wide, high, drawing.rounded(wide, high, (0, high - below, wide, high), 0)),
            line,
            ground=ground,
        )

    builder.element(
        "Tabs.tab",
        tab(p.page),
        ("selected", "focus", tab(p.accent, p.press, 3)),
        ("selected", tab(p.accent)),
        ("active", tab(p.border)),
        border=(1, 1, 1, px(3)),
        sticky="nsew",
    )
    builder.nest("TNotebook.Tab", "Tabs.tab", "Notebook.padding", "Notebook.label", sticky="")
    builder.layout("TNotebook", [("Notebook.client", {"sticky": "nsew"})])
    style.configure("TNotebook", background=p.page, borderwidth=0, tabmargins=(px(8), 0, 0, 0), padding=0,
                    bordercolor=p.page, lightcolor=p.page, darkcolor=p.page)  # fmt: skip
    style.configure("TNotebook.Tab", padding=(px(14), px(9)), foreground=p.muted, font=scaling.TEXT)
    style.map("TNotebook.Tab", foreground=[("selected", p.text), ("active", p.text)])


def banners(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    for kind, tint, colour in (
        ("Info.", p.info_tint, p.accent),
        ("Ok.", p.ok_tint, p.ok),
        ("Warn.", p.warn_tint, p.warn),
        ("Danger.", p.danger_tint, p.danger),
    ):
        banner = f"{kind}Banner"
        edge = blend(colour, tint, 0.35)
        builder.element(
            f"{banner}.bg", builder.box(p.page, tint, edge, radius=8, size=192), border=px(9), sticky="nsew"
        )
        builder.nest(f"{banner}.TFrame", f"{banner}.bg")
        style.configure(f"{banner}.TFrame", background=p.page)
        style.configure(f"{banner}.TLabel", background=tint, foreground=p.text)
        for part, rest, border in (("", p.card, p.border), ("Icon.", tint, None)):
            name = f"{part}{banner}.TButton"
            builder.element(
                f"{name}.bg",
                builder.box(tint, rest, border),
                ("pressed", builder.box(tint, p.press, border)),
                ("focus", builder.box(tint, rest, ring=p.accent)),
                ("active", builder.box(tint, p.hover, border)),
                border=px(RADIUS + 1),
                sticky="nsew",
            )
            builder.nest(name, f"{name}.bg", "Button.padding", "Button.label")
            style.configure(name, padding=(px(4), px(4)) if part else (px(11), px(3)), foreground=p.text,
                            background=tint, anchor="center")  # fmt: skip
