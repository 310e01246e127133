"""Shows every widget in every state: python -m tests.gui_gallery --palette dark --scale 2 --lang zh --shot FILE

Without --shot the window stays open. With it, the program takes a picture on a private display and ends.
"""

# ruff: noqa: E501 - rows of texts and of states are easier to compare side by side
from __future__ import annotations

import argparse
import math
import os
import random
import time
import tkinter as tk
from collections.abc import Hashable, Iterable
from datetime import date
from pathlib import Path
from tkinter import ttk
from typing import Any

from era5dl import formatting
from era5dl.gui.pages.period_panel import date_texts
from era5dl.gui.text import i18n
from era5dl.gui.theme import icons
from era5dl.gui.theme.palette import PALETTES
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.banner import Banner, BannerAction, BannerKind
from era5dl.gui.widgets.basic_widgets import Card
from era5dl.gui.widgets.check_tree import CheckTree, Group, Leaf
from era5dl.gui.widgets.date_field import DateField
from era5dl.gui.widgets.line_chart import LineChart, Series
from era5dl.gui.widgets.number_field import NumberField
from era5dl.gui.widgets.search_entry import SearchEntry
from era5dl.gui.widgets.segmented_control import SegmentedControl
from era5dl.gui.widgets.table import VirtualTable
from era5dl.gui.widgets.table_model import Column, Row, Show, StatusStyle
from era5dl.gui.widgets.toggle_grid import ToggleGrid
from era5dl.gui.widgets.toggle_switch import ToggleSwitch
from tests.gui_screen import Screen, look_at

CHINESE = {
    "ERA5 Downloader": "ERA5 下载器", "Download": "下载", "Sessions": "会话", "Diagnostics": "诊断", "Log": "日志",
    "Dark": "深色", "Product": "数据产品", "Variables": "变量", "4 of 224": "已选 4 / 224", "Search variables": "搜索变量",
    "Popular": "常用", "2 metre temperature": "2 米温度", "10 metre U wind component": "10 米 U 风分量",
    "10 metre V wind component": "10 米 V 风分量", "Mean sea level pressure": "平均海平面气压",
    "Sea surface temperature": "海表温度", "Total precipitation": "总降水量", "Soil": "土壤", "Clouds": "云",
    "Total cloud cover": "总云量", "Low cloud cover": "低云量", "Radiation": "辐射", "Period": "时间范围",
    "Date range": "日期范围", "Grid": "网格", "From": "从", "To": "到", "Folder": "文件夹", "Choose…": "选择…",
    "Start download": "开始下载", "Queue": "下载队列", "Search files": "搜索文件", "All files": "全部文件", "File": "文件",
    "Progress": "进度", "Size": "大小", "Speed": "速度", "Status": "状态", "Waiting": "排队中", "Downloading": "下载中",
    "Verified": "已验证", "Failed": "失败", "Paused": "已暂停", "Checked only": "仅检查", "Total": "总进度",
    "Pause": "暂停", "Resume": "继续", "Stop": "停止", "Workers": "并发数", "Years": "年", "Months": "月", "Days": "日",
    "All": "全选", "None": "清空", "{n} files · {size} · {free} free": "{n} 个文件 · {size} · 可用 {free}",
    "The disk is full. The download waits until there is room.": "磁盘已满。有空间后下载会继续。",
    "Open folder": "打开文件夹", "now": "现在", "{n} min ago": "{n} 分钟前", "limit": "限速",
    "The server asks us to slow down; we do.": "服务器要求降低速度，已照办。", "Everything is here and proven.": "全部文件已下载并验证。",
    "The network test has results.": "网络测试已有结果。", "established": "已建立", "in flight": "传输中",
    "Connections": "连接", "Normal": "普通", "Main": "主要", "Danger": "危险", "Ghost": "无框", "Disabled": "不可用",
    "Wrong": "错误", "Notifications": "通知", "Check updates": "检查", "1:12:45 left": "剩余 1:12:45",
}  # fmt: skip


class Files:
    """Sample rows."""

    def __init__(self, count: int, _: Any) -> None:
        self._count, self._ = count, _
        dice = random.Random(7)
        self._random = [dice.random() for _ in range(97)]

    def row_count(self) -> int:
        return self._count

    def row_id(self, index: int) -> Hashable:
        return index

    def row_ids(self) -> Iterable[Hashable]:
        return range(self._count)

    def index_of(self, row_id: Hashable) -> int | None:
        return int(row_id) if isinstance(row_id, int) and row_id < self._count else None

    def row(self, index: int) -> Row:
        _, dice = self._, self._random[index % 97]
        status, word = StatusStyle.WAITING, _("Waiting")
        share = 0.0
        if index < 9:
            status, word, share = StatusStyle.ACTIVE, _("Downloading"), dice
        elif index == 9:
            status, word, share = StatusStyle.FAILED, _("Failed"), 0.62
        elif index == 10:
            status, word, share = StatusStyle.PAUSED, _("Paused"), 0.31
        elif index == 11:
            status, word, share = StatusStyle.WARNING, _("Checked only"), 1.0
        elif index < 15:
            status, word, share = StatusStyle.DONE, _("Verified"), 1.0
        name = f"e5.oper.an.sfc.128_{165 + index % 5}_2t.ll025sc.{1940 + index % 84}0100_{1940 + index % 84}3023.nc"
        speed = formatting.format_speed(dice * 9e6) if status is StatusStyle.ACTIVE else ""
        return Row((name, f"{share:.0%}", formatting.format_size(1.2e9 + dice * 7e8), speed, word), share, status)


def build(root: tk.Tk, theme: Theme, page: str, _: Any, language: str) -> None:
    px = theme.px
    root.title(_("ERA5 Downloader"))
    root.geometry(f"{px(1280)}x{px(800)}+0+0")
    top = ttk.Frame(root, style="Page.TFrame")
    top.pack(fill="x", padx=px(18), pady=(px(12), px(4)))
    ttk.Label(top, text=_("ERA5 Downloader"), style="Page.Title.TLabel").pack(side="left")
    for icon in ("help", "gear"):
        button = ttk.Button(top, style="Page.Icon.TButton")
        theme.set_icon(button, icon, "muted", 18)
        button.pack(side="right", padx=px(2))
    dark = theme.palette.dark
    ToggleSwitch(
        top,
        theme,
        text=_("Dark"),
        value=dark,
        on_page=True,
        on_change=lambda on: theme.use(PALETTES["dark" if on else "light"]),
    ).pack(side="right", padx=px(12))
    combo = ttk.Combobox(top, values=["English", "简体中文"], state="readonly", width=10, style="Page.TCombobox")
    combo.current(language == "zh")
    combo.pack(side="right")
    tabs = ttk.Notebook(root)
    tabs.pack(fill="both", expand=True, padx=px(10), pady=(0, px(10)))
    frames = []
    for title in ("Download", "Sessions", "Diagnostics", "Log"):
        frame = ttk.Frame(tabs, style="Page.TFrame", padding=(px(6), px(12), px(6), 0))
        tabs.add(frame, text=_(title))
        frames.append(frame)
    if page == "window":
        download(frames[0], theme, _, language)
    else:
        states(frames[0], theme, _, language)


def download(page: ttk.Frame, theme: Theme, _: Any, language: str) -> None:
    px = theme.px
    banner = Banner(page, theme, on_close=lambda: None)
    banner.grid(row=0, column=0, columnspan=2, sticky="ew")
    banner.show(BannerKind.WARNING, _("The server asks us to slow down; we do."))
    left, right = Card(page, theme), Card(page, theme)
    left.grid(row=1, column=0, rowspan=1, sticky="nsew", padx=(0, px(10)))
    right.grid(row=1, column=1, sticky="nsew")
    page.columnconfigure(1, weight=1)
    page.rowconfigure(1, weight=1)
    ttk.Label(left, text=_("Product"), style="Head.TLabel").pack(anchor="w")
    product = ttk.Combobox(left, values=["Surface analysis", "Pressure levels"], state="readonly")
    product.current(0)
    product.pack(fill="x", pady=(px(5), px(12)))
    line = ttk.Frame(left)
    line.pack(fill="x")
    ttk.Label(line, text=_("Variables"), style="Head.TLabel").pack(side="left")
    ttk.Label(line, text=_("4 of 224"), style="Muted.TLabel").pack(side="right")
    tree = CheckTree(left, theme, on_change=print, height=3)
    SearchEntry(left, theme, placeholder=_("Search variables"), on_change=tree.filter).pack(fill="x", pady=px(5))
    tree.pack(fill="both", expand=True)
    tree.set_items(groups(_))
    tree.set({"2t", "10u", "tp", "tcc"})
    line = ttk.Frame(left)
    line.pack(fill="x", pady=(px(10), 0))
    ttk.Label(line, text=_("Period"), style="Head.TLabel").pack(side="left")
    SegmentedControl(
        line, theme, choices={"range": _("Date range"), "grid": _("Grid")}, value="range", on_change=print
    ).pack(side="right")
    line = ttk.Frame(left)
    line.pack(fill="x", pady=(px(8), px(2)))
    i18n.switch("zh_CN" if language == "zh" else "en")
    bounds: Any = {"first": date(1940, 1, 1), "last": date(2025, 12, 31), "texts": date_texts()}
    for name, day in (("From", date(2023, 1, 1)), ("To", date(2023, 12, 31))):
        ttk.Label(line, text=_(name), style="Muted.TLabel").pack(side="left")
        field = DateField(line, theme, value=day, **bounds)
        field.pack(side="left", padx=(px(6), px(10) if name == "From" else 0), expand=True, fill="x")
    ttk.Label(left, text=_("Folder"), style="Head.TLabel").pack(anchor="w", pady=(px(10), 0))
    line = ttk.Frame(left)
    line.pack(fill="x", pady=(px(5), px(8)))
    folder = ttk.Entry(line)
    folder.insert(0, "/data/era5")
    folder.pack(side="left", fill="x", expand=True)
    choose = ttk.Button(line, text=_("Choose…"))
    theme.set_icon(choose, "folder", "text", 15)
    choose.pack(side="left", padx=(px(6), 0))
    facts = _("{n} files · {size} · {free} free").format(n="8,784", size="412 GB", free="1.30 TB")
    ttk.Label(left, text=facts, style="Muted.TLabel").pack(anchor="w", pady=(0, px(8)))
    start = ttk.Button(left, text=_("Start download"), style="Accent.TButton")
    theme.set_icon(start, "download", "on_accent")
    start.pack(fill="x")
    line = ttk.Frame(right)
    line.pack(fill="x", pady=(0, px(6)))
    ttk.Label(line, text=_("Queue"), style="Head.TLabel").pack(side="left")
    ttk.Label(line, text="100,000", style="Muted.TLabel").pack(side="left", padx=px(8))
    combo = ttk.Combobox(line, values=[_("All files")], state="readonly", width=12)
    combo.current(0)
    combo.pack(side="right")
    SearchEntry(line, theme, placeholder=_("Search files"), on_change=print, width=22).pack(side="right", padx=px(8))
    columns = (
        Column("file", _("File"), 300, stretch=True, middle=True, least=120),
        Column("progress", _("Progress"), 150, show=Show.PROGRESS, least=110),
        Column("size", _("Size"), 86, right=True),
        Column("speed", _("Speed"), 96, right=True),
        Column("state", _("Status"), 136, show=Show.STATUS),
    )
    table = VirtualTable(right, theme, columns=columns, model=Files(100_000, _))
    table.pack(fill="both", expand=True)
    table.show_sort("progress", descending=True)
    table.select({2, 3, 9})
    total = Card(page, theme)
    total.grid(row=2, column=0, columnspan=2, sticky="ew", pady=(px(10), 0))
    total.columnconfigure(0, weight=3)
    total.columnconfigure(1, weight=2)
    box = ttk.Frame(total)
    box.grid(row=0, column=0, sticky="ew", padx=(0, px(20)))
    line = ttk.Frame(box)
    line.pack(fill="x")
    ttk.Label(line, text="61.4 %", style="Figure.TLabel").pack(side="left")
    ttk.Label(line, text="252.9 / 412.0 GB · 5,391 / 8,784", style="Muted.TLabel").pack(side="left", padx=px(12))
    ttk.Label(line, text=_("1:12:45 left"), style="Head.TLabel").pack(side="right")
    bar = ttk.Progressbar(box, maximum=100, value=61.4)
    bar.pack(fill="x", pady=px(9))
    line = ttk.Frame(box)
    line.pack(fill="x")
    for icon, name, style in (
        ("pause", "Pause", "TButton"),
        ("play", "Resume", "TButton"),
        ("stop", "Stop", "Danger.TButton"),
    ):
        colour = "danger" if name == "Stop" else "text"
        button = ttk.Button(line, text=_(name), style=style)
        theme.set_icon(button, icon, colour, 14)
        button.pack(side="left", padx=(0, px(6)))
        if name == "Resume":
            button.state(["disabled"])
    NumberField(line, theme, value=8, least=1, most=64, on_change=print).pack(side="right")
    ttk.Label(line, text=_("Workers"), style="Muted.TLabel").pack(side="right", padx=px(8))
    chart(total, theme, _).grid(row=0, column=1, sticky="nsew")
    page.after(50, start.focus_force)


def groups(_: Any) -> list[Group]:
    def leaf(name: str, text_: str) -> Leaf:
        return Leaf(name, _(text_), name)

    return [
        Group("popular", _("Popular"), (
            leaf("2t", "2 metre temperature"), leaf("10u", "10 metre U wind component"),
            leaf("10v", "10 metre V wind component"), leaf("msl", "Mean sea level pressure"),
            leaf("sst", "Sea surface temperature"), leaf("tp", "Total precipitation")), open=True),
        Group("clouds", _("Clouds"), (leaf("tcc", "Total cloud cover"), leaf("lcc", "Low cloud cover"))),
        Group("radiation", _("Radiation"), (leaf("ssr", "Radiation"),)),
        Group("soil", _("Soil"), (leaf("stl1", "Soil"),)),
    ]  # fmt: skip


def chart(master: tk.Misc, theme: Theme, _: Any) -> LineChart:
    one = LineChart(master, theme, format_value=lambda value: formatting.format_speed(value), span=3600, title=_("Speed"),
                    format_ago=lambda ago: _("now") if ago < 1 else _("{n} min ago").format(n=round(ago / 60)))  # fmt: skip
    dice, value, samples = random.Random(3), 4e7, []
    for second in range(0, 3600, 6):
        value = max(0.0, value + dice.gauss(0, 3e6) + (5.5e7 - value) * 0.04)
        samples.append((float(second), value if not 1500 < second < 1620 else None))
    one.show([Series("", samples)], now=3600)
    return one


def states(page: ttk.Frame, theme: Theme, _: Any, language: str) -> None:
    px = theme.px
    for kind, words, action in (
        (BannerKind.INFO, "The network test has results.", None),
        (BannerKind.OK, "Everything is here and proven.", BannerAction(_("Open folder"), print)),
        (
            BannerKind.DANGER,
            "The disk is full. The download waits until there is room.",
            BannerAction(_("Open folder"), print),
        ),
    ):
        banner = Banner(page, theme, on_close=lambda: None)
        banner.pack(fill="x")
        banner.show(kind, _(words), action)
    card = Card(page, theme)
    card.pack(fill="both", expand=True)
    line = ttk.Frame(card)
    line.pack(fill="x")
    for name, style in (
        ("Normal", "TButton"),
        ("Main", "Accent.TButton"),
        ("Danger", "Danger.TButton"),
        ("Ghost", "Ghost.TButton"),
    ):
        for flags in ([], ["active"], ["focus"], ["disabled"]):
            button = ttk.Button(line, text=_(name), style=style)
            button.state(flags)
            button.pack(side="left", padx=px(2))
    line = ttk.Frame(card)
    line.pack(fill="x", pady=px(8))
    for flags in (
        [],
        ["focus"],
        ["selected"],
        ["selected", "focus"],
        ["alternate"],
        ["disabled"],
        ["selected", "disabled"],
    ):
        for style in ("TCheckbutton", "Switch.TCheckbutton"):
            box = ttk.Checkbutton(line, text="Ab", style=style)
            box.state(["!alternate", *flags])
            box.pack(side="left", padx=(0, px(4)))
    line = ttk.Frame(card)
    line.pack(fill="x", pady=px(4))
    for flags in ([], ["focus"], ["invalid"], ["disabled"]):
        entry = ttk.Entry(line, width=9)
        entry.insert(0, "2023-02-30")
        entry.state(flags)
        entry.pack(side="left", padx=(0, px(6)))
    bounds: Any = {"first": date(1940, 1, 1), "last": date(2025, 12, 31), "texts": date_texts()}
    field = DateField(line, theme, value=date(2023, 1, 15), **bounds)
    field.pack(side="left")
    wrong = DateField(line, theme, **bounds)
    wrong.variable.set("2023-02-30")
    wrong.pack(side="left", padx=px(6))
    ttk.Label(
        line, text=wrong.error, image=theme.icon("warning", "danger", 14), compound="left", style="Danger.TLabel"
    ).pack(side="left")
    stepper = NumberField(line, theme, value=8, least=1, most=64, on_change=print)
    stepper.pack(side="left", padx=px(6))
    search = SearchEntry(line, theme, placeholder=_("Search files"), on_change=print, width=14)
    search.set("2t")
    search.pack(side="left")
    line = ttk.Frame(card)
    line.pack(fill="x", pady=px(6))
    for name in icons.NAMES:
        ttk.Label(line, image=theme.icon(name, "text", 16)).pack(side="left", padx=px(4))
    years = [(year, str(year)) for year in range(1940, 2027)]
    months = [(m, f"{m} 月" if language == "zh" else date(2000, m, 1).strftime("%b")) for m in range(1, 13)]
    for title, choices, taken in (
        ("Years", years, range(1991, 1995)),
        ("Months", months, (1, 2, 3)),
        ("Days", [(d, f"{d:02d}") for d in range(1, 32)], (1, 6, 11)),
    ):
        grid = ToggleGrid(card, theme, choices=choices, on_change=print)
        grid.set_texts(title=_(title), all_text=_("All"), none_text=_("None"))
        grid.set(taken)
        grid.pack(fill="x", pady=(px(8), 0))
        if title == "Years":
            page.after(150, grid.canvas.focus_force)
    two = LineChart(card, theme, format_value=lambda value: f"{value:.0f}", title=_("Connections"), height=90,
                    format_ago=lambda ago: _("now") if ago < 1 else _("{n} min ago").format(n=round(ago / 60)))  # fmt: skip
    two.pack(fill="both", expand=True, pady=(px(8), 0))
    waves = [
        [(float(t), 20 + shift + 9 * math.sin(t / 300 + shift)) for t in range(0, 3600, 20)] for shift in (0, 5, 9)
    ]
    two.show([Series(_("established"), waves[0]), Series(_("in flight"), waves[1]), Series("p95", waves[2])], now=3600)
    page.after(200, field.open)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--palette", default="light", choices=PALETTES)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--lang", default="en", choices=("en", "zh"))
    parser.add_argument("--page", default="window", choices=("window", "states"))
    parser.add_argument("--shot", type=Path)
    options = parser.parse_args()
    wide, high = round(1300 * options.scale), round(830 * options.scale)
    screen = Screen(f"{wide}x{high}x24") if options.shot else None
    if screen:
        os.environ["DISPLAY"] = screen.name
    try:
        begun = time.perf_counter()
        root = tk.Tk()
        theme = Theme(root, PALETTES[options.palette], options.scale)
        made = time.perf_counter()
        build(root, theme, options.page, (lambda s: CHINESE.get(s, s)) if options.lang == "zh" else str, options.lang)
        root.update()
        ready = time.perf_counter()
        print(f"theme {1e3 * (made - begun):.0f} ms, window {1e3 * (ready - made):.0f} ms, {len(theme.images)} images")
        if screen:
            root.after(900, root.quit)
        root.mainloop()
        if screen:
            root.update()
            look_at(screen, options.shot, f"{round(1280 * options.scale)}x{round(800 * options.scale)}+0+0")
        root.destroy()
    finally:
        if screen:
            screen.close()


if __name__ == "__main__":
    main()
