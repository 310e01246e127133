"""Many commands to one canvas in a single call of Tk.

Python's lock is given away during each call, and while workers are busy it takes a millisecond to get it back: two
hundred calls, one for each cell of a table, took a fifth of a second.
"""

from __future__ import annotations

import tkinter as tk


class CanvasBatch:
    """Nothing is seen before `send`."""

    def __init__(self, canvas: tk.Canvas) -> None:
        self._canvas = canvas
        self._commands: list[tuple[object, ...]] = []

    def create(self, kind: str, *coords: float, **options: object) -> None:
        """A new item: "line", "text", ..."""
        self._commands.append(("create", kind, *coords, *_flat(options)))

    def change(self, item: int | str, **options: object) -> None:
        """Other options of an item, or of all with a tag."""
        self._commands.append(("itemconfigure", item, *_flat(options)))

    def place(self, item: int, *coords: float) -> None:
        """An item somewhere else."""
        self._commands.append(("coords", item, *coords))

    def delete(self, item: int | str) -> None:
        self._commands.append(("delete", item))

    def configure(self, **options: object) -> None:
        """Options of the canvas itself."""
        self._commands.append(("configure", *_flat(options)))

    def forget(self) -> None:
        """Send nothing of it."""
        self._commands = []

    def send(self) -> None:
        commands, self._commands = self._commands, []
        if commands:
            self._canvas.tk.call("foreach", "era5dl_command", commands, f"{self._canvas} {{*}}$era5dl_command")


def _flat(options: dict[str, object]) -> list[object]:
    return [part for name, value in options.items() for part in (f"-{name}", value)]
