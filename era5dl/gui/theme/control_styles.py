"""ttk styles of the controls: labels, buttons, entries and comboboxes, check boxes, switches, segmented controls.

Each function defines styles for one background. `prefix` is "" on a card and "Page." on the page behind the cards.
"""

from __future__ import annotations

from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import check_box, toggle_switch
from era5dl.gui.theme.style_builder import RADIUS, StyleBuilder


def labels(builder: StyleBuilder, prefix: str, background: str) -> None:
    """TLabel and its variants by meaning: Muted, Small, Head, Title, Figure, Warn, Danger, Accent."""
    p = builder.palette
    for name, colour, font in (
        ("", p.text, scaling.TEXT),
        ("Muted.", p.muted, scaling.TEXT),
        ("Small.", p.muted, scaling.SMALL),
        ("Head.", p.text, scaling.HEAD),
        ("Title.", p.text, scaling.TITLE),
        ("Figure.", p.text, scaling.FIGURE),
        ("Warn.", p.warn, scaling.TEXT),
        ("Danger.", p.danger, scaling.TEXT),
        ("Accent.", p.accent, scaling.TEXT),
    ):
        style = f"{prefix}{name}TLabel"
        builder.style.configure(style, background=background, foreground=colour, font=font)
        builder.style.map(style, foreground=[("disabled", p.faint)])


def buttons(builder: StyleBuilder, prefix: str, background: str) -> None:
    """TButton and its variants (Accent, Danger, Ghost, Icon), and TMenubutton."""
    p, px = builder.palette, builder.px
    ghost_hover = p.hover if prefix == "" else p.press
    kinds = {  # colours: normal, below the mouse and pressed; text; border
        "": (p.card, p.hover, p.press, p.text, p.border),
        "Accent.": (p.accent, p.accent_hover, p.accent_press, p.on_accent, None),
        "Danger.": (p.card, p.danger_hover, p.danger_tint, p.danger, p.border),
        "Ghost.": (background, ghost_hover, p.press, p.text, None),
        "Icon.": (background, ghost_hover, p.press, p.text, None),
    }
    for kind, (rest, hover, press, text, border) in kinds.items():
        style, filled = f"{prefix}{kind}TButton", kind == "Accent."
        disabled = p.track if filled else background
        builder.element(
            f"{style}.bg",
            builder.box(background, rest, border),
            ("disabled", builder.box(background, disabled, p.line if border else None)),
            ("pressed", builder.box(background, press, border)),
            ("focus", "active", builder.box(background, hover, ring=p.accent, gap=filled)),
            ("focus", builder.box(background, rest, ring=p.accent, gap=filled)),
            ("active", builder.box(background, hover, border)),
            border=px(RADIUS + 1),
            sticky="nsew",
        )
        builder.nest(style, f"{style}.bg", "Button.padding", "Button.label")
        padding = (px(5), px(5)) if kind == "Icon." else (px(13), px(6))
        builder.style.configure(style, padding=padding, foreground=text, anchor="center", background=background)
        builder.style.map(style, foreground=[("disabled", p.faint)], background=[])
    if not prefix:  # an element is created once; both backgrounds use this one
        builder.element("Menubutton.arrow", builder.icon("down", 12), sticky="", width=px(24))
    inner = [
        ("Menubutton.arrow", {"side": "right", "sticky": "ns"}),
        ("Menubutton.padding", {"sticky": "nsew", "children": [("Menubutton.label", {"sticky": "nsew"})]}),
    ]
    builder.layout(f"{prefix}TMenubutton", [(f"{prefix}TButton.bg", {"sticky": "nsew", "children": inner})])
    builder.style.configure(f"{prefix}TMenubutton", padding=(px(11), px(6)), foreground=p.text, background=background)


def fields(builder: StyleBuilder, prefix: str, background: str) -> None:
    """TEntry, TCombobox, and the frame of a composite field with its Bare.TEntry inside."""
    p, px, style = builder.palette, builder.px, builder.style
    field = f"{prefix}Field.bg"
    builder.element(
        field,
        builder.box(background, p.field, p.border),
        ("invalid", builder.box(background, p.field, ring=p.danger)),
        ("disabled", builder.box(background, background, p.line)),
        ("focus", builder.box(background, p.field, ring=p.accent)),
        ("active", builder.box(background, p.field, p.control)),
        border=px(RADIUS + 1),
        sticky="nsew",
    )
    builder.nest(f"{prefix}TEntry", field, "Entry.padding", "Entry.textarea")
    if not prefix:  # composite fields are on cards only; the arrow is created once, for both backgrounds
        builder.nest("Field.TFrame", field)
        style.configure("Field.TFrame", background=background)
        builder.nest("Bare.TEntry", "Entry.padding", "Entry.textarea")
        builder.element("Combobox.downarrow", builder.icon("down", 12), sticky="", width=px(26))
    inner: list[Any] = [
        ("Combobox.downarrow", {"side": "right", "sticky": "ns"}),
        ("Combobox.padding", {"sticky": "nsew", "children": [("Combobox.textarea", {"sticky": "nsew"})]}),
    ]
    builder.layout(f"{prefix}TCombobox", [(field, {"sticky": "nsew", "children": inner})])
    for name in (f"{prefix}TEntry", f"{prefix}TCombobox", *([] if prefix else ["Bare.TEntry"])):
        style.configure(
            name,
            padding=(px(5), px(3)) if name == "Bare.TEntry" else (px(8), px(6)),
            foreground=p.text,
            fieldbackground=p.field,
            background=p.field,
            insertcolor=p.text,
            insertwidth=px(1.5),
            selectbackground=p.select,
            selectforeground=p.select_text,
            selectborderwidth=0,
        )
        style.map(
            name,
            foreground=[("disabled", p.faint)],
            fieldbackground=[("disabled", background), ("readonly", p.field)],
            selectbackground=[("readonly", p.field), ("!focus", p.quiet_select)],
            selectforeground=[("readonly", p.text), ("!focus", p.text)],
        )


def toggles(builder: StyleBuilder, prefix: str, background: str) -> None:
    """TCheckbutton, and Switch.TCheckbutton, which looks like a toggle switch."""
    for style, create_indicator in (
        (f"{prefix}TCheckbutton", _check_indicator),
        (f"{prefix}Switch.TCheckbutton", _switch_indicator),
    ):
        indicator = f"{style}.indicator"
        create_indicator(builder, indicator, background)
        inner = [(indicator, {"side": "left", "sticky": ""}), ("Checkbutton.label", {"sticky": "nsew"})]
        builder.layout(style, [("Checkbutton.padding", {"sticky": "nsew", "children": inner})])
        builder.style.configure(
            style, background=background, foreground=builder.palette.text, padding=(0, builder.px(3))
        )
        builder.style.map(style, background=[], foreground=[("disabled", builder.palette.faint)])
    builder.style.configure(f"{prefix}Switch.TCheckbutton", padding=(0, builder.px(2)))


def _check_indicator(builder: StyleBuilder, name: str, background: str) -> None:
    p = builder.palette

    def box(mark: str, fill: str, edge: str, ring: str | None = None) -> str:
        return check_box(builder.images, mark, fill, edge, p.on_accent, ring=ring, background=background, space_right=6)

    on, off = (p.accent, p.accent), (p.field, p.control)
    builder.element(
        name,
        box("", *off),
        ("alternate", "!disabled", box("minus", *on)),
        ("selected", "disabled", box("check", p.faint, p.faint)),
        ("disabled", box("", background, p.border)),
        ("selected", "focus", box("check", *on, ring=p.accent)),
        ("selected", "active", box("check", p.accent_hover, p.accent_hover)),
        ("selected", box("check", *on)),
        ("focus", box("", *off, ring=p.accent)),
        ("active", box("", p.field, p.accent)),
        sticky="w",
    )


def _switch_indicator(builder: StyleBuilder, name: str, background: str) -> None:
    p = builder.palette

    def switch(on: bool, track: str, knob: str, ring: str | None = None) -> str:
        return toggle_switch(builder.images, on, track, knob, ring, background)

    builder.element(
        name,
        switch(False, p.control, p.knob),
        ("selected", "disabled", switch(True, p.faint, background)),
        ("disabled", switch(False, p.track, background)),
        ("selected", "focus", switch(True, p.accent, p.on_accent, p.accent)),
        ("selected", "active", switch(True, p.accent_hover, p.on_accent)),
        ("selected", switch(True, p.accent, p.on_accent)),
        ("focus", switch(False, p.control, p.knob, p.accent)),
        ("active", switch(False, p.muted, p.knob)),
        sticky="w",
    )


def segments(builder: StyleBuilder) -> None:
    """Segments.TFrame and the Segment.TRadiobutton inside it: a segmented control on a card."""
    p, px = builder.palette, builder.px
    trough = p.stripe
    chosen = p.press if p.dark else p.card
    builder.element("Segments.bg", builder.box(p.card, trough, p.border, radius=7), border=px(8), sticky="nsew")
    builder.nest("Segments.TFrame", "Segments.bg")
    builder.style.configure("Segments.TFrame", background=p.card)
    builder.element(
        "Segment.bg",
        builder.box(trough, trough, radius=5),
        ("selected", "focus", builder.box(trough, chosen, ring=p.accent, radius=5)),
        ("focus", builder.box(trough, trough, ring=p.accent, radius=5)),
        ("selected", builder.box(trough, chosen, p.border, radius=5)),
        ("active", "!disabled", builder.box(trough, p.press, radius=5)),
        border=px(6),
        sticky="nsew",
    )
    style = "Segment.TRadiobutton"
    builder.nest(style, "Segment.bg", "Radiobutton.padding", "Radiobutton.label", sticky="")
    builder.style.configure(style, padding=(px(12), px(3)), foreground=p.muted, anchor="center", background=trough)
    builder.style.map(
        style, background=[], foreground=[("disabled", p.faint), ("selected", p.text), ("active", p.text)]
    )
