"""Tests of the theme: contrast, drawings, scaling, styles and switching while the window is open."""

from __future__ import annotations

import gc
import struct
import time
import tkinter as tk
import zlib
from dataclasses import fields
from tkinter import font, ttk

import pytest

from era5dl.gui.theme import drawing, icons, scaling
from era5dl.gui.theme.app_icon import app_icon
from era5dl.gui.theme.image_cache import bar_shape
from era5dl.gui.theme.palette import DARK, LIGHT, Palette, blend, contrast
from era5dl.gui.theme.theme import Theme

pytest_plugins = ["tests.gui_screen"]

# --- colours


def test_contrast_follows_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert blend("#ffffff", "#000000", 0.5) == "#808080"


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
def test_text_has_enough_contrast_on_every_background(palette: Palette) -> None:
    grounds = {name: getattr(palette, name) for name in ("page", "card", "field", "hover", "stripe", "quiet_select")}
    for name, ground in grounds.items():
        for ink in ("text", "muted"):
            assert contrast(getattr(palette, ink), ground) >= 4.5, (ink, name)
    for ink in ("accent", "ok", "part", "warn", "danger"):
        for name in ("card", "page", "hover"):
            assert contrast(getattr(palette, ink), getattr(palette, name)) >= 4.5, (ink, name)
        for name in ("select", "quiet_select"):  # only icons there
            assert contrast(getattr(palette, ink), getattr(palette, name)) >= 3, (ink, name)
    for tint in (palette.info_tint, palette.ok_tint, palette.warn_tint, palette.danger_tint):
        assert contrast(palette.text, tint) >= 4.5
    assert contrast(palette.select_text, palette.select) >= 4.5
    for fill in (palette.accent, palette.accent_hover, palette.accent_press):
        assert contrast(palette.on_accent, fill) >= 4.5
    for drawn in (palette.control, *palette.series):
        assert contrast(drawn, palette.card) >= 3, drawn


def test_every_colour_has_six_digits() -> None:
    for palette in (LIGHT, DARK):
        for one in fields(palette):
            value = getattr(palette, one.name)
            for colour in value if isinstance(value, tuple) else (value,):
                if isinstance(colour, str) and one.name != "name":
                    assert len(colour) == 7 and colour[0] == "#", one.name


# --- drawings


def pixels(png: bytes) -> list[list[tuple[int, int, int, int]]]:
    """Decode a PNG of `Shape.png` (8 bits, indexed, no filters) into rows of RGBA."""
    parts, place = {}, 8
    while place < len(png):
        size, kind = struct.unpack(">I4s", png[place : place + 8])
        data = png[place + 8 : place + 8 + size]
        assert struct.unpack(">I", png[place + 8 + size : place + 12 + size])[0] == zlib.crc32(kind + data)
        parts[kind] = data
        place += 12 + size
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    table, alphas = parts[b"PLTE"], parts.get(b"tRNS", b"\xff" * 256)
    raw = zlib.decompress(parts[b"IDAT"])
    rows = [raw[y * (width + 1) + 1 : (y + 1) * (width + 1)] for y in range(height)]
    return [[(*table[3 * i : 3 * i + 3], alphas[i]) for i in row] for row in rows]  # type: ignore[misc]


def test_a_box_is_filled_inside_and_shows_the_background_in_its_corners() -> None:
    shape = drawing.draw(20, 20, drawing.rounded(20, 20, (0, 0, 20, 20), 6), drawing.rounded(20, 20, (1, 1, 19, 19), 5))
    grid = pixels(shape.png("#ff0000", "#00ff00", background="#0000ff"))
    assert grid[0][0] == (0, 0, 255, 255)  # outside of the round corner
    assert grid[10][10] == (0, 255, 0, 255)
    assert grid[0][10] == (255, 0, 0, 255)  # border
    assert grid == [row[::-1] for row in grid] == grid[::-1]  # the same on all sides
    edge = grid[1][2]
    assert 0 < edge[0] < 255 or 0 < edge[2] < 255  # anti-aliased


@pytest.mark.parametrize("size", [16, 48])
def test_the_icon_of_the_program_has_transparent_corners(screen: object, size: int) -> None:
    root = tk.Tk()
    try:
        icon = tk.PhotoImage(master=root, data=app_icon(size))
        assert (icon.width(), icon.height()) == (size, size)
        assert icon.transparency_get(0, 0)
        assert not icon.transparency_get(size // 2, size // 2)
    finally:
        root.destroy()


def test_without_a_background_a_drawing_is_transparent() -> None:
    shape = drawing.draw(9, 9, drawing.circle(9, 9, (4.5, 4.5), 4))
    grid = pixels(shape.png("#123456"))
    assert grid[0][0][3] == 0
    assert grid[4][4] == (0x12, 0x34, 0x56, 255)
    assert sum(pixel[3] for row in grid for pixel in row) / 255 == pytest.approx(3.1416 * 16, rel=0.02)


def test_a_stretched_drawing_repeats_its_middle() -> None:
    small = drawing.draw(9, 9, drawing.rounded(9, 9, (0, 0, 9, 9), 3), wider=20, higher=11)
    large = drawing.draw(29, 20, drawing.rounded(29, 20, (0, 0, 29, 20), 3))
    assert pixels(small.png("#000000", background="#ffffff")) == pixels(large.png("#000000", background="#ffffff"))


@pytest.mark.parametrize("filled", [0, 6, 40, 92])
def test_a_bar_is_filled_up_to_its_fraction(filled: int) -> None:
    grid = pixels(bar_shape(92, 6, filled).png("#000000", "#ffffff", background="#000000"))
    bright = sum(pixel[0] for pixel in grid[3]) / 255
    assert bright == pytest.approx(filled, abs=1)


@pytest.mark.parametrize("name", icons.NAMES)
def test_every_icon_draws_something_in_its_square(name: str) -> None:
    for size in (12, 16, 32):
        shape = icons.icon(name, size)
        grid = pixels(shape.png("#000000"))
        ink = sum(pixel[3] for row in grid for pixel in row) / 255
        assert 0.05 * size * size < ink < 0.85 * size * size, (name, size)


def test_no_two_icons_are_the_same() -> None:
    seen = {icons.icon(name, 16).pixels for name in icons.NAMES}
    assert len(seen) == len(icons.NAMES)


# --- scale


def test_a_positive_length_is_at_least_one_pixel() -> None:
    assert scaling.Scale(1.0).px(0.2) == 1
    assert scaling.Scale(2.0).px(1) == 2
    assert scaling.Scale(1.5).px(0) == 0


def test_the_scale_follows_xft_dpi(root: tk.Tk) -> None:
    assert scaling.detect(root).factor == pytest.approx(1.0, abs=0.02)
    root.option_add("*Xft.dpi", "192")
    root.option_add("*dpi", "192")
    assert scaling.detect(root).factor == 2.0
    assert float(root.tk.call("tk", "scaling")) == pytest.approx(192 / 72, abs=0.01)


def test_fonts_follow_the_scale_and_are_not_garbage_collected(root: tk.Tk) -> None:
    usual = font.nametofont(scaling.TEXT, root=root).metrics("linespace")
    theme = Theme(root, factor=2.0)
    gc.collect()
    assert theme.px(10) == 20
    assert font.nametofont(scaling.TEXT, root=root).metrics("linespace") > 1.7 * usual
    head = font.nametofont(scaling.HEAD, root=root)
    assert head.actual("weight") == "bold"
    assert head.metrics("linespace") > 1.7 * usual


# --- styles


def test_a_theme_is_created_quickly_and_a_switch_back_is_quicker(root: tk.Tk) -> None:
    begun = time.process_time()
    theme = Theme(root, LIGHT, 2.0)
    made = time.process_time() - begun
    theme.use(DARK)
    begun = time.process_time()
    theme.use(LIGHT)
    again = time.process_time() - begun
    assert made < 0.6  # 60 ms on two quiet cores
    assert again < 0.1


def test_images_are_created_once(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    first = theme.icon("gear", "muted", 16)
    count = len(theme.images)
    assert theme.icon("gear", LIGHT.muted, 16) == first
    assert theme.bar(0.5, "accent") == theme.bar(0.501, "accent")
    theme.use(DARK)
    dark = len(theme.images)
    theme.use(LIGHT)
    theme.use(DARK)
    assert len(theme.images) == dark > count


_WIDGETS = {
    "TButton": ttk.Button,
    "TMenubutton": ttk.Menubutton,
    "TEntry": ttk.Entry,
    "TCombobox": ttk.Combobox,
    "TCheckbutton": ttk.Checkbutton,
    "TRadiobutton": ttk.Radiobutton,
    "TProgressbar": ttk.Progressbar,
    "TLabel": ttk.Label,
}
_STYLES = [
    f"{page}{name}"
    for page in ("", "Page.")
    for name in (
        *("TButton", "Accent.TButton", "Ghost.TButton", "Danger.TButton", "Icon.TButton", "TMenubutton", "TLabel"),
        *("TEntry", "TCombobox", "TCheckbutton", "Switch.TCheckbutton", "Head.TLabel"),
    )
] + ["Horizontal.TProgressbar", "Ok.Horizontal.TProgressbar", "Segment.TRadiobutton", "Info.Banner.TButton"]


def test_every_style_works_in_every_state(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    worn = [_WIDGETS[style.rsplit(".", 1)[-1]](root, style=style) for style in _STYLES]
    for one in worn:
        one.pack()
    for palette in (LIGHT, DARK):
        theme.use(palette)
        for state in ("active", "focus", "pressed", "disabled", "selected", "invalid", "readonly", "alternate"):
            for one in worn:
                one.state([state])
            root.update()
            for one in worn:
                one.state([f"!{state}"])
    for one in worn:
        assert one.winfo_reqheight() <= 34, one["style"]  # a drawing's size has not become the widget's,
    assert ttk.Button(root, style="Icon.TButton").winfo_reqwidth() < 30  # nor its border the padding


def test_followers_are_called_until_their_widget_is_destroyed(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    heard: list[str] = []
    frame = ttk.Frame(root)
    theme.follow(frame, lambda palette: heard.append(palette.name))
    theme.use(DARK)
    frame.destroy()
    theme.use(LIGHT)
    assert heard == ["light", "dark"]


def test_an_icon_on_a_button_follows_the_palette_and_has_its_own_disabled_image(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    button = ttk.Button(root, text="Pause")
    theme.set_icon(button, "pause")
    assert str(button["image"][0]) == theme.icon("pause", LIGHT.text)
    assert [str(part) for part in button["image"]][1:] == ["disabled", theme.icon("pause", LIGHT.faint)]
    theme.use(DARK)
    assert str(button["image"][0]) == theme.icon("pause", DARK.text)
    theme.set_icon(button, "play")
    assert str(button["image"][0]) == theme.icon("play", DARK.text)


def test_return_presses_a_button(root: tk.Tk) -> None:
    Theme(root, LIGHT, 1.0)
    heard: list[int] = []
    button = ttk.Button(root, command=lambda: heard.append(1))
    button.pack()
    root.update()
    button.focus_force()
    root.update()
    for key in ("<Return>", "<space>"):
        button.event_generate(key)
        root.update()
    assert heard == [1, 1]


def test_the_list_of_a_combobox_has_the_colours_of_the_palette(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    box = ttk.Combobox(root, values=["a", "b"], state="readonly")
    box.pack()
    root.update()
    for palette in (LIGHT, DARK):
        theme.use(palette)
        root.tk.call("ttk::combobox::Post", box)
        root.update()
        popup = root.tk.call("ttk::combobox::PopdownWindow", box)
        assert str(root.tk.call(f"{popup}.f.l", "cget", "-background")) == palette.card
        listbox = f"{popup}.f.l"
        assert root.tk.call("winfo", "height", listbox) >= root.tk.call("winfo", "reqheight", listbox)  # no line cut
        root.tk.call("ttk::combobox::Unpost", box)
        root.update()


def test_a_menu_has_the_colours_of_the_palette(root: tk.Tk) -> None:
    theme = Theme(root, LIGHT, 1.0)
    menu = theme.menu(root)
    theme.use(DARK)
    assert str(menu["background"]) == DARK.card


def test_a_chinese_font_is_detected(root: tk.Tk) -> None:
    import shutil
    import subprocess

    program = shutil.which("fc-list")
    if program is None:
        pytest.skip("no fontconfig")
    fonts = subprocess.run([program, ":lang=zh-cn"], capture_output=True, text=True, check=True).stdout
    assert scaling.knows_chinese(root) == bool(fonts.strip())
