"""Command `merge`: merges the files of each variable that a folder has. It sends no requests."""

from __future__ import annotations

import argparse

from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.merging import report_merge
from era5dl.cli.output import Output
from era5dl.cli.run_session import MAX_LISTED
from era5dl.errors import UsageError
from era5dl.formatting import format_count
from era5dl.subset import import_writer
from era5dl.subset.find_parts import find_parts
from era5dl.subset.merge_plan import plan_groups
from era5dl.subset.merging import merge_groups


def merge(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Merge the files in a folder. Returns the exit code."""
    import_writer()
    stopped = interrupts.requested.is_set
    found = interrupts.run_in_background(lambda: find_parts(arguments.folder, stopped))
    for path, reason in found.passed_over[:MAX_LISTED]:
        output.info(f"ignored: {path} ({reason})")
    if not found.parts:
        raise UsageError(
            f"There are no files in {arguments.folder} that can be merged.",
            remedy="Give the folder of a download with era5dl.",
        )
    output.info(f"Merging {format_count(len(found.parts), 'file')} in {arguments.folder}")
    groups, errors = plan_groups(found.parts, arguments.by)
    if arguments.csv and not any(group.has_points for group in groups):
        raise UsageError("--csv is for files with points, and there are none here.", remedy="Omit --csv.")
    outcomes = merge_groups(arguments.folder, groups, errors, csv=arguments.csv, stopped=stopped)
    return ExitCode(report_merge(outcomes, output, interrupts))
