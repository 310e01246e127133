"""Commands `queue add`, `list`, `run`, `remove`, `move`, `pause` and `resume`: the list of waiting downloads."""

from __future__ import annotations

import argparse
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict

from era5dl.cli.arguments import (
    given_settings,
    keys_from,
    look_up,
    open_bucket,
    report_derived,
    selection_from,
    settings_from,
    subset_from,
)
from era5dl.cli.cds_requests import selections_from_cds
from era5dl.cli.commands.download import report_plan
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.merging import check_merge_flags, merge_flags, merge_session
from era5dl.cli.output import Output, table
from era5dl.cli.run_session import report_result, run_session
from era5dl.errors import Era5Error, Stopped
from era5dl.formatting import format_count
from era5dl.jobs import Job, JobEnd, JobList, JobState, Request
from era5dl.jobs.job import settings_of_job
from era5dl.jobs.wait_for_network import retry_while_unreachable
from era5dl.selection import Selection
from era5dl.settings import Settings


def add(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Add a download to the queue. Sends no request."""
    from era5dl.folder.free_space import check_creatable
    from era5dl.subset import import_writer

    settings = settings_from(arguments)
    kept = settings_of_job(settings, given_settings(arguments))
    check_creatable(arguments.out)
    wanted: Sequence[Selection | None]
    keys: list[str] = []
    code = ExitCode.OK
    if arguments.cds is not None:
        wanted, code = selections_from_cds(arguments, output)
    elif keys := keys_from(arguments, settings):
        wanted = [None]
    else:
        wanted = [selection_from(arguments)]
        report_derived(arguments, output)
    subset = subset_from(arguments)
    requests = [
        Request(
            folder=arguments.out.absolute(),
            selection=selection,
            subset=subset,
            key_count=len(keys),
            settings=kept,
            merge=arguments.merge or "",
            csv=arguments.csv,
        )
        for selection in wanted
    ]
    for request in requests:
        check_merge_flags(arguments, subset if request.selection is None else request.selection.subset)
        if request.is_subset:
            import_writer()
    jobs = JobList()
    for request in requests:
        job = jobs.add(request, keys)
        _report_notes(jobs, output)
        _record(job, len(jobs.jobs()), output)
        output.info(f"Job {job.number} waits: {job.title}, into {job.request.folder}")
    output.info(
        f"It is run by {jobs.runner_name}." if jobs.runner_name else "`era5dl queue run` runs the waiting jobs."
    )
    return code


def list_jobs(_arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print a line per job, in the order in which they are run."""
    queue = JobList()
    jobs = queue.jobs()
    _report_notes(queue, output)
    for place, job in enumerate(jobs, start=1):
        _record(job, place, output)
    if jobs:
        head = ("JOB", "STATE", "ADDED", "SELECTION", "FOLDER", "REASON")
        output.results(table([_row(job) for job in jobs], head=head, right=(0,)))
    else:
        output.info("No jobs. `era5dl queue add` adds a download, with the flags of `era5dl download`.")
    if queue.runner_name:
        output.info(f"The jobs are run by {queue.runner_name}.")
    return ExitCode.OK


def remove(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Remove a job from the queue."""
    job = JobList().remove(arguments.job)
    output.record("job-removed", job=job.number)
    output.info(f"Job {job.number} is removed: {job.title}. Its files stay.")
    return ExitCode.OK


def move(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Move a job in the queue."""
    jobs = JobList()
    place = jobs.move(arguments.job, arguments.where)
    _record(jobs.jobs()[place - 1], place, output)
    output.info(f"Job {arguments.job} is at place {place} now.")
    return ExitCode.OK


def pause(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Let a job stay in the queue without being run."""
    return _report_change(JobList().pause(arguments.job), output)


def resume(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Let a paused or ended job wait again."""
    return _report_change(JobList().resume(arguments.job), output)


def run(_arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Run the waiting jobs one after the other. Exit code 1 if one of them failed or is incomplete."""
    queue = JobList()
    worst, number = ExitCode.OK, 0
    with queue.runner() as runner:
        while (job := runner.next_job()) is not None:
            _report_notes(queue, output)
            number += 1
            output.info(f"Job {job.number}: {job.title}, into {job.request.folder}")
            output.record("job-started", job=job.number, title=job.title, folder=job.request.folder)
            try:
                end = _run_job(queue, job, output, interrupts)
            except Stopped:
                raise
            except Era5Error as error:
                output.error(error)
                end = JobEnd.of_error(error)
            runner.finish(end)
            output.record("job-ended", job=job.number, **asdict(end))
            if end.state is JobState.WAITING:
                return ExitCode.INTERRUPTED
            worst = max(worst, ExitCode.OK if end.state is JobState.DONE else ExitCode.INCOMPLETE)
    _report_notes(queue, output)
    output.info(f"{format_count(number, 'job')} run." if number else "No job waits.")
    return worst


def _run_job(queue: JobList, job: Job, output: Output, interrupts: Interrupts) -> JobEnd:
    """Download a job like `era5dl download`. Return how it has ended; WAITING after an interrupt."""
    from era5dl.folder.free_space import check_creatable
    from era5dl.session import Session
    from era5dl.subset import import_writer

    request = job.request
    settings = request.apply_settings(Settings.from_environment(os.environ))
    check_creatable(request.folder)
    if request.is_subset or request.merge:
        import_writer()
    bucket = open_bucket(settings)
    keys = queue.keys_of(job) if request.selection is None else []
    wanted = request.selection or request.subset
    plan = retry_while_unreachable(
        lambda: look_up(wanted, bucket, output, interrupts, keys=keys),
        interrupts.wait,
        lambda error: output.notice(f"{error}. The job waits until the server can be reached."),
    )
    report_plan(plan, request.folder, output)
    merging = Namespace(merge=request.merge, csv=request.csv)
    with Session.begin(request.folder, plan, settings) as session:
        result = run_session(bucket, session, settings, output, interrupts)
        code = report_result(result, plan.missing, session, output, merge_flags(merging))
        code = merge_session(merging, session, result, code, output, interrupts)
        if code is ExitCode.INTERRUPTED:
            return JobEnd(JobState.WAITING, session=session.id)
        end = JobEnd.of_run(result.ended, len(plan.missing), session.id)
    if code is ExitCode.INCOMPLETE and end.state is JobState.DONE:
        return JobEnd(JobState.INCOMPLETE, "some files could not be merged", session=session.id)
    return end


def _report_change(job: Job, output: Output) -> int:
    output.record("job-changed", job=job.number, state=job.state.value)
    output.info(f"Job {job.number} is {job.state.value}: {job.title}.")
    return ExitCode.OK


def _report_notes(queue: JobList, output: Output) -> None:
    while queue.notes:
        output.notice(queue.notes.pop(0))


def _record(job: Job, place: int, output: Output) -> None:
    fields = job.to_json()
    output.record("job", job=fields.pop("number"), place=place, **fields)


def _row(job: Job) -> tuple[str, ...]:
    added = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.added))
    return str(job.number), job.state.value, added, job.title, str(job.request.folder), job.reason
