"""SLURM script: an array job with one task per block, for `sbatch`. Users can change it before they submit it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from era5dl.errors import UsageError
from era5dl.session.blocks import Run

NOTICE = 60  # seconds between SIGTERM and the time limit, to save the progress
_TIME = re.compile(r"\d{1,3}-\d{1,2}(:\d{1,2}){0,2}|\d{1,7}|\d{1,4}(:\d{1,2}){1,2}", re.ASCII)
_TEMPLATE = """\
#!/bin/bash
# Downloads the {blocks} blocks of an ERA5 download into {folder_comment}
# Submit it:              sbatch FILE
# Progress, at any time:  {gather} --watch
# At the end:             sbatch --dependency=afterany:JOBID --wrap {gather_quoted}
#SBATCH --job-name=era5dl-{run}
#SBATCH --array=0-{last}%{at_once}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time={time}
# SIGTERM before the time limit: the progress is saved, and the task is queued again.
#SBATCH --signal=B:TERM@{notice}
# A task whose node fails is started on another node and continues there.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={log}

child=
trap 'kill -TERM "$child" 2>/dev/null' TERM
{work} --block "$SLURM_ARRAY_TASK_ID" --quiet &
child=$!
wait "$child"; code=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
case $code in
  0|1|2|3) exit $code ;;  # complete; files failed or are missing; wrong usage; cannot continue
  *) scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" && sleep 60 ;;  # interrupted, or killed
esac
exit $code
"""


@dataclass(frozen=True, slots=True)
class ScriptOptions:
    """command: words that start era5dl. at_once: tasks that run at the same time. time: limit of a task, as for SLURM.

    flags: further flags of `era5dl work`.
    """

    command: tuple[str, ...]
    at_once: int
    time: str
    flags: tuple[str, ...] = ()


def batch_script(run: Run, options: ScriptOptions) -> str:
    """Return the script. Raises UsageError for options that SLURM would not accept, and for folders that it cannot."""
    if not _TIME.fullmatch(options.time):
        raise UsageError(
            f"{options.time!r} is not a time limit of SLURM.",
            remedy="Use minutes, or [DAYS-]HOURS:MINUTES:SECONDS, such as 12:00:00.",
        )
    if options.at_once < 1:
        raise UsageError("At least one task has to run at once.", remedy="Use for example --at-once 16.")
    folder = str(run.folder)
    if any(not character.isprintable() for character in folder):
        raise UsageError("The name of the folder has control characters.", remedy="Rename the folder.")
    work = shlex.join([*options.command, "work", folder, "--run", run.id, *options.flags])
    gather = shlex.join([*options.command, "gather", folder, "--run", run.id])
    return _TEMPLATE.format(
        blocks=len(run.spans),
        last=max(len(run.spans) - 1, 0),
        folder_comment=folder,
        run=run.id,
        at_once=options.at_once,
        time=options.time,
        notice=NOTICE,
        log=f"{_escape(run)}/slurm-%a.log",
        work=work,
        gather=gather,
        gather_quoted=shlex.quote(gather),
    )


def _escape(run: Run) -> str:
    """Return the folder of the logs for #SBATCH --output, in which % begins a placeholder."""
    path = str(run.blocks_home).replace("%", "%%")
    return f'"{path}"' if " " in path else path
