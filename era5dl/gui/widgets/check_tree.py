"""Tree of groups and leaves with check boxes. The box of a group shows whether all, some or no leaves are checked."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from tkinter import font, ttk
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import check_box
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.text_fitter import TextFitter


@dataclass(frozen=True, slots=True)
class Leaf:
    """An item that can be checked. Leaves with the same id in several groups are checked together."""

    id: Hashable
    text: str
    detail: str = ""  # shown at the right: a short name
    searchable: str = ""  # further texts for the search, in lower case


@dataclass(frozen=True, slots=True)
class Group:
    """A group of leaves with a heading."""

    id: Hashable
    text: str
    leaves: tuple[Leaf, ...]
    open: bool = False


class CheckTree(ttk.Frame):
    """Space or a click toggles a leaf, or all visible leaves of a group. Return opens or closes a group.

    on_change: called with the checked ids, including those that a filter hides.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_change: Callable[[frozenset[Hashable]], object],
        on_focus: Callable[[Hashable | None], object] = lambda _: None,
        empty: str = "",
        height: int = 8,
        detail_width: float = 56,
    ) -> None:
        """on_focus: called with the id of the focused leaf, or None. empty: text shown when nothing is found."""
        super().__init__(master)
        self._theme, self._on_change, self._on_focus = theme, on_change, on_focus
        self._groups: tuple[Group, ...] = ()
        self._checked: set[Hashable] = set()
        self._open: set[Hashable] = set()
        self._keep: Callable[[Leaf], bool] | None = None
        self._leaves: dict[str, Leaf] = {}  # by item id of the Treeview
        self._group_items: dict[str, Group] = {}
        self._shown: dict[str, str] = {}  # image of each item
        self.tree = ttk.Treeview(self, show="tree", columns=("detail",), selectmode="browse", height=height)
        self.tree.column("#0", width=theme.px(230), minwidth=theme.px(120), stretch=True)
        self.tree.column("detail", width=theme.px(detail_width), minwidth=0, stretch=False, anchor="e")
        self._bar = ttk.Scrollbar(self, orient="vertical", command=self.tree.yview)
        self.tree.configure(yscrollcommand=self._bar.set)
        self.tree.grid(row=0, column=0, sticky="nsew")
        self._bar.grid(row=0, column=1, sticky="ns")
        self.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self._fitter = TextFitter(font.nametofont(scaling.TEXT, root=self).measure)
        self._room = 0  # for the text of a leaf, in pixels
        self._empty = ttk.Label(self, text=empty, style="Muted.TLabel", justify="center", anchor="center")
        tree = self.tree
        tree.bind("<space>", lambda _: self._toggle(tree.focus()))
        tree.bind("<Return>", lambda _: self._open_or_close(tree.focus()))
        tree.bind("<Button-1>", self._click)
        tree.bind("<Double-Button-1>", lambda _: "break")
        tree.bind("<<TreeviewOpen>>", lambda _: self._remember(self.tree.focus(), True))
        tree.bind("<<TreeviewClose>>", lambda _: self._remember(self.tree.focus(), False))
        tree.bind("<<TreeviewSelect>>", lambda _: self._report_focus())
        tree.bind("<FocusIn>", self._got_focus)
        tree.bind("<Configure>", lambda _: self.after_idle(self._fit))  # ttk sets the column widths after this event
        theme.follow(self, lambda _: self._restyle())

    # --- interface

    def set_items(self, groups: Sequence[Group]) -> None:
        """Show these groups. Checked ids that still exist stay checked."""
        self._groups = tuple(groups)
        there = {leaf.id for group in groups for leaf in group.leaves}
        self._checked &= there
        self._open = {group.id for group in groups if group.open}
        self._fill()

    def set_texts(self, groups: Sequence[Group], empty: str = "") -> None:
        """Set other texts of the same groups. Open, checked and focused items stay so."""
        self._groups = tuple(groups)
        self._empty.configure(text=empty)
        self._fill()

    def get(self) -> frozenset[Hashable]:
        """Return the checked ids."""
        return frozenset(self._checked)

    def set(self, ids: Iterable[Hashable]) -> None:
        """Check these ids only. `on_change` is not called."""
        there = {leaf.id for group in self._groups for leaf in group.leaves}
        self._checked = set(ids) & there
        self._paint()

    def filter(self, keep: str | Callable[[Leaf], bool]) -> int:
        """Show only leaves that contain all words of a text, or for which `keep` is true. Return their number.

        All groups are open while filtered. An empty text shows all leaves again, with the groups open as before.
        """
        if isinstance(keep, str):
            words = keep.lower().split()
            self._keep = (lambda leaf: _contains(leaf, words)) if words else None
        else:
            self._keep = keep
        self._fill()
        return len(self._leaves)

    def _restyle(self) -> None:
        self.tree.tag_configure("group", font=scaling.TEXT)
        self._shown.clear()
        self._paint()

    # --- drawing

    def _fill(self) -> None:
        tree = self.tree
        focused = self._id_at(tree.focus())
        tree.delete(*tree.get_children())
        self._leaves, self._group_items, self._shown = {}, {}, {}
        for number, group in enumerate(self._groups):
            leaves = [leaf for leaf in group.leaves if self._keep is None or self._keep(leaf)]
            if not leaves:
                continue
            shown = self._keep is not None or group.id in self._open
            group_item = tree.insert("", "end", iid=f"g{number}", text=group.text, open=shown, tags=("group",))
            self._group_items[group_item] = group
            for index, leaf in enumerate(leaves):
                item = tree.insert(group_item, "end", iid=f"g{number}.{index}", text=leaf.text, values=(leaf.detail,))
                self._leaves[item] = leaf
        self._room = 0
        self._fit()
        self._paint()
        self._restore_focus(focused)
        if self._leaves or not self._groups:
            self._empty.place_forget()
        else:
            self._empty.place(relx=0.5, rely=0.25, anchor="n", relwidth=0.9)

    def _fit(self) -> None:
        """Shorten names that are too long for the column."""
        if not self.winfo_exists():
            return
        px = self._theme.px
        room = max(px(60), self.tree.column("#0", "width") - px(2 * 18 + 26 + 10))
        if room == self._room or self.tree.winfo_width() <= 1:
            return
        self._room = room
        for item, leaf in self._leaves.items():
            text = self._fitter.fit(leaf.text, room)
            if self.tree.item(item, "text") != text:
                self.tree.item(item, text=text)

    def _restore_focus(self, focused: tuple[str, Hashable] | None) -> None:
        """Focus the same group or leaf as before, else the first row."""
        for items in (self._leaves, self._group_items):
            for item in items:
                if self._id_at(item) == focused:
                    self._focus_item(item)
                    return
        if self._group_items:
            self._focus_item(next(iter(self._group_items)))

    def _focus_item(self, item: str) -> None:
        self.tree.focus(item)
        self.tree.selection_set(item)

    def _id_at(self, item: str) -> tuple[str, Hashable] | None:
        if item in self._leaves:
            return "leaf", self._leaves[item].id
        return ("group", self._group_items[item].id) if item in self._group_items else None

    def _paint(self) -> None:
        p = self._theme.palette
        images = {
            state: check_box(self._theme.images, mark, *colours, p.on_accent, background=None, space_right=6)
            for state, mark, colours in (
                (True, "check", (p.accent, p.accent)),
                (None, "minus", (p.accent, p.accent)),
                (False, "", (p.field, p.control)),
            )
        }
        for item, leaf in self._leaves.items():
            self._show_image(item, images[leaf.id in self._checked])
        for group_item, group in self._group_items.items():
            self._show_image(group_item, images[self._state(group)])

    def _show_image(self, item: str, image: str) -> None:
        if self._shown.get(item) != image:
            self._shown[item] = image
            self.tree.item(item, image=image)

    def _state(self, group: Group) -> bool | None:
        count = sum(leaf.id in self._checked for leaf in group.leaves)
        return True if count == len(group.leaves) else (None if count else False)

    # --- mouse and keys

    def _toggle(self, item: str) -> str:
        if item in self._leaves:
            self._checked ^= {self._leaves[item].id}
        elif item in self._group_items:
            ids = {self._leaves[child].id for child in self.tree.get_children(item)}
            if ids <= self._checked:
                self._checked -= ids
            else:
                self._checked |= ids
        else:
            return "break"
        self._paint()
        self._on_change(self.get())
        return "break"

    def _open_or_close(self, item: str) -> str:
        if item in self._group_items:
            open_ = not self.tree.item(item, "open")
            self.tree.item(item, open=open_)
            self._remember(item, open_)
        elif item in self._leaves:
            self._toggle(item)
        return "break"

    def _click(self, event: tk.Event[Any]) -> str | None:
        self.tree.focus_set()
        item = self.tree.identify_row(event.y)
        if not item:
            return None
        self._focus_item(item)
        part = str(self.tree.identify_element(event.x, event.y))
        if part.endswith("indicator"):
            return self._open_or_close(item)
        on_group = item in self._group_items
        if on_group and "image" not in part:
            return self._open_or_close(item)  # a click on the name of a group opens it, a click on its box checks it
        return self._toggle(item)

    def _remember(self, item: str, opened: bool) -> None:
        """Remember which groups are open, except while a filter opens all of them."""
        group = self._group_items.get(item)
        if group is None or self._keep is not None:
            return
        if opened:
            self._open.add(group.id)
        else:
            self._open.discard(group.id)

    def _report_focus(self) -> None:
        leaf = self._leaves.get(self.tree.focus())
        self._on_focus(leaf.id if leaf else None)

    def _got_focus(self, _event: object) -> None:
        if not self.tree.focus() and self._group_items:
            self._focus_item(next(iter(self._group_items)))


def _contains(leaf: Leaf, words: Sequence[str]) -> bool:
    text = f"{leaf.text} {leaf.detail} {leaf.searchable}".lower()
    return all(word in text for word in words)
