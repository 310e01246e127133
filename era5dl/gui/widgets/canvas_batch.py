"""Batch of canvas commands that is sent to Tk in a single call.

Each Tk call releases the GIL, and while workers are busy it takes up to a millisecond to acquire it again. Two hundred
calls, one for each cell of a table, took a fifth of a second.
"""

from __future__ import annotations

import tkinter as tk


class CanvasBatch:
    """Collects commands until `send`."""

    def __init__(self, canvas: tk.Canvas) -> None:
        self._canvas = canvas
        self._commands: list[tuple[object, ...]] = []

    def create(self, kind: str, *coords: float, **options: object) -> None:
        """Create an item: "line", "text", ..."""
        self._commands.append(("create", kind, *coords, *_flat(options)))

    def change(self, item: int | str, **options: object) -> None:
        """Change options of an item, or of all items with a tag."""
        self._commands.append(("itemconfigure", item, *_flat(options)))

    def move(self, item: int, *coords: float) -> None:
        """Set the coordinates of an item."""
        self._commands.append(("coords", item, *coords))

    def delete(self, item: int | str) -> None:
        """Delete an item, or all items with a tag."""
        self._commands.append(("delete", item))

    def configure(self, **options: object) -> None:
        """Change options of the canvas itself."""
        self._commands.append(("configure", *_flat(options)))

    def clear(self) -> None:
        """Discard the collected commands."""
        self._commands = []

    def send(self) -> None:
        """Execute the collected commands."""
        commands, self._commands = self._commands, []
        if commands:
            self._canvas.tk.call("foreach", "era5dl_command", commands, f"{self._canvas} {{*}}$era5dl_command")


def _flat(options: dict[str, object]) -> list[object]:
    return [part for name, value in options.items() for part in (f"-{name}", value)]
