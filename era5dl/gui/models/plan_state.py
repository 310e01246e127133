"""View model of the planned download: files, size, free space, duration, and whether it can be started. No Tk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from era5dl.formatting import format_size
from era5dl.gui.backend.messages import ErrorInfo, FolderInspected
from era5dl.gui.models.request_form import FormResult
from era5dl.gui.text import catalog_text, error_text
from era5dl.gui.text.i18n import _, ngettext
from era5dl.planner.estimate import PlanEstimate
from era5dl.planner.plan import Plan
from era5dl.selection import Selection

_NOTABLE = 0.05  # share of the bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanState:
    """State of the download that the form describes.

    plan: None while it is unknown; `error` is the reason if planning failed. estimate: of parts of files, else None.
    newest: the last published day, if the selection ends in "latest".
    progress: listings done, and their total.
    speed: expected bytes per second. reserve: bytes to keep free on the disk. busy: a download is in progress.
    running: selection and folder of the download in progress, if it was started from the form. waiting_jobs: downloads
    that wait in the queue.
    preparing: the demo server is not ready yet.
    """

    form: FormResult
    plan: Plan | None = None
    estimate: PlanEstimate | None = None
    newest: date | None = None
    progress: tuple[int, int] | None = None
    error: ErrorInfo | None = None
    folder: FolderInspected | None = None
    speed: float | None = None
    reserve: int = 0
    busy: bool = False
    running: tuple[Selection | None, Path | None] | None = None
    waiting_jobs: int = 0
    preparing: bool = False

    @property
    def free_after(self) -> int | None:
        """Bytes free on the disk after the download, possibly negative; None while unknown."""
        if self.plan is None or self.folder is None or self.folder.free is None:
            return None
        return self.folder.free - (self.estimate.total.written if self.estimate else self.plan.total_bytes)

    @property
    def seconds(self) -> float | None:
        """Expected duration of the download; None while unknown."""
        if self.plan is None or not self.speed:
            return None
        return (self.estimate.total.fetched if self.estimate else self.plan.total_bytes) / self.speed

    def blocking_reason(self) -> str:
        """Return why the download cannot be started; "" when it can."""
        if self.busy:
            return _("A download is in progress.")
        if self.preparing:
            return _("The demo server is starting.")
        if self.form.errors:
            return self.form.errors[0].text
        if self.error is not None:
            return error_text.explain(self.error.kind).sentence
        if self.plan is None:
            return _("Checking which files the server has…")
        if not self.plan.objects:
            return _("The server has none of these files.")
        if self.folder is not None and self.folder.error is not None:
            return error_text.explain(self.folder.error.kind).sentence
        after = self.free_after
        if after is not None and after < self.reserve and not self._may_be_partly_done:
            return _("Not enough disk space: {bytes} more needed.", bytes=format_size(self.reserve - after))
        return ""

    def queue_obstacle(self) -> str:
        """Return why the download cannot be added to the queue; "" when it can. It is planned again when it is run."""
        if self.preparing:
            return _("The demo server is starting.")
        if self.form.errors:
            return self.form.errors[0].text
        if self.busy and (self.form.selection, self.form.folder) == self.running:
            return _("A download is in progress.")
        if self.plan is not None and not self.plan.objects:
            return _("The server has none of these files.")
        if self.folder is not None and self.folder.error is not None:
            return error_text.explain(self.folder.error.kind).sentence
        return ""

    @property
    def _may_be_partly_done(self) -> bool:
        """Whether the folder has sessions. If so, only the engine knows how much space is still needed."""
        return self.folder is not None and bool(self.folder.sessions)

    def totals(self) -> list[str]:
        """Return the number of files and their size as texts; empty while there is no plan."""
        if self.plan is None:
            return []
        files = ngettext("{n:,} file", "{n:,} files", len(self.plan.objects))
        if self.estimate is None:
            return [files, format_size(self.plan.total_bytes)]
        sums = self.estimate.total
        fetched, whole = format_size(sums.fetched), format_size(sums.size)
        if self.estimate.is_exact:
            return [files, _("{bytes} of {whole}", bytes=fetched, whole=whole)]
        return [files, _("about {bytes} of {whole}", bytes=fetched, whole=whole)]

    def written(self) -> str:
        """Return how much lands on the disk; "" for whole files."""
        if self.plan is None or self.estimate is None:
            return ""
        written = format_size(self.estimate.total.written)
        if self.estimate.is_exact:
            return _("{bytes} on disk", bytes=written)
        return _("about {bytes} on disk", bytes=written)

    def left_out(self) -> str:
        """Return how many files are left out because none of the selected hours is in them; "" for none."""
        number = len(self.plan.passed_over) if self.plan is not None else 0
        if not number:
            return ""
        return ngettext("{n:,} file without these hours left out", "{n:,} files without these hours left out", number)

    def no_saving(self) -> str:
        """Return for which products whole files are fetched although a part of each is wanted; "" for none.

        Products with a small share of the bytes, such as the invariants, are not mentioned.
        """
        if self.plan is None or self.estimate is None or self.plan.subset.prove:
            return ""
        sums = self.estimate.products
        notable = [name for name, one in sums.items() if one.size >= _NOTABLE * self.estimate.total.size]
        names = [name for name in self.estimate.without_saving if name in notable]
        if not names:
            return ""
        if names == notable:
            return _("Whole files are fetched anyway; this saves only disk space.")
        shown = ", ".join(catalog_text.folder_name(name) for name in names)
        return _("{products}: whole files are fetched anyway; this saves only disk space.", products=shown)
