"""Commands `prepare`, `work`, `gather` and `sbatch`: one download on the computers of a cluster."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from era5dl.cli.arguments import open_bucket, plan_from, settings_from
from era5dl.cli.commands.download import report_plan, session_settings
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.plain_display import progress_line
from era5dl.cli.run_session import make_display, report_result, run_session
from era5dl.errors import SessionBusy, UsageError
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from era5dl.cluster.gather import Gathered
    from era5dl.session.blocks import Run
    from era5dl.settings import Settings

_WATCH_INTERVAL = 2.0  # seconds
_SPEED_WINDOW = 60.0  # seconds; computers save their progress every few seconds


def prepare(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Plan a selection and divide it into blocks. With the same arguments again, the blocks remain as they are."""
    from era5dl.folder.free_space import check_creatable
    from era5dl.session import Session, blocks
    from era5dl.subset import import_writer

    settings = settings_from(arguments)
    check_creatable(arguments.out)
    plan = plan_from(arguments, settings, open_bucket(settings), output, interrupts)
    if not plan.subset.is_everything:
        import_writer()
    report_plan(plan, arguments.out, output)
    with Session.begin(arguments.out, plan, settings, keep_blocks=True) as session:
        run = blocks.divide(session.home, session.info, plan, arguments.block)
    largest = max((sum(obj.size for obj in run.block_plan(n).objects) for n in range(len(run.spans))), default=0)
    output.record("run", run=run.id, folder=str(run.folder), blocks=len(run.spans), largest=largest)
    output.result(f"{format_count(len(run.spans), 'block')} of at most {format_size(largest)}, run {run.id}")
    output.info(f"Start `era5dl work {run.folder}` on each computer, or print a SLURM script with `era5dl sbatch`.")
    return ExitCode.INCOMPLETE if plan.missing else ExitCode.OK


def work(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Download the blocks of this process, one after the other. Blocks that others work on come last."""
    from era5dl.cluster.batch_tasks import blocks_of_task
    from era5dl.session.blocks import find_run

    run = find_run(arguments.folder, arguments.run_id)
    settings = session_settings(run, arguments, output)
    numbers = blocks_of_task(len(run.spans), os.environ, arguments.block, arguments.share)
    chosen = len(numbers) < len(run.spans)
    code, busy = ExitCode.OK, []
    for number in numbers:
        if _has_ended(run, number):
            output.info(f"Block {number} is complete.")
            continue
        try:
            ended = _work_on(run, number, settings, output, interrupts, wait=chosen)
        except SessionBusy:
            if chosen:
                raise
            busy.append(number)
            continue
        code = max(code, ended)
        if ended not in (ExitCode.OK, ExitCode.INCOMPLETE):
            return ended
    for number in busy:  # the programs that had them have ended, or still work on them
        if not _has_ended(run, number):
            code = max(code, _work_on(run, number, settings, output, interrupts, wait=True))
    return code


def _has_ended(run: Run, number: int) -> bool:
    saved = run.saved(number)
    return saved is not None and saved.checkpoint.ended and not saved.failed


def _work_on(
    run: Run, number: int, settings: Settings, output: Output, interrupts: Interrupts, *, wait: bool
) -> ExitCode:
    """Download one block. wait: also while another program holds it; else raise SessionBusy at once."""
    from era5dl.cluster.batch_tasks import grant_of_task
    from era5dl.cluster.run_block import PATIENCE, begin_block

    began = time.monotonic()
    grant = grant_of_task(run.id, number, os.environ)
    with begin_block(run, number, settings, grant=grant, patience=PATIENCE if wait else 0.0) as session:
        waited = round(time.monotonic() - began, 3)
        output.record("block", run=run.id, block=number, files=len(session.plan.objects), waited=waited)
        output.info(f"Block {number} of {len(run.spans)} (0 to {len(run.spans) - 1}):")
        result = run_session(open_bucket(settings), session, settings, output, interrupts)
        return report_result(result, (), session, output)


def gather(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Save the progress of all blocks, and show it; with --watch until all have ended."""
    from era5dl.cluster.gather import gather as gather_run
    from era5dl.session.blocks import find_run

    run = find_run(arguments.folder, arguments.run_id)
    gathered = gather_run(run)
    if arguments.watch:
        gathered = _watch(run, gathered, output, interrupts)
    _report(run, gathered, output)
    if gathered.is_complete:
        return ExitCode.OK
    return ExitCode.REMAINING if gathered.remaining_blocks else ExitCode.INCOMPLETE


def _watch(run: Run, gathered: Gathered, output: Output, interrupts: Interrupts) -> Gathered:
    """Show the progress until all blocks have ended, or until a signal."""
    from era5dl.cluster.gather import gather as gather_run
    from era5dl.cluster.gather import snapshot_of

    began = time.monotonic()
    first = gathered.checkpoint.done_bytes
    samples = [(began, first)]
    with interrupts.gracefully(), make_display(output) as display:
        while gathered.remaining_blocks and not interrupts.requested.wait(_WATCH_INTERVAL):
            gathered = gather_run(run)
            now, done = time.monotonic(), gathered.checkpoint.done_bytes
            samples = [sample for sample in samples if now - sample[0] < _SPEED_WINDOW] + [(now, done)]
            speed = max(done - samples[0][1], 0) / max(now - samples[0][0], 1.0)
            workers = sum(bool(block.owner) for block in gathered.blocks)
            snapshot = snapshot_of(
                gathered, elapsed=now - began, fetched=max(done - first, 0), speed=speed, workers=workers
            )
            display.show_progress(snapshot)
            if output.json_writer is not None:
                output.json_writer.progress(snapshot)
    return gathered


def _report(run: Run, gathered: Gathered, output: Output) -> None:
    from era5dl.cluster.gather import snapshot_of

    for block in gathered.blocks:
        output.record("block-state", **{name: getattr(block, name) for name in block.__slots__})
        if block.owner and not output.quiet:
            size = f"{format_size(block.done_bytes)} of {format_size(block.total_bytes)}"
            output.result(f"block {block.number}: {size}, {block.owner}")
    for failure in gathered.checkpoint.failures:
        output.result(f"failed: {failure.key}: {failure.reason}")
    output.record(
        "gathered",
        run=run.id,
        blocks=len(gathered.blocks),
        remaining=gathered.remaining_blocks,
        files=gathered.files,
        verified=gathered.checkpoint.verified.total(),
        checked=gathered.checkpoint.checked.total(),
        checked_part=gathered.checkpoint.checked_part.total(),
        failed=len(gathered.checkpoint.failures),
        missing=gathered.missing,
        bytes=gathered.total_bytes,
        done_bytes=gathered.checkpoint.done_bytes,
    )
    output.notice(progress_line(snapshot_of(gathered, elapsed=0.0, fetched=0, speed=0.0)))
    if gathered.remaining_blocks:
        running = sum(bool(block.owner) for block in gathered.blocks)
        remaining = format_count(gathered.remaining_blocks, "block")
        output.notice(f"{remaining} of {len(gathered.blocks)} remain; {running} in progress")


def sbatch(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print the SLURM script of a prepared download."""
    from era5dl.cluster.batch_script import ScriptOptions, batch_script
    from era5dl.session.blocks import find_run

    run = find_run(arguments.folder, arguments.run_id)
    flags: list[str] = []
    if run.info.endpoint_url:
        flags += ["--allow-endpoint", run.info.endpoint_url]
    if arguments.limit_rate:
        if not isinstance(arguments.limit_rate, int):
            raise UsageError("A timetable cannot be divided among tasks.", remedy="Use one rate, such as 200M.")
        share = arguments.limit_rate // max(arguments.at_once, 1)
        flags += ["--limit-rate", str(max(share, 1))]
    command = (sys.executable, "-m", "era5dl")
    script = batch_script(run, ScriptOptions(command, arguments.at_once, arguments.time, tuple(flags)))
    output.record("script", run=run.id, tasks=len(run.spans), text=script)
    output.results(script.splitlines())
    return ExitCode.OK
