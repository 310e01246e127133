"""Colours of the window by purpose, in a light and a dark palette.

`page` is the background of the window; cards are on the page, and fields on cards. Text has a contrast of at least 4.5
to its background, borders of controls and drawings at least 3. A test computes these contrasts as defined by WCAG 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours as "#rrggbb"."""

    name: str
    dark: bool
    # backgrounds
    page: str
    card: str
    field: str
    hover: str  # of a control on a card, below the mouse
    press: str  # the same, while it is pressed
    stripe: str  # of a segmented control
    # text
    text: str
    muted: str  # secondary text
    faint: str  # disabled text only
    # lines
    border: str  # of fields and buttons
    line: str  # separators
    control: str  # outline of an empty check box, track of a switch that is off
    knob: str  # of a switch that is off
    track: str  # the empty part of a progress bar
    # emphasis
    accent: str
    accent_hover: str
    accent_press: str
    on_accent: str
    select: str  # selected rows
    select_text: str
    quiet_select: str  # selected rows of a table without the keyboard
    # status colours; an icon or a word always has the same meaning beside them
    ok: str
    part: str  # a part of a file is there and checked
    warn: str
    danger: str
    danger_hover: str
    # backgrounds of banners
    info_tint: str
    ok_tint: str
    warn_tint: str
    danger_tint: str
    # lines of charts, in order
    series: tuple[str, ...]
    area: str  # below the line of a chart with one line


LIGHT = Palette(
    name="light",
    dark=False,
    page="#f3f5f8",
    card="#ffffff",
    field="#ffffff",
    hover="#f0f3f8",
    press="#e2e7ef",
    stripe="#f3f5f9",
    text="#171c26",
    muted="#586274",
    faint="#9aa3b2",
    border="#ccd3de",
    line="#e3e7ee",
    control="#8792a5",
    knob="#ffffff",
    track="#e2e7ee",
    accent="#2460e0",
    accent_hover="#1b52c8",
    accent_press="#1745a8",
    on_accent="#ffffff",
    select="#dce8ff",
    select_text="#10285c",
    quiet_select="#e9edf3",
    ok="#12803f",
    part="#0b7285",
    warn="#a85404",
    danger="#cc2a20",
    danger_hover="#fdeceb",
    info_tint="#eaf1ff",
    ok_tint="#e7f6ec",
    warn_tint="#fff4e0",
    danger_tint="#fdecea",
    series=("#2460e0", "#d2600a", "#0d8a72", "#9a3bc4"),
    area="#e1ebff",
)

DARK = Palette(
    name="dark",
    dark=True,
    page="#12151b",
    card="#1b2028",
    field="#151920",
    hover="#252c36",
    press="#313a48",
    stripe="#212731",
    text="#e8ebf1",
    muted="#a0aabb",
    faint="#626c7d",
    border="#3c4554",
    line="#2b323d",
    control="#778296",
    knob="#e8ebf1",
    track="#323a47",
    accent="#5794ff",
    accent_hover="#75a8ff",
    accent_press="#4684ee",
    on_accent="#08142b",
    select="#233c69",
    select_text="#e3ecff",
    quiet_select="#2a323e",
    ok="#3fc47d",
    part="#3cc4d6",
    warn="#f3ab3a",
    danger="#ff7b72",
    danger_hover="#3a2227",
    info_tint="#1a2a47",
    ok_tint="#16302a",
    warn_tint="#382c18",
    danger_tint="#3b2226",
    series=("#5794ff", "#f39a4a", "#36c9a8", "#c98bf0"),
    area="#21375f",
)

PALETTES = {palette.name: palette for palette in (LIGHT, DARK)}


def blend(over: str, under: str, share: float) -> str:
    """Return a mixture of two colours. share: 1 for `over`, 0 for `under`."""
    mixed = (round(a * share + b * (1 - share)) for a, b in zip(rgb(over), rgb(under), strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the red, green and blue of "#rrggbb", 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21, as WCAG 2.1 defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [value / 255 for value in rgb(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
