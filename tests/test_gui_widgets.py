"""Tests of the widgets, driven by keyboard and mouse events from Tk."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time
import tkinter as tk
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from datetime import date
from tkinter import ttk
from typing import Any

import pytest

import era5dl.gui.widgets
from era5dl.gui.theme.palette import DARK, LIGHT
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.auto_number_field import AutoNumberField
from era5dl.gui.widgets.banner import Banner, BannerAction, BannerKind
from era5dl.gui.widgets.chart_scale import nice_step, runs, thin, ticks
from era5dl.gui.widgets.check_tree import CheckTree, Group, Leaf
from era5dl.gui.widgets.date_field import DateField
from era5dl.gui.widgets.date_input import DateTexts, date_error, months_later, parse_date
from era5dl.gui.widgets.line_chart import LineChart, Series
from era5dl.gui.widgets.number_field import NumberField
from era5dl.gui.widgets.search_entry import SearchEntry
from era5dl.gui.widgets.segmented_control import SegmentedControl
from era5dl.gui.widgets.table import VirtualTable
from era5dl.gui.widgets.table_model import Column, Row, Show, StatusStyle
from era5dl.gui.widgets.text_fitter import TextFitter
from era5dl.gui.widgets.toggle_grid import ToggleGrid
from era5dl.gui.widgets.toggle_switch import ToggleSwitch
from era5dl.gui.widgets.tooltip import Tooltip

pytest_plugins = ["tests.gui_screen"]

FIRST, LAST = date(1940, 1, 1), date(2025, 12, 31)
ENGLISH = DateTexts(
    weekdays=("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"),
    month_title=lambda year, month: f"{month}/{year}",
    empty="Choose a date.",
    not_a_date="Not a date.",
    no_such_day="This date does not exist.",
    too_early=lambda first: f"Not before {first}.",
    too_late=lambda last: f"Not after {last}.",
)
CHINESE = replace(
    ENGLISH,
    weekdays=tuple("一二三四五六日"),
    month_title=lambda year, month: f"{year} 年 {month} 月",
    no_such_day="该日期不存在。",
)


@pytest.fixture
def theme(root: tk.Tk) -> Theme:
    return Theme(root, LIGHT, 1.0)


def keys(widget: tk.Misc, *names: str) -> None:
    """Give a widget the focus, and press keys."""
    if widget.focus_get() is not widget:
        widget.focus_force()
        widget.update()
    for name in names:
        widget.event_generate(f"<{name}>")
        widget.update()


def click(widget: tk.Misc, x: int, y: int, *, modifiers: str = "", button: int = 1) -> None:
    widget.event_generate(f"<{modifiers}ButtonPress-{button}>", x=x, y=y)
    widget.event_generate(f"<{modifiers}ButtonRelease-{button}>", x=x, y=y)
    widget.update()


def test_no_method_hides_one_of_tkinter() -> None:
    """tkinter has private methods too, such as `_bind` and `_root`; hiding one breaks it in unexpected places."""
    intended = {("DateField", "destroy"), ("SearchEntry", "focus_set")}
    hidden = set()
    for module in pkgutil.iter_modules(era5dl.gui.widgets.__path__):
        for name, kind in vars(importlib.import_module(f"era5dl.gui.widgets.{module.name}")).items():
            if inspect.isclass(kind) and issubclass(kind, tk.Misc):
                theirs = {key for base in kind.__mro__ if base.__module__.startswith("tkinter") for key in vars(base)}
                ours = {k for base in kind.__mro__ if base.__module__.startswith("era5dl") for k in vars(base)}
                hidden |= {(name, key) for key in ours & theirs if not key.startswith("__")}
    assert hidden == intended


# --- dates


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2023-01-31", date(2023, 1, 31)),
        (" 2023-1-3 ", date(2023, 1, 3)),
        ("2023/01/31", date(2023, 1, 31)),
        ("2023.1.31", date(2023, 1, 31)),
        ("20230131", date(2023, 1, 31)),
        ("2023年1月31日", date(2023, 1, 31)),
        ("2023-02-30", None),
        ("23-01-01", None),
        ("2023-01", None),
        ("", None),
        ("2023-01-0٣", None),
        ("2023-01--1", None),
    ],
)
def test_dates_are_parsed(text: str, day: date | None) -> None:
    assert parse_date(text) == day


def test_every_invalid_date_has_its_own_error() -> None:
    invalid = ("", "soon", "2023-02-30", "1939-12-31", "2026-01-01")
    errors = [date_error(text, FIRST, LAST, ENGLISH) for text in invalid]
    assert len(set(errors)) == len(invalid) and all(errors)
    assert "1940-01-01" in errors[3] and "2025-12-31" in errors[4]
    for valid in ("2025-12-31", "1940-01-01"):
        assert date_error(valid, FIRST, LAST, ENGLISH) == ""


def test_months_later_is_limited_to_the_last_day_of_the_month() -> None:
    assert months_later(date(2023, 1, 31), 1) == date(2023, 2, 28)
    assert months_later(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert months_later(date(2023, 1, 31), -12) == date(2022, 1, 31)
    assert months_later(date(1, 1, 1), -1) == date(1, 1, 1)
    assert months_later(date(9999, 12, 31), 1) == date(9999, 12, 31)


@pytest.fixture
def field(root: tk.Tk, theme: Theme) -> DateField:
    heard: list[date | None] = []
    one = DateField(
        root,
        theme,
        value=date(2023, 1, 15),
        first=FIRST,
        last=LAST,
        texts=ENGLISH,
        on_change=lambda: heard.append(one.get()),
    )
    one.heard = heard  # type: ignore[attr-defined]
    one.pack()
    root.update()
    return one


def test_an_invalid_date_has_a_red_ring_and_an_error(field: DateField) -> None:
    field.variable.set("2023-02-30")
    assert field.get() is None
    assert field.instate(["invalid"])
    assert field.error == ENGLISH.no_such_day
    field.set_texts(CHINESE)
    assert field.error == CHINESE.no_such_day
    field.variable.set("2023-02-28")
    assert field.get() == date(2023, 2, 28)
    assert field.instate(["!invalid"]) and field.error == ""
    assert field.heard == [None, date(2023, 2, 28)]  # type: ignore[attr-defined]


def test_new_bounds_are_validated_at_once(field: DateField) -> None:
    field.set_bounds(date(2024, 1, 1), LAST)
    assert "2024-01-01" in field.error
    field.set_bounds(FIRST, LAST)
    assert field.error == ""


def test_keys_step_the_date(field: DateField) -> None:
    keys(field.entry, "Up")
    assert field.get() == date(2023, 1, 16)
    assert field.instate(["focus"])  # its ring
    keys(field.entry, "Prior", "Control-Prior", "Down")
    assert field.get() == date(2024, 2, 15)
    field.set(LAST)
    keys(field.entry, "Up")
    assert field.get() == LAST


def test_a_date_is_normalised_when_the_field_loses_focus(field: DateField) -> None:
    field.variable.set("2023/1/5")
    keys(field.entry, "Return")
    assert field.variable.get() == "2023-01-05"


def test_the_calendar_by_keyboard(field: DateField) -> None:
    keys(field.entry, "Alt-Down")
    month = field.month
    assert field.is_open and month is not None
    keys(month, "Right", "Down", "Next", "Control-Next")
    assert month.day == date(2024, 2, 23)
    keys(month, "Home")
    assert month.day == date(2024, 2, 1)
    keys(month, "End")
    assert month.day == date(2024, 2, 29)
    keys(month, "Return")
    assert not field.is_open
    assert field.get() == date(2024, 2, 29)
    assert field.focus_get() is field.entry


def test_escape_closes_the_calendar_and_keeps_the_date(field: DateField) -> None:
    field.open()
    assert field.month is not None
    keys(field.month, "Left", "Escape")
    assert not field.is_open
    assert field.get() == date(2023, 1, 15)
    field.open()
    assert field.is_open
    window = field.winfo_toplevel()
    field.destroy()  # with its calendar
    assert not window.bind("<Button-1>").strip()


def test_the_calendar_by_mouse(field: DateField, root: tk.Tk) -> None:
    click(field.button, 5, 5)
    month = field.month
    assert month is not None
    root.update()
    x, y = month.centre_of(date(2023, 1, 31))
    month.event_generate("<ButtonPress-1>", x=x, y=y)
    assert field.get() == date(2023, 1, 31)
    click(field.button, 5, 5)
    assert field.is_open
    root.event_generate("<Button-1>", x=600, y=600)
    root.update()
    assert not field.is_open
    assert "lambda" not in str(root.bind("<Button-1>")) and not root.bind("<Button-1>").strip()


def test_a_day_out_of_bounds_cannot_be_selected(field: DateField, root: tk.Tk) -> None:
    field.set_bounds(FIRST, date(2023, 1, 20))
    field.open()
    assert field.month is not None
    with pytest.raises(LookupError):
        field.month.centre_of(date(2023, 1, 21))
    keys(field.month, "Down", "Down")
    assert field.month.day == date(2023, 1, 20)


def test_the_calendar_follows_palette_and_language(field: DateField, theme: Theme) -> None:
    theme.use(DARK)
    field.set_texts(CHINESE)
    field.open()
    month = field.month
    assert month is not None
    assert str(month["background"]) == DARK.card
    texts = [month.itemcget(item, "text") for item in month.find_all() if month.type(item) == "text"]
    assert "2023 年 1 月" in texts and "日" in texts


# --- the table


class Rows:
    """A table model that counts the calls of `row`."""

    def __init__(self, count: int) -> None:
        self.ids = list(range(count))
        self.asked = 0
        self.changed: dict[int, str] = {}

    def row_count(self) -> int:
        return len(self.ids)

    def row(self, index: int) -> Row:
        self.asked += 1
        number = self.ids[index]
        state = self.changed.get(number, "Waiting")
        return Row((f"e5.oper.an.sfc.128_167_2t.ll025sc.{number:010d}.nc", "0 %", state), 0.0, StatusStyle.WAITING)

    def row_id(self, index: int) -> Hashable:
        return self.ids[index]

    def row_ids(self) -> Iterable[Hashable]:
        return self.ids

    def index_of(self, row_id: Hashable) -> int | None:
        return self.ids.index(row_id) if row_id in self.ids else None  # type: ignore[arg-type]


COLUMNS = (
    Column("file", "File", 200, stretch=True, middle=True),
    Column("progress", "Progress", 140, show=Show.PROGRESS),
    Column("state", "Status", 110, show=Show.STATUS),
)


class Scene:
    def __init__(self, root: tk.Tk, theme: Theme, count: int = 100_000) -> None:
        self.model = Rows(count)
        self.sorts: list[str] = []
        self.selections: list[frozenset[Hashable]] = []
        self.menus: list[tuple[int, int]] = []
        self.opened: list[Hashable] = []
        self.table = VirtualTable(
            root,
            theme,
            columns=COLUMNS,
            model=self.model,
            on_sort=self.sorts.append,
            on_select=self.selections.append,
            on_menu=lambda x, y: self.menus.append((x, y)),
            on_open=self.opened.append,
            empty="Nothing here",
        )
        self.table.pack(fill="both", expand=True)
        root.update()
        self.canvas = self.table.canvas

    def y(self, line: int) -> int:
        """Centre of a line on the screen; the first one is 0."""
        return self.table.row_height * (line + 1) + self.table.row_height // 2

    def click(self, line: int, modifiers: str = "") -> None:
        click(self.canvas, 30, self.y(line), modifiers=modifiers)


@pytest.fixture
def scene(root: tk.Tk, theme: Theme) -> Scene:
    return Scene(root, theme)


def test_only_visible_rows_are_requested_from_the_model(scene: Scene) -> None:
    scene.model.asked = 0
    scene.table.refresh()
    assert 0 < scene.model.asked < 40
    assert len(scene.canvas.find_all()) < 400


def test_a_refresh_is_quick(scene: Scene) -> None:
    begun = time.process_time()
    for _ in range(50):
        scene.table.refresh()
    assert (time.process_time() - begun) / 50 < 0.02  # 0.2 ms on a quiet machine


class Calls:
    """The Tcl interpreter, recording its calls."""

    def __init__(self, tk_app: Any) -> None:
        self._tk, self.made = tk_app, []  # type: ignore[var-annotated]

    def call(self, *words: object) -> object:
        self.made.append(words)
        return self._tk.call(*words)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tk, name)


def test_a_refresh_draws_only_what_changed(scene: Scene) -> None:
    calls = Calls(scene.canvas.tk)
    scene.canvas.tk = scene.table.tk = calls
    scene.table.refresh()
    assert calls.made == []
    scene.model.changed[3] = "Done"
    scene.table.refresh()
    ((_, _, commands, _),) = calls.made
    assert len(commands) == 1  # type: ignore[arg-type]
    assert scene.table.texts_shown()[3][2] == "Done"


def test_a_refresh_calls_tk_once_however_many_rows_change(scene: Scene) -> None:
    calls = Calls(scene.canvas.tk)
    scene.canvas.tk = scene.table.tk = calls
    scene.model.changed = dict.fromkeys(range(100), "Done")
    scene.table.refresh()
    assert len(calls.made) == 1
    shown = [scene.canvas.itemcget(item, "text") for item in scene.canvas.find_withtag("rows")
             if scene.canvas.type(item) == "text"]  # fmt: skip
    assert shown.count("Done") == len(scene.table.texts_shown()) > 10


def test_select_all_then_toggle_one_row(scene: Scene) -> None:
    scene.click(2)
    keys(scene.canvas, "Control-a")
    assert len(scene.table.selection) == 100_000
    scene.click(3, "Control-")
    assert len(scene.table.selection) == 99_999 and 3 not in scene.table.selection


def test_each_character_is_measured_once() -> None:
    measured: list[str] = []
    fitter = TextFitter(lambda text: measured.append(text) or len(text))  # type: ignore[func-returns-value]
    assert fitter.fit("abcabcabc", 5) == "abca…"
    assert fitter.fit("cabcabcab", 7, middle=True) == "cab…cab"
    assert sorted(measured) == ["a", "b", "c", "…"]


def test_long_names_are_shortened_in_the_middle(scene: Scene, root: tk.Tk) -> None:
    root.geometry("420x300")
    root.update()
    name = scene.table.texts_shown()[0][0]
    assert name.startswith("e5.o") and name.endswith("0.nc") and "…" in name


def test_clicks_select_rows(scene: Scene) -> None:
    scene.click(2)
    assert scene.table.selection == {2}
    scene.click(5, "Shift-")
    assert scene.table.selection == {2, 3, 4, 5}
    scene.click(3, "Control-")
    assert scene.table.selection == {2, 4, 5}
    scene.click(7)
    assert scene.table.selection == {7}
    assert scene.selections[-1] == {7}
    scene.table.select([1, 99_999])
    assert scene.table.selection == {1, 99_999}
    assert scene.selections[-1] == {7}  # no callback was called


def test_keys_move_and_select(scene: Scene) -> None:
    scene.click(0)
    keys(scene.canvas, "Down", "Down", "Shift-Down")
    assert scene.table.selection == {2, 3}
    keys(scene.canvas, "End")
    assert scene.table.selection == {99_999}
    assert scene.table.top > 99_900
    keys(scene.canvas, "Home", "Next")
    (only,) = scene.table.selection
    assert isinstance(only, int) and only > 5
    keys(scene.canvas, "Prior", "Control-a")
    assert len(scene.table.selection) == 100_000
    keys(scene.canvas, "Return")
    assert scene.opened == [0]


def test_selection_and_scroll_position_survive_sorting(scene: Scene) -> None:
    scene.click(2)
    scene.click(4, "Control-")
    keys(scene.canvas, "Button-5")
    top = scene.table.top
    scene.model.ids.reverse()
    scene.table.refresh()
    assert scene.table.selection == {2, 4}
    assert scene.table.top == top
    keys(scene.canvas, "Up")  # from the current position of the focused row
    assert scene.table.selection == {5}


def test_rows_may_disappear(scene: Scene) -> None:
    keys(scene.canvas, "End")
    scene.model.ids = scene.model.ids[:3]
    scene.table.refresh()
    assert scene.table.top == 0
    assert len(scene.table.texts_shown()) == 3
    keys(scene.canvas, "Down")
    scene.model.ids = []
    scene.table.refresh()
    assert scene.canvas.itemcget("empty", "text") == "Nothing here"
    keys(scene.canvas, "Down", "End", "Control-a", "Return", "Menu")
    click(scene.canvas, 30, scene.y(1))


def test_a_click_on_a_title_sorts_and_is_shown(scene: Scene) -> None:
    click(scene.canvas, 30, 8)
    keys(scene.canvas, "Alt-Key-3")
    assert scene.sorts == ["file", "state"]
    before = len(scene.canvas.find_withtag("header"))
    scene.canvas.event_generate("<ButtonPress-1>", x=30, y=8)
    scene.canvas.event_generate("<ButtonRelease-1>", x=90, y=8)  # released elsewhere
    scene.canvas.update()
    assert scene.sorts == ["file", "state"]
    scene.table.show_sort("state", descending=True)
    assert len(scene.canvas.find_withtag("header")) == before + 1


def test_a_column_can_be_dragged_wider(scene: Scene) -> None:
    left, right = scene.table.header.span(1)
    edge = right + 8
    scene.canvas.event_generate("<ButtonPress-1>", x=edge, y=8)
    scene.canvas.event_generate("<B1-Motion>", x=edge + 40, y=8, state=0x100)
    scene.canvas.event_generate("<ButtonRelease-1>", x=edge + 40, y=8)
    scene.canvas.update()
    new_left, new_right = scene.table.header.span(1)
    assert new_right - new_left == right - left + 40
    assert scene.sorts == [] and scene.table.selection == frozenset()


def test_the_context_menu_is_about_the_selection(scene: Scene) -> None:
    scene.click(1)
    scene.click(2, "Shift-")
    click(scene.canvas, 30, scene.y(2), button=3)
    assert scene.table.selection == {1, 2}
    click(scene.canvas, 30, scene.y(6), button=3)
    assert scene.table.selection == {6}
    keys(scene.canvas, "Menu")
    assert len(scene.menus) == 3


def test_the_wheel_and_the_scrollbar_scroll(scene: Scene) -> None:
    scene.canvas.event_generate("<Button-5>")
    assert scene.table.top == 3
    scene.table.yview("moveto", "0.5")
    assert scene.table.top == 50_000
    scene.table.yview("scroll", "-1", "units")
    assert scene.table.top == 49_999
    scene.table.yview("moveto", "1.0")
    assert scene.table.texts_shown()[-1][0].endswith("99999.nc")


def test_a_table_follows_language_and_palette(scene: Scene, theme: Theme) -> None:
    scene.click(1)
    theme.use(DARK)
    assert str(scene.canvas["background"]) == DARK.card
    scene.table.set_texts(["文件", "进度", "状态"], empty="没有")
    texts = [scene.canvas.itemcget(item, "text") for item in scene.canvas.find_withtag("header")
             if scene.canvas.type(item) == "text"]  # fmt: skip
    assert texts == ["文件", "进度", "状态"]
    assert scene.table.selection == {1}


def test_texts_are_shortened_to_a_width() -> None:
    fitter = TextFitter(len)
    assert fitter.fit("abcdef", 6) == "abcdef"
    assert fitter.fit("abcdef", 4) == "abc…"
    assert fitter.fit("abcdefgh", 5, middle=True) == "ab…gh"
    assert fitter.fit("abc", 0) == "…"


# --- the tree


def tree_of(root: tk.Tk, theme: Theme, heard: Callable[[frozenset[Hashable]], object]) -> CheckTree:
    tree = CheckTree(root, theme, on_change=heard, empty="Nothing found")
    tree.pack(fill="both", expand=True)
    tree.set_items(
        [
            Group(
                "wind",
                "Wind",
                (Leaf("10u", "10 metre U wind", "10u"), Leaf("10v", "10 metre V wind", "10v")),
                open=True,
            ),
            Group("heat", "Temperature", (Leaf("2t", "2 metre temperature", "2t", searchable="2 米温度"),)),
        ]
    )
    root.update()
    return tree


def test_space_toggles_and_groups_have_three_states(root: tk.Tk, theme: Theme) -> None:
    heard: list[frozenset[Hashable]] = []
    tree = tree_of(root, theme, heard.append)
    keys(tree.tree, "Down", "space")
    assert tree.get() == {"10u"}
    some = tree.tree.item("g0", "image")
    keys(tree.tree, "Down", "space")
    every = tree.tree.item("g0", "image")
    keys(tree.tree, "Up", "Up", "space")
    none = tree.tree.item("g0", "image")
    assert len({str(some), str(every), str(none)}) == 3
    keys(tree.tree, "space")
    assert heard == [{"10u"}, {"10u", "10v"}, frozenset(), {"10u", "10v"}]


def test_checked_items_that_still_exist_stay_checked(root: tk.Tk, theme: Theme) -> None:
    tree = tree_of(root, theme, lambda _: None)
    tree.set({"10u", "2t"})
    tree.set_items([Group("heat", "Temperature", (Leaf("2t", "2 metre temperature"), Leaf("2d", "2 metre dewpoint")))])
    assert tree.get() == {"2t"}
    assert tree.tree.get_children() == ("g0",)


def test_return_opens_and_closes_a_group(root: tk.Tk, theme: Theme) -> None:
    tree = tree_of(root, theme, lambda _: None)
    keys(tree.tree, "Return")
    assert not tree.tree.item("g0", "open")
    keys(tree.tree, "Return")
    assert tree.tree.item("g0", "open")


def test_a_click_on_box_or_text_toggles_a_leaf(root: tk.Tk, theme: Theme) -> None:
    tree = tree_of(root, theme, lambda _: None)
    x, y, wide, high = map(int, tree.tree.bbox("g0.0", "#0"))  # type: ignore[arg-type]
    click(tree.tree, x + 45, y + high // 2)
    assert tree.get() == {"10u"}
    click(tree.tree, x + wide - 60, y + high // 2)
    assert tree.get() == frozenset()
    x, y, wide, high = map(int, tree.tree.bbox("g0", "#0"))  # type: ignore[arg-type]
    click(tree.tree, x + 30, y + high // 2)  # the box of a group
    assert tree.get() == {"10u", "10v"}
    click(tree.tree, x + 70, y + high // 2)  # its words
    assert tree.get() == {"10u", "10v"} and not tree.tree.item("g0", "open")


def test_a_filter_shows_items_with_all_words_and_keeps_them_checked(root: tk.Tk, theme: Theme) -> None:
    heard: list[frozenset[Hashable]] = []
    tree = tree_of(root, theme, heard.append)
    tree.set({"10u", "2t", "gone"})
    assert tree.filter("metre TEMP") == 1
    assert tree.tree.get_children() == ("g1",)
    assert tree.tree.item("g1", "open")
    assert tree.filter("米温") == 1
    assert tree.filter("nothing like it") == 0
    assert tree.get() == {"10u", "2t"}
    assert tree.filter("") == 3
    assert not tree.tree.item("g1", "open") and tree.tree.item("g0", "open")
    assert heard == []
    tree.filter("10 metre v")
    keys(tree.tree, "Home", "Return", "Return", "Return")  # closed only during the search
    tree.filter("")
    assert tree.tree.item("g0", "open")
    tree.filter("10 metre v")
    keys(tree.tree, "Home", "space")  # a group: only its visible leaves
    assert tree.get() == {"10u", "10v", "2t"}


def test_a_tree_of_224_is_filtered_instantly(root: tk.Tk, theme: Theme) -> None:
    tree = tree_of(root, theme, lambda _: None)
    tree.set_items([Group(g, f"Group {g}", tuple(Leaf((g, n), f"variable {n} of {g}", f"v{n}") for n in range(28)))
                    for g in range(8)])  # fmt: skip
    begun = time.process_time()
    for text in ("v", "va", "var", "vari", "v1", ""):
        tree.filter(text)
        root.update()
    assert (time.process_time() - begun) / 6 < 0.15  # 15 ms on a quiet machine


def test_new_texts_change_nothing_else(root: tk.Tk, theme: Theme) -> None:
    tree = tree_of(root, theme, lambda _: None)
    tree.set({"10v"})
    keys(tree.tree, "Down", "Down")
    tree.set_texts(
        [Group("wind", "风", (Leaf("10u", "U 风"), Leaf("10v", "V 风"))), Group("heat", "温度", (Leaf("2t", "温度"),))]
    )
    assert tree.get() == {"10v"}
    assert tree.tree.item("g0", "text") == "风" and tree.tree.item("g0", "open")
    assert tree.tree.focus() == "g0.1"
    before = tree.tree.item("g0.1", "image")
    theme.use(DARK)
    assert tree.tree.item("g0.1", "image") != before


# --- toggle grid


@pytest.fixture
def grid(root: tk.Tk, theme: Theme) -> ToggleGrid:
    heard: list[frozenset[int]] = []
    grid = ToggleGrid(root, theme, choices=[(y, str(y)) for y in range(1940, 2027)], on_change=heard.append)
    grid.heard = heard  # type: ignore[attr-defined]
    grid.pack(fill="x")
    root.update()
    return grid


def test_a_toggle_grid_by_mouse(grid: ToggleGrid) -> None:
    click(grid.canvas, *grid.centre_of(1941))
    assert grid.get() == {1941}
    click(grid.canvas, *grid.centre_of(1944), modifiers="Shift-")
    assert grid.get() == {1941, 1942, 1943, 1944}
    click(grid.canvas, *grid.centre_of(1942))
    assert grid.get() == {1941, 1943, 1944}
    assert grid.heard[-1] == grid.get()  # type: ignore[attr-defined]


def test_dragging_selects_a_range(grid: ToggleGrid) -> None:
    (x, y), (to_x, _) = grid.centre_of(1950), grid.centre_of(1952)
    grid.canvas.event_generate("<ButtonPress-1>", x=x, y=y)
    for place in range(x, to_x + 1, 20):
        grid.canvas.event_generate("<B1-Motion>", x=place, y=y, state=0x100)
    grid.canvas.event_generate("<B1-Motion>", x=to_x, y=y, state=0x100)
    grid.canvas.update()
    assert grid.get() == {1950, 1951, 1952}


def test_a_toggle_grid_by_keyboard(grid: ToggleGrid) -> None:
    keys(grid.canvas, "space", "Right", "Right", "space")
    assert grid.get() == {1940, 1942}
    keys(grid.canvas, "End", "space", "Home", "space")
    assert grid.get() == {1942, 2026}
    keys(grid.canvas, "Control-a")
    assert len(grid.get()) == 87


def test_buttons_for_all_and_none(grid: ToggleGrid) -> None:
    grid._all.invoke()
    assert len(grid.get()) == 87
    grid._none.invoke()
    assert grid.get() == frozenset()
    grid.set([1, 2])
    assert len(grid.heard) == 2  # type: ignore[attr-defined]


def test_a_toggle_grid_is_drawn_quickly(root: tk.Tk, theme: Theme) -> None:
    begun = time.process_time()
    for count in (87, 12, 31):
        ToggleGrid(root, theme, choices=[(n, str(n)) for n in range(count)], on_change=print).pack(fill="x")
    root.update()
    assert time.process_time() - begun < 0.3  # 30 ms on a quiet machine


# --- the chart


@pytest.mark.parametrize(("highest", "step"), [(1, 0.5), (0.9, 0.5), (7, 2), (80, 20), (100, 50), (5.8e7, 2e7), (0, 1)])
def test_tick_steps_are_round_numbers(highest: float, step: float) -> None:
    assert nice_step(highest) == pytest.approx(step)


def test_ticks_reach_the_highest_value() -> None:
    assert ticks(80) == [0, 20, 40, 60, 80]
    assert ticks(81)[-1] >= 81
    assert ticks(0) == [0, 1]


def test_thinning_keeps_peaks_and_gaps_split_lines() -> None:
    samples = [(float(n), 1.0) for n in range(10_000)]
    samples[5_019] = (5019.0, 99.0)
    kept = thin(samples, 600)
    assert len(kept) <= 600
    assert (5019.0, 99.0) in kept and kept == sorted(kept)
    assert runs([(0, 1.0), (1, None), (2, None), (3, 2.0), (4, 3.0)]) == [[(0, 1.0)], [(3, 2.0), (4, 3.0)]]


def test_a_chart_draws_shows_values_and_follows_the_palette(root: tk.Tk, theme: Theme) -> None:
    chart = LineChart(root, theme, format_value=lambda value: f"{value:.0f}", span=100, title="Speed", empty="None",
                      format_ago=lambda ago: f"{ago:.0f} s")  # fmt: skip
    chart.pack(fill="both", expand=True)
    root.update()
    texts = [chart.itemcget(item, "text") for item in chart.find_all() if chart.type(item) == "text"]
    assert "None" in texts
    chart.show(
        [Series("a", [(0, 1.0), (50, 8.0), (100, 3.0)]), Series("b", [(10, None), (50, 4.0)])],
        100,
    )
    texts = [chart.itemcget(item, "text") for item in chart.find_all() if chart.type(item) == "text"]
    assert {"Speed", "a", "b", "100 s", "0 s", "10"} <= set(texts) and "None" not in texts
    left, _, right, _ = chart._plot
    assert chart.reading((left + right) // 2) == [("a", "8"), ("b", "4")]
    assert chart.reading(left + 200) == []
    chart.event_generate("<Motion>", x=(left + right) // 2, y=50)
    root.update()
    assert chart.find_withtag("reading")
    theme.use(DARK)
    assert str(chart["background"]) == DARK.card
    begun = time.process_time()
    chart.show([Series("a", [(n / 36, n % 37) for n in range(3600)])], 100)
    assert time.process_time() - begun < 0.1


# --- the small ones


def test_the_search_entry(root: tk.Tk, theme: Theme) -> None:
    heard: list[str] = []
    search = SearchEntry(root, theme, placeholder="Search files", on_change=heard.append)
    search.pack()
    root.update()
    assert search._placeholder.winfo_manager() == "place"
    search.entry.insert(0, " 2t ")
    assert heard == ["2t"] and not search._placeholder.winfo_manager()
    keys(search.entry, "Escape")
    assert heard == ["2t", ""] and search.get() == ""
    search.set("x")
    search._clear.event_generate("<Button-1>")
    assert search.get() == ""


def test_the_number_field(root: tk.Tk, theme: Theme) -> None:
    heard: list[int] = []
    stepper = NumberField(root, theme, value=8, least=1, most=10, on_change=heard.append)
    stepper.pack()
    root.update()
    keys(stepper.entry, "Up", "Up", "Up", "Down")
    assert heard == [9, 10, 9]
    stepper.variable.set("99")
    assert stepper.get() == 9 and not stepper.valid and stepper.instate(["invalid"])
    keys(stepper.entry, "Return")
    assert stepper.variable.get() == "9" and stepper.valid
    stepper.variable.set("4")
    assert heard[-1] == 4
    stepper.set(1)
    assert heard[-1] == 4  # `set` calls no callback


def test_the_auto_number_field(root: tk.Tk, theme: Theme) -> None:
    heard: list[int | None] = []
    field = AutoNumberField(root, value=None, least=1, most=64, usual=(8, 32), on_change=heard.append)
    other = ttk.Entry(root)
    field.pack()
    other.pack()
    root.update()
    assert field["values"] == ("Auto", "8", "32")
    assert field.get() == "Auto"
    field.show_found(23)
    assert field.get() == "Auto (23)"
    field.focus_force()
    field.delete(0, "end")
    field.insert(0, "1")
    field.show_found(24)
    assert field.get() == "1", "a new number does not disturb typing"
    field.insert("end", "2")
    assert heard == [], "the number is not used before it is confirmed"
    keys(field, "Return")
    assert heard == [12] and field.get_value() == 12 and field.get() == "12"
    field.show_found(None)
    assert field.get() == "12"
    field.delete(0, "end")
    field.insert(0, "65")
    assert field.instate(["invalid"])
    other.focus_force()
    root.update()
    assert field.get() == "12" and not field.instate(["invalid"]) and heard == [12]
    field.focus_force()
    field.current(0)
    field.event_generate("<<ComboboxSelected>>")
    assert heard == [12, None] and field.get() == "Auto"
    field.set_texts("自动")
    field.show_found(5)
    assert field.get() == "自动 (5)" and field["values"][0] == "自动"
    field.set_value(900)
    assert field.get() == "64" and heard == [12, None]


def test_the_auto_number_field_is_used_with_the_keyboard(root: tk.Tk, theme: Theme) -> None:
    heard: list[int | None] = []
    field = AutoNumberField(root, value=8, least=1, most=64, usual=(8, 32), on_change=heard.append)
    field.pack()
    root.update()
    field.focus_force()
    root.update()
    field.event_generate("<Down>")  # opens the list at the present value
    root.update()
    list_ = root.tk.call("ttk::combobox::PopdownWindow", str(field)) + ".f.l"
    root.tk.call("focus", "-force", list_)
    root.update()
    root.tk.call("event", "generate", list_, "<Up>")
    root.tk.call("event", "generate", list_, "<Return>")
    root.update()
    assert heard == [None] and field.get() == "Auto"


def test_the_segmented_control(root: tk.Tk, theme: Theme) -> None:
    heard: list[str] = []
    control = SegmentedControl(
        root, theme, choices={"range": "Date range", "grid": "Grid"}, value="range", on_change=heard.append
    )
    control.pack()
    root.update()
    first = control._buttons["range"]
    keys(first, "Right")
    assert control.get() == "grid" and heard == ["grid"]
    keys(control._buttons["grid"], "Right", "Left")
    assert heard == ["grid", "range"]
    control._buttons["range"].invoke()
    assert heard == ["grid", "range"]
    control.set("grid")
    assert heard == ["grid", "range"]
    control.set_texts({"range": "日期", "grid": "网格"})
    assert first["text"] == "日期"


def test_the_toggle_switch(root: tk.Tk, theme: Theme) -> None:
    heard: list[bool] = []
    switch = ToggleSwitch(root, theme, text="Dark", value=False, on_change=heard.append)
    switch.pack()
    root.update()
    keys(switch, "space", "Return")
    assert heard == [True, False]
    switch.set(True)
    assert switch.get() and heard == [True, False]
    assert switch.instate(["!alternate"])


def test_the_banner_takes_no_room_without_a_message(root: tk.Tk, theme: Theme) -> None:
    closed: list[int] = []
    pressed: list[int] = []
    banner = Banner(root, theme, on_close=lambda: closed.append(1))
    banner.pack(fill="x")
    root.update()
    assert banner.winfo_height() <= 1
    banner.show(BannerKind.DANGER, "The disk is full.", BannerAction("Open folder", lambda: pressed.append(1)))
    root.update()
    high = banner.winfo_height()
    assert high > 20 and banner.text == "The disk is full."
    banner._button.invoke()
    banner.hide()
    assert banner.text == ""
    root.update()
    assert banner.winfo_height() == high  # it stays for a moment, so that the page does not jump
    banner.show(BannerKind.INFO, "It goes on.")
    root.update()
    assert banner.text == "It goes on." and not banner._button.winfo_manager()
    theme.use(DARK)
    banner._close_button.invoke()
    root.update()
    assert banner.winfo_height() <= 1 and closed == [1] == pressed


def test_a_long_message_wraps(root: tk.Tk, theme: Theme) -> None:
    root.geometry("400x300")
    banner = Banner(root, theme)
    banner.pack(fill="x")
    banner.show(BannerKind.INFO, "word " * 60)
    root.update()
    root.update()
    assert banner.winfo_width() <= 400
    assert banner._text.winfo_height() > 60


def test_the_tooltip(root: tk.Tk, theme: Theme) -> None:
    frame = tk.Frame(root, width=50, height=50)
    frame.pack()
    root.update()
    tip = Tooltip(frame, theme, lambda: "Hello", delay=1)
    frame.event_generate("<Enter>")
    end = time.monotonic() + 5
    while not tip.shown and time.monotonic() < end:
        root.update()
    assert tip.shown
    frame.event_generate("<Leave>")
    root.update()
    assert not tip.shown
    tip.set_texts("")
    tip.show()
    assert not tip.shown
    frame.event_generate("<Enter>")
    frame.destroy()  # with one waiting
    later: list[int] = []
    root.after(30, lambda: later.append(1))
    while not later:
        root.update()
