"""The ttk theme of the window: all styles, with drawn images in the colours of one palette. Based on Tk's "clam".

Style names without a prefix are for widgets on a card; "Page." is for widgets on the page behind the cards.
Buttons: TButton, Accent, Ghost, Danger, Icon (small, image only). Labels: TLabel, Muted, Small, Head, Title, Figure,
Warn, Danger, Accent. Frames: TFrame, Card, Field (around a Bare.TEntry), Segments. Progress bars:
Horizontal.TProgressbar, Ok, Warn, Danger. Banners: Info.Banner, Ok, Warn, Danger, with .TFrame, .TLabel, .TButton.
"""

from __future__ import annotations

from tkinter import ttk

from era5dl.gui.theme import control_styles, drawing, scaling
from era5dl.gui.theme.image_cache import ImageCache
from era5dl.gui.theme.palette import Palette, blend
from era5dl.gui.theme.style_builder import CARD_RADIUS, RADIUS, StyleBuilder


def create_ttk_theme(name: str, style: ttk.Style, images: ImageCache, palette: Palette) -> None:
    """Create the ttk theme `name` in the colours of `palette`, and switch to it."""
    style.theme_create(name, parent="clam")
    style.theme_use(name)
    builder = StyleBuilder(style, images, palette)
    _basics(builder)
    for prefix, background in (("", palette.card), ("Page.", palette.page)):
        control_styles.labels(builder, prefix, background)
        control_styles.buttons(builder, prefix, background)
        control_styles.fields(builder, prefix, background)
        control_styles.toggles(builder, prefix, background)
    control_styles.segments(builder)
    _progress_bars(builder)
    _scrollbars(builder)
    _tree(builder)
    _tabs(builder)
    _banners(builder)


def _basics(builder: StyleBuilder) -> None:
    p, style, px = builder.palette, builder.style, builder.px
    style.configure(
        ".",
        background=p.card,
        foreground=p.text,
        font=scaling.TEXT,
        space=px(6),  # between an image and the text beside it
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
    card = builder.box(p.page, p.card, p.border if p.dark else p.line, radius=CARD_RADIUS, size=192)
    builder.element("Card.bg", card, border=px(CARD_RADIUS + 1), sticky="nsew")
    builder.nest("Card.TFrame", "Card.bg")
    style.configure("Card.TFrame", background=p.page)
    style.configure("ComboboxPopdownFrame", relief="solid", borderwidth=1, background=p.card, bordercolor=p.border)


def _progress_bars(builder: StyleBuilder) -> None:
    p, px = builder.palette, builder.px
    width, height = px(160), px(8)

    def capsule(colour: str, background: str) -> str:
        return builder.images.get(
            ("capsule", width, height),
            lambda: drawing.draw(width, height, drawing.rounded(width, height, (0, 0, width, height), height / 2)),
            colour,
            background=background,
        )

    options = {"border": ((height + 1) // 2, 0), "sticky": "ew", "height": height}
    builder.element("Progress.trough", capsule(p.track, p.card), **options)
    for name, colour in (("", p.accent), ("Ok.", p.ok), ("Warn.", p.warn), ("Danger.", p.danger)):
        builder.element(f"{name}Progress.pbar", capsule(colour, p.track), **options)
        bar = [(f"{name}Progress.pbar", {"side": "left", "sticky": "nsew"})]
        style = f"{name}Horizontal.TProgressbar"
        builder.layout(style, [("Progress.trough", {"sticky": "ew", "children": bar})])
        builder.style.configure(style, background=p.card, thickness=height)


def _scrollbars(builder: StyleBuilder) -> None:
    p, px = builder.palette, builder.px
    thickness, length, inset = px(10), px(96), px(2)
    for direction, (width, height) in (("Vertical", (thickness, length)), ("Horizontal", (length, thickness))):

        def thumb(colour: str, width: int = width, height: int = height) -> str:
            box = (inset, inset, width - inset, height - inset)
            return builder.images.get(
                ("thumb", width, height),
                lambda: drawing.draw(width, height, drawing.rounded(width, height, box, thickness)),
                colour,
                background=p.card,
            )

        shortest = px(36)
        size = (thickness, shortest) if direction == "Vertical" else (shortest, thickness)
        trough, thumb_name = f"{direction}.Scrollbar.trough", f"{direction}.Scrollbar.thumb"
        builder.element(trough, thumb(p.card), border=1, sticky="nsew", width=thickness, height=thickness)
        builder.element(
            thumb_name,
            thumb(p.border),
            ("disabled", thumb(p.card)),
            ("pressed", thumb(p.muted)),
            ("active", thumb(p.control)),
            border=thickness // 2,
            sticky="nsew",
            width=size[0],
            height=size[1],
        )
        inner = [(thumb_name, {"expand": 1, "sticky": "nsew"})]
        builder.layout(f"{direction}.TScrollbar", [(trough, {"sticky": "nsew", "children": inner})])


def _tree(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    style.configure(
        "Treeview",
        background=p.card,
        fieldbackground=p.card,
        foreground=p.text,
        borderwidth=0,
        font=scaling.TEXT,
        indent=px(18),
        rowheight=scaling.line_height(builder.images.root) + px(10),
    )
    style.map(
        "Treeview",
        background=[("selected", "!focus", p.quiet_select), ("selected", p.select)],
        foreground=[("disabled", p.faint), ("selected", "!focus", p.text), ("selected", p.select_text)],
    )
    builder.layout("Treeview", [("Treeview.treearea", {"sticky": "nsew"})])
    size = px(12)
    nothing = builder.images.get(("nothing", size), lambda: drawing.draw(size, size, drawing.blank(size, size)), p.card)
    builder.element(
        "Tree.indicator",
        builder.icon("right", 12),
        ("user2", nothing),  # Tk's name for a leaf
        ("user1", builder.icon("down", 12)),  # and for an open item
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


def _tabs(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    width, height = px(96), px(40)

    def tab(underline: str, background: str = p.page, thickness: float = 2) -> str:
        top = height - px(thickness)
        return builder.images.get(
            ("tab", width, height, top),
            lambda: drawing.draw(width, height, drawing.rounded(width, height, (0, top, width, height), 0)),
            underline,
            background=background,
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
    style.configure(
        "TNotebook",
        background=p.page,
        borderwidth=0,
        tabmargins=(px(8), 0, 0, 0),
        padding=0,
        bordercolor=p.page,
        lightcolor=p.page,
        darkcolor=p.page,
    )
    style.configure("TNotebook.Tab", padding=(px(14), px(9)), foreground=p.muted, font=scaling.TEXT)
    style.map("TNotebook.Tab", foreground=[("selected", p.text), ("active", p.text)])


def _banners(builder: StyleBuilder) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    for kind, tint, colour in (
        ("Info.", p.info_tint, p.accent),
        ("Ok.", p.ok_tint, p.ok),
        ("Warn.", p.warn_tint, p.warn),
        ("Danger.", p.danger_tint, p.danger),
    ):
        banner = f"{kind}Banner"
        box = builder.box(p.page, tint, blend(colour, tint, 0.35), radius=8, size=192)
        builder.element(f"{banner}.bg", box, border=px(9), sticky="nsew")
        builder.nest(f"{banner}.TFrame", f"{banner}.bg")
        style.configure(f"{banner}.TFrame", background=p.page)
        style.configure(f"{banner}.TLabel", background=tint, foreground=p.text)
        for prefix, rest, border, padding in (
            ("", p.card, p.border, (px(11), px(3))),
            ("Icon.", tint, None, (px(4), px(4))),
        ):
            button = f"{prefix}{banner}.TButton"
            builder.element(
                f"{button}.bg",
                builder.box(tint, rest, border),
                ("pressed", builder.box(tint, p.press, border)),
                ("focus", builder.box(tint, rest, ring=p.accent)),
                ("active", builder.box(tint, p.hover, border)),
                border=px(RADIUS + 1),
                sticky="nsew",
            )
            builder.nest(button, f"{button}.bg", "Button.padding", "Button.label")
            style.configure(button, padding=padding, foreground=p.text, background=tint, anchor="center")
