"""The style of what is clicked and typed into: labels, buttons, fields, check boxes, switches, segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import check_box, radio_disc, switch_track
from era5dl.gui.theme.style_builder import RADIUS, StyleBuilder


def labels(builder: StyleBuilder, prefix: str, ground: str) -> None:
    p = builder.palette
    for name, colour, font in (
        ("", p.text, scaling.TEXT),
        ("Muted.", p.muted, scaling.TEXT),
        ("Small.", p.muted, scaling.SMALL),
        ("Head.", p.text, scaling.HEAD),
        ("Title.", p.text, scaling.TITLE),
        ("Figure.", p.text, scaling.FIGURE),
        ("Ok.", p.ok, scaling.TEXT),
        ("Warn.", p.warn, scaling.TEXT),
        ("Danger.", p.danger, scaling.TEXT),
        ("Accent.", p.accent, scaling.TEXT),
    ):
        style = f"{prefix}{name}TLabel"
        builder.style.configure(style, background=ground, foreground=colour, font=font)
        builder.style.map(style, foreground=[("disabled", p.faint)])


def buttons(builder: StyleBuilder, prefix: str, ground: str) -> None:
    p, px = builder.palette, builder.px
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
        builder.element(
            f"{style}.bg",
            builder.box(ground, rest, border),
            ("disabled", builder.box(ground, off, border and p.line)),
            ("pressed", builder.box(ground, press, border)),
            ("focus", "active", builder.box(ground, hover, ring=p.accent, gap=filled)),
            ("focus", builder.box(ground, rest, ring=p.accent, gap=filled)),
            ("active", builder.box(ground, hover, border)),
            border=px(RADIUS + 1),
            sticky="nsew",
        )
        builder.nest(style, f"{style}.bg", "Button.padding", "Button.label")
        padding = (px(5), px(5)) if kind == "Icon." else (px(13), px(6))
        builder.style.configure(style, padding=padding, foreground=text, anchor="center", background=ground)
        builder.style.map(style, foreground=[("disabled", p.faint)], background=[])
    arrow = builder.theme.icon("down", p.muted, 12)
    if not prefix:
        builder.element("Menubutton.arrow", arrow, sticky="", width=px(24))
    inner = [
        ("Menubutton.arrow", {"side": "right", "sticky": "ns"}),
        ("Menubutton.padding", {"sticky": "nsew", "children": [("Menubutton.label", {"sticky": "nsew"})]}),
    ]
    builder.layout(f"{prefix}TMenubutton", [(f"{prefix}TButton.bg", {"sticky": "nsew", "children": inner})])
    builder.style.configure(f"{prefix}TMenubutton", padding=(px(11), px(6)), foreground=p.text, background=ground)


def fields(builder: StyleBuilder, prefix: str, ground: str) -> None:
    p, px, style = builder.palette, builder.px, builder.style
    builder.element(
        f"{prefix}Field.bg",
        builder.box(ground, p.field, p.border),
        ("invalid", builder.box(ground, p.field, ring=p.danger)),
        ("disabled", builder.box(ground, ground, p.line)),
        ("focus", builder.box(ground, p.field, ring=p.accent)),
        ("active", builder.box(ground, p.field, p.control)),
        border=px(RADIUS + 1),
        sticky="nsew",
    )
    field = f"{prefix}Field.bg"
    builder.nest(f"{prefix}Field.TFrame", field)
    style.configure(f"{prefix}Field.TFrame", background=ground)
    builder.nest(f"{prefix}TEntry", field, "Entry.padding", "Entry.textarea")
    if not prefix:
        builder.nest("Bare.TEntry", "Entry.padding", "Entry.textarea")
        builder.element("Combobox.downarrow", builder.theme.icon("down", p.muted, 12), sticky="", width=px(26))
        for way in ("up", "down"):
            builder.element(f"Spinbox.{way}arrow", builder.theme.icon(way, p.muted, 10), sticky="", width=px(22))
    text: list[Any] = [
        ("Combobox.padding", {"sticky": "nsew", "children": [("Combobox.textarea", {"sticky": "nsew"})]})
    ]
    builder.layout(
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
    builder.layout(
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


def toggles(builder: StyleBuilder, prefix: str, ground: str) -> None:
    px = builder.px
    for kind, indicator in (("TCheckbutton", checks), ("TRadiobutton", radios)):
        indicator(builder, f"{prefix}{kind}.indicator", ground)
        toggle_layout(builder, f"{prefix}{kind}", f"{prefix}{kind}.indicator", ground)
    switches(builder, f"{prefix}Switch.indicator", ground)
    toggle_layout(builder, f"{prefix}Switch.TCheckbutton", f"{prefix}Switch.indicator", ground)
    builder.style.configure(f"{prefix}Switch.TCheckbutton", padding=(0, px(2)))


def toggle_layout(builder: StyleBuilder, style: str, indicator: str, ground: str) -> None:
    p, px = builder.palette, builder.px
    label = ("Checkbutton.label", {"sticky": "nsew"})
    inner = [(indicator, {"side": "left", "sticky": ""}), label]
    builder.layout(style, [("Checkbutton.padding", {"sticky": "nsew", "children": inner})])
    builder.style.configure(style, background=ground, foreground=p.text, padding=(0, px(3)))
    builder.style.map(style, background=[], foreground=[("disabled", p.faint)])


def checks(builder: StyleBuilder, name: str, ground: str) -> None:
    p = builder.palette

    def box(mark: str, fill: str, edge: str, ring: str | None = None) -> str:
        return check_box(builder.theme, mark, fill, edge, p.on_accent, ring=ring, ground=ground, gap=6)

    on, off = (p.accent, p.accent), (p.field, p.control)
    builder.element(
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


def radios(builder: StyleBuilder, name: str, ground: str) -> None:
    p = builder.palette

    def disc(rim: str, inner: str, dot: str, ring: str | None = None) -> str:
        return radio_disc(builder.theme, rim, inner, dot, ring, ground)

    builder.element(
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


def switches(builder: StyleBuilder, name: str, ground: str) -> None:
    p = builder.palette
    knob = "#ffffff" if not p.dark else p.text

    def switch(on: bool, track: str, dot: str, ring: str | None = None) -> str:
        return switch_track(builder.theme, on, track, dot, ring, ground)

    builder.element(
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


def segments(builder: StyleBuilder) -> None:
    p, px = builder.palette, builder.px
    chosen = p.press if p.dark else p.card
    trough = p.stripe
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
    builder.nest("Segment.TRadiobutton", "Segment.bg", "Radiobutton.padding", "Radiobutton.label", sticky="")
    builder.style.configure("Segment.TRadiobutton", padding=(px(12), px(3)), foreground=p.muted, anchor="center",
                         background=trough)  # fmt: skip
    builder.style.map("Segment.TRadiobutton", background=[],
                   foreground=[("disabled", p.faint), ("selected", p.text), ("active", p.text)])  # fmt: skip
