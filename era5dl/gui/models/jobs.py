"""View model of the queue on the Sessions page: one row for each job that is not done. No Tk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from era5dl.formatting import printable
from era5dl.gui.models.sessions import parts_of_title
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import N_, _, ngettext, translate
from era5dl.jobs.job import Job, JobState

_STATES = {
    JobState.WAITING: N_("Waiting"),
    JobState.RUNNING: N_("Downloading"),
    JobState.PAUSED: N_("Paused"),
    JobState.DONE: N_("Done"),
    JobState.FAILED: N_("Failed"),
    JobState.INCOMPLETE: N_("Incomplete"),
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. number: identifies it. status: its state in the user's language. reason: why it is not done."""

    number: int
    name: str
    period: str
    folder: str
    state: JobState
    status: str
    reason: str

    @property
    def can_pause(self) -> bool:
        return self.state is JobState.WAITING

    @property
    def can_resume(self) -> bool:
        return self.state in (JobState.PAUSED, JobState.FAILED, JobState.INCOMPLETE)

    @property
    def can_change(self) -> bool:
        """Whether it can be moved and removed."""
        return self.state is not JobState.RUNNING


def job_rows(jobs: Iterable[Job]) -> list[JobRow]:
    """Return a row for each job that is not done, in the order of the queue."""
    return [_row(job) for job in jobs if job.state is not JobState.DONE]


def waiting_count(jobs: Iterable[Job]) -> int:
    """Return the number of jobs that wait."""
    return sum(job.state is JobState.WAITING for job in jobs)


def _row(job: Job) -> JobRow:
    name, period = parts_of_title(job.title)
    return JobRow(
        number=job.number,
        name=name,
        period=period,
        folder=printable(str(job.request.folder)),
        state=job.state,
        status=translate(_STATES[job.state]),
        reason=_reason(job),
    )


def _reason(job: Job) -> str:
    """Return why a job has failed or is incomplete; "" if it is not."""
    if job.kind:
        return f"{error_text.explain(job.kind).text} ({printable(job.reason)})"
    counts = (
        (job.failed, ngettext("{n:,} file failed", "{n:,} files failed", job.failed)),
        (job.missing, ngettext("{n:,} file missing on the server", "{n:,} files missing on the server", job.missing)),
        (job.unfinished, ngettext("{n:,} file unfinished", "{n:,} files unfinished", job.unfinished)),
    )
    return ", ".join(text for number, text in counts if number) or printable(job.reason)


def runner_text(runner: str) -> str:
    """Return that another program runs the jobs; "" if none does."""
    return _("Another program runs the queue: {program}.", program=printable(runner)) if runner else ""
