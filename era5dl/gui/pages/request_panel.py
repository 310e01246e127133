"""The left of the Download page: what to fetch, of which days, where to, what that will be, and the button to start."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from tkinter import ttk

from era5dl.catalog import Variable, presets, products, variables
from era5dl.gui.models.plan_state import PlanState
from era5dl.gui.models.request_form import Fields, FormResult, Period, chosen_variables, coverage
from era5dl.gui.pages.plan_summary import PlanSummary
from era5dl.gui.text import catalog_text
from era5dl.gui.text.i18n import _, language, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets import date_text
from era5dl.gui.widgets.basic_widgets import Card, UpdatingLabel
from era5dl.gui.widgets.check_tree import CheckTree, Group, Leaf
from era5dl.gui.widgets.date_field import DateField
from era5dl.gui.widgets.search_entry import SearchEntry
from era5dl.gui.widgets.segmented_control import SegmentedControl
from era5dl.gui.widgets.tooltip import Tooltip
from era5dl.selection import FIRST_DAY

POPULAR = (
    *("an.sfc/2t", "an.sfc/2d", "an.sfc/10u", "an.sfc/10v", "an.sfc/msl", "an.sfc/sp", "an.sfc/sstk", "an.sfc/tcc"),
    *("an.pl/t", "an.pl/u", "an.pl/v", "an.pl/z", "an.pl/q"),
    *("fc.sfc.accumu/lsp", "fc.sfc.accumu/cp", "fc.sfc.accumu/ssrd", "invariant/z", "invariant/lsm"),
)
_LOW = 570  # our units of height below which something is left out
_WIDTH = 308  # of what is in the card at least, in our units


@dataclass(frozen=True, slots=True)
class RequestCallbacks:
    """changed: what the fields say now."""

    changed: Callable[[Fields], object]
    start: Callable[[], object]
    choose_folder: Callable[[], object]
    show_missing: Callable[[], object]
    show_grid: Callable[[], object]


class RequestPanel(Card):
    """`show_fields` fills it in; `show` says what comes of what is chosen."""

    def __init__(self, master: tk.Misc, theme: Theme, callbacks: RequestCallbacks) -> None:
        super().__init__(master, theme)
        self._theme, self._do = theme, callbacks
        self._fields = Fields()
        self._products = ("", *(product.name for product in products()))
        self._product = ""
        self._filling = False
        self._checked_shown: object = None  # what the fields are marked for
        px = theme.px
        self.columnconfigure(0, weight=1, minsize=px(_WIDTH))
        self._make_product()
        self._make_variables()
        self._make_period()
        self._make_folder()
        self._plan_summary = PlanSummary(self, theme, on_start=callbacks.start, on_missing=callbacks.show_missing)
        self._plan_summary.grid(row=10, column=0, sticky="ew")
        self.start = self._plan_summary.start
        self.rowconfigure(4, weight=1)
        self._product_about.bind("<Configure>", lambda event: self._wrap(event.width), add="+")
        self.bind("<Configure>", lambda event: self._save_height(event.height), add="+")
        self.retranslate()

    def _wrap(self, width: int) -> None:
        """Break lines where the panel, whose edge can be moved, ends."""
        for label in (self._product_about, self._wrong):
            label.configure(wraplength=width)
        self._plan_summary.wrap(width)
        self._grid_text.configure(wraplength=max(1, width - self._grid_button.winfo_reqwidth() - self._theme.px(8)))

    def _save_height(self, height: int) -> None:
        """On a low screen the tree needs the room of the lines about product and variable."""
        low = height < self._theme.px(_LOW)
        for label in (self._product_about, self._about):
            (label.grid_remove if low else label.grid)()
        self._product_choice.grid(pady=(self._theme.px(5), self._theme.px(10) if low else 0))

    # --- making

    def _make_product(self) -> None:
        px = self._theme.px
        self._product_title = ttk.Label(self, style="Head.TLabel")
        self._product_title.grid(row=0, column=0, sticky="w")
        self._product_choice = ttk.Combobox(self, state="readonly", height=9)
        self._product_choice.bind("<<ComboboxSelected>>", lambda _event: self._product_chosen(), add="+")
        self._product_choice.grid(row=1, column=0, sticky="ew", pady=(px(5), 0))
        self._product_about = ttk.Label(self, style="Small.TLabel", justify="left")
        self._product_about.grid(row=2, column=0, sticky="ew", pady=(px(4), px(10)))

    def _make_variables(self) -> None:
        px, theme = self._theme.px, self._theme
        head = ttk.Frame(self)
        head.grid(row=3, column=0, sticky="ew")
        self._variables_title = ttk.Label(head, style="Head.TLabel")
        self._variables_title.pack(side="left")
        self._count = ttk.Label(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._presets = ttk.Menubutton(head)
        self._presets.pack(side="right")
        self._presets.configure(menu=self._make_presets())
        self._clear = ttk.Button(head, style="Icon.TButton", command=self._clear_all)
        theme.set_icon(self._clear, "trash", "muted", 15)
        self._clear.pack(side="right", padx=(0, px(4)))
        Tooltip(self._clear, theme, lambda: _("Uncheck all variables"))
        body = ttk.Frame(self)
        body.grid(row=4, column=0, sticky="nsew", pady=(px(6), px(4)))
        body.columnconfigure(0, weight=1)
        body.rowconfigure(1, weight=1)
        self.search = SearchEntry(body, theme, placeholder="", on_change=self._searched)
        self.search.grid(row=0, column=0, sticky="ew", pady=(0, px(6)))
        self.tree = CheckTree(body, theme, on_change=self._checked, on_focus=self._focused, height=5, detail_width=62)
        self.tree.grid(row=1, column=0, sticky="nsew")
        self._about = ttk.Label(body, style="Small.TLabel")
        self._about.grid(row=2, column=0, sticky="w", pady=(px(3), 0))

    def _make_presets(self) -> tk.Menu:
        menu = self._theme.menu(self)
        for preset in presets():
            menu.add_command(label=preset.name, command=lambda preset=preset: self._take(preset.variables))  # type: ignore[misc]
        self._preset_menu = menu
        return menu

    def _make_period(self) -> None:
        px, theme = self._theme.px, self._theme
        head = ttk.Frame(self)
        head.grid(row=5, column=0, sticky="ew", pady=(px(6), px(6)))
        self._period_title = ttk.Label(head, style="Head.TLabel")
        self._period_title.pack(side="left")
        self._period = SegmentedControl(
            head, theme, choices={"range": "", "grid": ""}, value="range", on_change=self._period_chosen
        )
        self._period.pack(side="right")
        box = ttk.Frame(self)
        box.grid(row=6, column=0, sticky="ew")
        self._range, self._grid = ttk.Frame(box), ttk.Frame(box)
        last = coverage(())[1]
        self._from, self._to = ttk.Label(self._range), ttk.Label(self._range)
        self.first, self.last = (
            DateField(self._range, theme, value=None, first=FIRST_DAY, last=last, on_change=self._typed) for _i in "12"
        )
        self._from.pack(side="left", padx=(0, px(6)))
        self.first.pack(side="left", fill="x", expand=True)
        self._to.pack(side="left", padx=px(8))
        self.last.pack(side="left", fill="x", expand=True)
        self._grid_text = ttk.Label(self._grid, style="Muted.TLabel", justify="left")
        self._grid_text.pack(side="left")
        self._grid_button = ttk.Button(self._grid, command=self._do.show_grid)
        self._grid_button.pack(side="right")
        self._range.pack(fill="x")
        self._wrong = UpdatingLabel(self, style="Danger.TLabel")
        self._wrong.grid(row=7, column=0, sticky="w", pady=(px(3), 0))
        self._wrong.grid_remove()

    def _make_folder(self) -> None:
        px = self._theme.px
        self._folder_title = ttk.Label(self, style="Head.TLabel")
        self._folder_title.grid(row=8, column=0, sticky="w", pady=(px(10), px(5)))
        line = ttk.Frame(self)
        line.grid(row=9, column=0, sticky="ew")
        self._folder_text = tk.StringVar(self)
        self.folder = ttk.Entry(line, textvariable=self._folder_text)
        self.folder.pack(side="left", fill="x", expand=True)
        self._browse = ttk.Button(line, command=self._do.choose_folder)
        self._browse.pack(side="left", padx=(px(6), 0))
        self._folder_text.trace_add("write", lambda *_args: self._typed())

    # --- values in

    @property
    def fields(self) -> Fields:
        """What the fields say."""
        return self._fields

    def show_fields(self, fields: Fields) -> None:
        """Fill in all fields, without telling anybody."""
        self._filling = True
        self._fields = fields
        self.first.variable.set(fields.first)
        self.last.variable.set(fields.last)
        self._folder_text.set(fields.folder)
        self._period.set(fields.period.value)
        self._arrange_period()
        self._fill_tree()
        self._filling = False
        self._arrange()

    def set_folder(self, folder: str) -> None:
        """As if it were typed."""
        self._folder_text.set(folder)

    def show_grid_choice(self, years: frozenset[int], months: frozenset[int], days: frozenset[int]) -> None:
        """What was taken in the grid."""
        self._change(years=years, months=months, days=days)

    def show(self, plan_state: PlanState) -> None:
        """What is known about the download that the fields describe."""
        checked = plan_state.form
        if (checked, self._fields) != self._checked_shown:
            self._checked_shown = (checked, self._fields)
            self._show_wrong(checked)
        self._plan_summary.show(plan_state)

    def retranslate(self) -> None:
        """All texts in the language of now."""
        self._product_title.configure(text=_("Product"))
        names = [
            _("All products"),
            *(f"{catalog_text.product(product).name}  ({product.name})" for product in products()),
        ]
        self._product_choice.configure(values=names)
        self._product_choice.set(names[self._products.index(self._product)])
        self._variables_title.configure(text=_("Variables"))
        self._presets.configure(text=_("Presets"))
        for place, preset in enumerate(presets()):
            label = f"{preset.name}: {catalog_text.preset(preset).name} ({len(preset.variables)})"
            self._preset_menu.entryconfigure(place, label=label)
        self.search.set_texts(placeholder=_("Search variables"))
        self._period_title.configure(text=_("Period"))
        self._period.set_texts({"range": _("Date range"), "grid": _("Date grid")})
        self._from.configure(text=_("From"))
        self._to.configure(text=_("to"))
        for field in (self.first, self.last):
            field.set_texts(date_text.words_for(language()))
        self._grid_button.configure(text=_("Choose…"))
        self._folder_title.configure(text=_("Folder"))
        self._browse.configure(text=_("Choose…"))
        self._plan_summary.retranslate()
        self.tree.set_texts(self._groups(), _("No matching variables."))
        self._arrange()

    # --- what happens

    def _groups(self) -> list[Group]:
        shown = [v for v in variables() if not self._product or v.product.name == self._product]
        by_name = {variable.name: variable for variable in shown}
        popular = [by_name[name] for name in POPULAR if name in by_name]
        groups = [Group("popular", _("Popular"), tuple(map(_leaf, popular)), open=True)] if popular else []
        for product in products():
            own = tuple(_leaf(v) for v in shown if v.product == product)
            if own:
                groups.append(Group(product.name, catalog_text.product(product).name, own, open=bool(self._product)))
        return groups

    def _fill_tree(self) -> None:
        self.tree.set_items(self._groups())
        self.tree.set(self._fields.variables)
        if self.search.get():
            self.tree.filter(self.search.get())

    def _product_chosen(self) -> None:
        self._product = self._products[self._product_choice.current()]
        self._product_choice.selection_clear()
        self._fill_tree()
        self._arrange()

    def _searched(self, text: str) -> None:
        self.tree.filter(text)

    def _checked(self, ids: frozenset[Hashable]) -> None:
        """Those of other products stay as they are."""
        shown = {v.name for v in variables() if not self._product or v.product.name == self._product}
        self._change(variables=frozenset(self._fields.variables - shown) | {str(one) for one in ids})

    def _take(self, chosen: Iterable[Variable]) -> None:
        self._change(variables=self._fields.variables | {variable.name for variable in chosen})
        self.tree.set(self._fields.variables)

    def _clear_all(self) -> None:
        self._change(variables=frozenset())
        self.tree.set(())

    def _focused(self, variable: Hashable | None) -> None:
        chosen = chosen_variables([str(variable)]) if variable else ()
        self._about.configure(text=" · ".join(_facts(chosen[0])) if chosen else "")

    def _period_chosen(self, value: str) -> None:
        self._change(period=Period(value))
        self._arrange_period()
        if value == "grid":
            self._do.show_grid()

    def _arrange_period(self) -> None:
        grid = self._fields.period is Period.GRID
        (self._range if grid else self._grid).pack_forget()
        (self._grid if grid else self._range).pack(fill="x")

    def _typed(self) -> None:
        self._change(first=self.first.variable.get(), last=self.last.variable.get(), folder=self._folder_text.get())

    def _change(self, **what: object) -> None:
        if self._filling:
            return
        changed = {name: getattr(self._fields, name) for name in Fields.__slots__} | what
        fields = Fields(**changed)
        if fields != self._fields:
            self._fields = fields
            self._arrange()
            self._do.changed(fields)

    def _arrange(self) -> None:
        fields = self._fields
        number = len(fields.variables)
        self._count.configure(text=ngettext("{n:,} selected", "{n:,} selected", number) if number else "")
        self._clear.state(["!disabled" if number else "disabled"])
        about = _("All products in the bucket, hourly since 1940.")
        if self._product:
            product = next(one for one in products() if one.name == self._product)
            about = f"{catalog_text.product(product).hint} ({catalog_text.cadence(product.cadence)})"
        self._product_about.configure(text=about)
        bounds = coverage(chosen_variables(fields.variables), _today())
        for field in (self.first, self.last):
            field.set_bounds(*bounds)
        self._grid_text.configure(text=grid_summary(fields))

    def _show_wrong(self, form: FormResult) -> None:
        """Beside its field, and nothing about fields that nobody has filled in yet."""
        wrong = next((text for name in ("first", "last", "years", "days") if (text := form.error_for(name))), "")
        if self._wrong.show(wrong):
            (self._wrong.grid if wrong else self._wrong.grid_remove)()
        self.folder.state(["invalid" if form.error_for("folder") and self._folder_text.get() else "!invalid"])
        if self._fields.period is Period.RANGE and form.error_for("last") and not self.last.problem:
            self.last.mark_invalid(True)
        elif not self.last.problem:
            self.last.mark_invalid(False)


def grid_summary(fields: Fields) -> str:
    """What is taken in the grid, in a few words."""
    years = ngettext("{n} year", "{n} years", len(fields.years)) if fields.years else _("no year selected")
    months = ngettext("{n} month", "{n} months", len(fields.months)) if fields.months else _("all months")
    days = ngettext("{n} day", "{n} days", len(fields.days)) if fields.days else _("all days")
    return " · ".join((years, months, days))


def _leaf(variable: Variable) -> Leaf:
    find = " ".join(
        (
            *catalog_text.variable_names(variable),
            variable.cds_name,
            variable.cds_name.replace("_", " "),
            *variable.also,
            variable.code,
            variable.nc_var,
            variable.name,
        )
    )
    return Leaf(variable.name, catalog_text.variable(variable), variable.short, find.lower())


def _facts(variable: Variable) -> tuple[str, ...]:
    return (variable.name, variable.units, catalog_text.cadence(variable.product.cadence))


def _today() -> date:
    return datetime.now(timezone.utc).date()
