"""Preview controller: the window with the map of a file, which follows the selection of finished files."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from era5dl.errors import Era5Error, UsageError
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.previews import DRAWING, PreviewService
from era5dl.gui.controllers import Controller
from era5dl.gui.dialogs.field_map import FieldMapWindow, MapCallbacks
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import _
from era5dl.gui.theme.theme import Theme
from era5dl.preview.shown_map import MapRequest


class PreviewController(Controller):
    """file_path: returns the path of a file of the queue; None if it has none.

    While a map is being made, only the newest of the other requests waits: otherwise a key that is held down would
    cancel one map after the other, and none would be shown.
    """

    def __init__(
        self, root: tk.Tk, theme: Theme, previews: PreviewService, file_path: Callable[[int], Path | None]
    ) -> None:
        self._root, self._theme, self._previews, self._file_path = root, theme, previews, file_path
        self.window: FieldMapWindow | None = None
        self._wanted: MapRequest | None = None  # what the window is to show
        self._running: MapRequest | None = None  # what is being made
        self._width, self._height = 0, 0

    # --- actions

    def show_index(self, index: int) -> None:
        """Show the map of a finished file of the queue."""
        path = self._file_path(index)
        if path is not None:
            self.show(path)

    def follow_index(self, index: int) -> None:
        """Show the map of a file of the queue if the window is open."""
        if self.window is not None:
            self.show_index(index)

    def show(self, path: Path) -> None:
        """Show the map of a file."""
        if self.window is None:
            callbacks = MapCallbacks(
                time=lambda position: self._change(time=position),
                level=lambda level: self._change(level=level),
                variable=lambda name: self._change(variable=name, time=0),
                resized=self._resized,
                save=lambda name: self._previews.save_picture(Path(name), dark=self._theme.palette.dark),
                closed=self._closed,
            )
            self.window = FieldMapWindow(self._root, self._theme, callbacks)
            self._theme.follow(self.window, lambda _palette: self._resized())
        if self._wanted is None or self._wanted.path != path:
            level = self._wanted.level if self._wanted is not None else None
            self.window.show_message(lambda: _("Reading…"))
            self._wanted = MapRequest(path, level=level)
            self._running = None  # the map of another file is of no use any more
        self._request()

    def close(self) -> None:
        """Close the window."""
        if self.window is not None:
            self.window.close()

    # --- messages

    def handle(self, message: Message) -> None:
        match message:
            case messages.MapReady() if message.request == self._running and self.window is not None:
                self._running = None
                self.window.show(message.shown)
                if self._wanted is not None and message.request != self._wanted:
                    self.window.slider.show(self._wanted.time, max(1, len(message.shown.times)))
                    self.window.show_time(min(self._wanted.time, max(0, len(message.shown.times) - 1)))
                    self._request()
            case messages.MapFailed() if message.request == self._running and self.window is not None:
                self._running = None
                self.window.show_message(lambda error=message.error: _explain(error))  # type: ignore[misc]
            case messages.PictureSaved() if self.window is not None:
                saved = _("Saved: {path}", path=message.path)
                self.window.show_saved(saved if message.error is None else _not_saved(message.error))
            case messages.TaskCrashed() if message.task == DRAWING and self.window is not None:
                self._running = None
                self.window.show_message(lambda error=message.error: _explain(error))  # type: ignore[misc]
            case _:
                return

    # --- inside

    def _change(self, **changes: object) -> None:
        if self._wanted is not None:
            self._wanted = replace(self._wanted, **changes)  # type: ignore[arg-type]
            self._request()

    def _resized(self) -> None:
        if self._wanted is not None:
            self._request()

    def _request(self) -> None:
        """Request the wanted map, in the size for which there is room now."""
        window, wanted = self.window, self._wanted
        if window is None or wanted is None or window.view.winfo_width() <= 1:
            return
        width, height = window.view.room
        line_width = max(1.0, self._theme.px(10) / 10)
        dark = self._theme.palette.dark
        self._wanted = replace(wanted, width=width, height=height, dark=dark, line_width=line_width)
        if self._running is None:
            self._running = self._wanted
            self._previews.request_map(self._wanted)

    def _closed(self) -> None:
        self.window = self._wanted = self._running = None
        self._previews.release()


def _not_saved(error: ErrorInfo) -> str:
    return _("Not saved: {reason}", reason=" ".join(part for part in (error.detail, error.remedy) if part))


def _explain(error: ErrorInfo) -> str:
    """Return the text of an error; its details name the file and the reason."""
    known = error.kind not in (Era5Error.__name__, UsageError.__name__)
    sentence = error_text.explain(error.kind).sentence if known else _("This file cannot be shown.")
    return "\n\n".join(part for part in (sentence, error.detail, error.remedy) if part)
