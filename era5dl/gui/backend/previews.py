"""Maps of files in the background: one at a time, on a thread of its own. Results are messages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.errors import Era5Error, Stopped
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled, OnCrash
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.preview import import_rendering
from era5dl.preview.shown_map import MapRequest, ShownMap

if TYPE_CHECKING:
    from era5dl.preview.map_maker import MapMaker

DRAWING = "map"  # `messages.TaskCrashed.task` of a map


class PreviewService:
    """Commands return at once; results are messages."""

    def __init__(self, post: Callable[[Message], None], on_crash: OnCrash) -> None:
        self._post = post
        self._task = BackgroundTask(DRAWING, on_crash)
        self._saving = BackgroundTask("picture", on_crash)  # not the same: it would cancel a map
        self._maker: MapMaker | None = None  # of the task's thread
        self._wanted: MapRequest | None = None  # the newest request

    def request_map(self, request: MapRequest) -> None:
        """Make a map, instead of one that is being made."""

        def job(cancelled: IsCancelled) -> None:
            try:
                shown = self._make(request, cancelled)
            except Stopped:
                return
            except Era5Error as error:
                self._post(messages.MapFailed(request, ErrorInfo.of(error)))
                return
            if cancelled():
                return
            self._post(messages.MapReady(request, shown))
            self._prepare(replace(request, time=shown.time + 1), cancelled)

        self._wanted = request
        self._task.submit(job)

    def save_picture(self, path: Path, *, dark: bool) -> None:
        """Write a picture of the latest map."""

        def job(_cancelled: IsCancelled) -> None:
            try:
                if self._maker is not None:
                    self._maker.save(path, dark=dark)
                self._post(messages.PictureSaved(path))
            except Era5Error as error:
                self._post(messages.PictureSaved(path, ErrorInfo.of(error)))

        self._saving.submit(job)

    def release(self) -> None:
        """Close the file and free the memory."""
        self._wanted = None

        def job(_cancelled: IsCancelled) -> None:
            if self._maker is not None:
                self._maker.close()

        self._task.submit(job)

    def close(self) -> None:
        """Cancel everything. Returns at once."""
        self._wanted = None
        self._task.cancel()
        self._saving.cancel()

    def _prepare(self, following: MapRequest, cancelled: IsCancelled) -> None:
        """Decode the data of the next time. A request for that does not cancel it."""

        def unwanted() -> bool:
            wanted = self._wanted
            is_next = wanted is not None and (wanted.path, wanted.time) == (following.path, following.time)
            return cancelled() and not is_next

        if self._maker is not None:
            with contextlib.suppress(Era5Error):  # also Stopped; an error is reported when that time is wanted
                self._maker.prepare_next(unwanted)

    def _make(self, request: MapRequest, cancelled: IsCancelled) -> ShownMap:
        if self._maker is None:
            import_rendering()  # raises UsageError without NumPy
            from era5dl.preview.map_maker import MapMaker

            self._maker = MapMaker()
        return self._maker.make(request, cancelled)
