"""Selection of variables on the Download page: product filter, presets, search, and a tree with check boxes."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Iterable
from tkinter import ttk

from era5dl.catalog import Variable, derived_variables, presets, products, variables
from era5dl.gui.models.request_form import chosen_variables
from era5dl.gui.text import catalog_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.check_tree import CheckTree, Group, Leaf
from era5dl.gui.widgets.search_entry import SearchEntry
from era5dl.gui.widgets.tooltip import Tooltip

POPULAR = (
    *("an.sfc/2t", "an.sfc/2d", "an.sfc/10u", "an.sfc/10v", "an.sfc/msl", "an.sfc/sp", "an.sfc/sstk", "an.sfc/tcc"),
    *("an.pl/t", "an.pl/u", "an.pl/v", "an.pl/z", "an.pl/q"),
    *("fc.sfc.accumu/lsp", "fc.sfc.accumu/cp", "fc.sfc.accumu/ssrd", "invariant/z", "invariant/lsm"),
)


class VariablePanel(ttk.Frame):
    """Variables are identified by their full names. The product only filters the tree."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_change: Callable[[frozenset[str]], object],
        on_paste: Callable[[], object],
    ) -> None:
        super().__init__(master)
        self._theme, self._on_change, self._on_paste = theme, on_change, on_paste
        self._names: frozenset[str] = frozenset()  # selected variables, including those of products not shown
        self._products = ("", *(product.name for product in products()))  # "" means all products
        self._product = ""
        self.columnconfigure(0, weight=1)
        self.rowconfigure(4, weight=1)
        self._create_product()
        self._create_heading()
        self._create_tree()
        self.set_compact(False)

    # --- widgets

    def _create_product(self) -> None:
        px = self._theme.px
        self._product_line = ttk.Frame(self)
        self._product_line.grid(row=0, column=0, sticky="ew")
        self._product_title = ttk.Label(self._product_line, style="Head.TLabel")
        self._product_choice = ttk.Combobox(self._product_line, state="readonly", height=9)
        self._product_choice.bind("<<ComboboxSelected>>", lambda _event: self._choose_product(), add="+")
        self._product_about = ttk.Label(self, style="Small.TLabel", justify="left")
        self._product_about.grid(row=2, column=0, sticky="ew", pady=(px(4), px(10)))

    def _create_heading(self) -> None:
        px, theme = self._theme.px, self._theme
        head = ttk.Frame(self)
        head.grid(row=3, column=0, sticky="ew")
        self._title = ttk.Label(head, style="Head.TLabel")
        self._title.pack(side="left")
        self._count = ttk.Label(head, style="Muted.TLabel")
        self._count.pack(side="left", padx=px(8))
        self._preset_menu = theme.menu(self)
        for preset in presets():
            self._preset_menu.add_command(
                label=preset.name,
                command=lambda preset=preset: self._add(preset.variables),  # type: ignore[misc]
            )
        self._preset_menu.add_separator()
        self._preset_menu.add_command(command=self._on_paste)
        self._presets = ttk.Menubutton(head, menu=self._preset_menu)
        self._presets.pack(side="right")
        self._clear = ttk.Button(head, style="Icon.TButton", command=self._clear_all)
        theme.set_icon(self._clear, "trash", "muted", 15)
        self._clear.pack(side="right", padx=(0, px(4)))
        Tooltip(self._clear, theme, lambda: _("Uncheck all variables"))

    def _create_tree(self) -> None:
        px, theme = self._theme.px, self._theme
        body = ttk.Frame(self)
        body.grid(row=4, column=0, sticky="nsew", pady=(px(6), px(4)))
        body.columnconfigure(0, weight=1)
        body.rowconfigure(1, weight=1)
        self.search = SearchEntry(body, theme, placeholder="", on_change=lambda text: self.tree.filter(text))
        self.search.grid(row=0, column=0, sticky="ew", pady=(0, px(6)))
        self.tree = CheckTree(body, theme, on_change=self._check, on_focus=self._show_about, height=5, detail_width=62)
        self.tree.grid(row=1, column=0, sticky="nsew")
        self._about = ttk.Label(body, style="Small.TLabel")
        self._about.grid(row=2, column=0, sticky="w", pady=(px(3), 0))

    # --- interface

    def show(self, names: frozenset[str]) -> None:
        """Select these variables. `on_change` is not called."""
        self._names = names
        self._fill_tree()
        self._show_selection()

    def wrap(self, width: int) -> None:
        """Wrap texts at this width, in pixels."""
        self._product_about.configure(wraplength=width)

    def set_compact(self, compact: bool) -> None:
        """Set whether the descriptions of product and variable are hidden, to leave room for the tree."""
        for label in (self._product_about, self._about):
            (label.grid_remove if compact else label.grid)()
        px = self._theme.px
        if compact:
            self._product_title.pack(side="left", pady=(0, px(10)))
            self._product_choice.pack(side="left", fill="x", expand=True, padx=(px(10), 0), pady=(0, px(10)))
        else:
            self._product_title.pack(side="top", anchor="w", pady=0)
            self._product_choice.pack(side="top", fill="x", expand=False, padx=0, pady=(px(5), 0))

    def retranslate(self) -> None:
        """Set all texts in the current language."""
        self._product_title.configure(text=_("Product"))
        names = [
            _("All products"),
            *(f"{catalog_text.product(product).name}  ({product.name})" for product in products()),
        ]
        self._product_choice.configure(values=names)
        self._product_choice.set(names[self._products.index(self._product)])
        self._title.configure(text=_("Variables"))
        self._presets.configure(text=_("Presets"))
        for index, preset in enumerate(presets()):
            label = f"{preset.name}: {catalog_text.preset(preset).name} ({len(preset.variables)})"
            self._preset_menu.entryconfigure(index, label=label)
        self._preset_menu.entryconfigure("end", label=_("Paste a CDS request…"))
        self.search.set_texts(placeholder=_("Search variables"))
        self.tree.set_texts(self._groups(), _("No matching variables."))
        self._show_product()
        self._show_selection()

    # --- product

    def _choose_product(self) -> None:
        self._product = self._products[self._product_choice.current()]
        self._product_choice.selection_clear()
        self._fill_tree()
        self._show_product()

    def _show_product(self) -> None:
        about = _("All products in the bucket, hourly since 1940.")
        if self._product:
            product = next(one for one in products() if one.name == self._product)
            about = f"{catalog_text.product(product).hint} ({catalog_text.cadence(product.cadence)})"
        self._product_about.configure(text=about)

    # --- variables

    def _shown(self) -> list[Variable]:
        return [one for one in variables() if not self._product or one.product.name == self._product]

    def _groups(self) -> list[Group]:
        shown = self._shown()
        by_name = {variable.name: variable for variable in shown}
        popular = [by_name[name] for name in POPULAR if name in by_name]
        groups = [Group("popular", _("Popular"), tuple(map(_leaf, popular)), open=True)] if popular else []
        for product in products():
            leaves = tuple(_leaf(variable) for variable in shown if variable.product == product)
            if leaves:
                name = catalog_text.product(product).name
                groups.append(Group(product.name, name, leaves, open=bool(self._product)))
        return groups

    def _fill_tree(self) -> None:
        self.tree.set_items(self._groups())
        self.tree.set(self._names)
        if self.search.get():
            self.tree.filter(self.search.get())

    def _check(self, ids: frozenset[Hashable]) -> None:
        """Use the checked ids of the tree. Variables of products that it does not show stay selected."""
        shown = {variable.name for variable in self._shown()}
        self._change(self._names - shown | {str(one) for one in ids})

    def _add(self, chosen: Iterable[Variable]) -> None:
        self._change(self._names | {variable.name for variable in chosen})
        self.tree.set(self._names)

    def _clear_all(self) -> None:
        self._change(frozenset())
        self.tree.set(())

    def _change(self, names: frozenset[str]) -> None:
        self._names = names
        self._show_selection()
        self._on_change(names)

    def _show_selection(self) -> None:
        number = len(self._names)
        self._count.configure(text=ngettext("{n:,} selected", "{n:,} selected", number) if number else "")
        self._clear.state(["!disabled" if number else "disabled"])

    def _show_about(self, name: Hashable | None) -> None:
        """Describe the variable that has the keyboard focus."""
        chosen = chosen_variables([str(name)]) if name else ()
        about = (chosen[0].name, chosen[0].units, catalog_text.cadence(chosen[0].product.cadence)) if chosen else ()
        derived = [f"{one.short} = {one.formula}" for one in derived_variables() if set(chosen) & set(one.sources)]
        self._about.configure(text=" · ".join((*about, *derived)))


def _leaf(variable: Variable) -> Leaf:
    searchable = " ".join(
        (
            *catalog_text.variable_names(variable),
            variable.cds_name,
            variable.cds_name.replace("_", " "),
            *variable.also,
            variable.code,
            variable.nc_var,
            variable.name,
            *(name for one in derived_variables() if variable in one.sources for name in (one.short, one.cds_name)),
            *(one.long_name for one in derived_variables() if variable in one.sources),
        )
    )
    return Leaf(variable.name, catalog_text.variable(variable), variable.short, searchable.lower())
