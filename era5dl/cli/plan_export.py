"""`plan --export`: writes a plan as a file for another download tool."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from era5dl.cli.arguments import look_up, plan_from
from era5dl.cli.cds_requests import selections_from_cds
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.json_output import stdout_errors
from era5dl.errors import UsageError
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.formatting import format_count, format_size

if TYPE_CHECKING:
    from pathlib import Path

    from era5dl.bucket.interface import Bucket
    from era5dl.cli.interrupts import Interrupts
    from era5dl.cli.output import Output
    from era5dl.planner import Missing, Plan
    from era5dl.settings import Settings


def export(
    arguments: argparse.Namespace, settings: Settings, bucket: Bucket, output: Output, interrupts: Interrupts
) -> int:
    """Write the file. Exit code 1 if a file is missing in the bucket. Several requests of --cds make one file."""
    from era5dl.planner import Plan
    from era5dl.planner.export import SCRIPTS, export_plan
    from era5dl.proof.etag import etag_md5

    tool, out = arguments.export, arguments.out
    if out is not None and out.is_dir():
        raise UsageError(f"{out} is a folder.", remedy="With --export, --out is the file to write.")
    code: int = ExitCode.OK
    if arguments.cds is None:
        plans = [plan_from(arguments, settings, bucket, output, interrupts)]
    else:
        selections, code = selections_from_cds(arguments, output)
        plans = [look_up(selection, bucket, output, interrupts) for selection in selections]
    objects = {obj.key: obj for plan in plans for obj in plan.objects}
    missing = {absent.key: absent for plan in plans for absent in plan.missing}
    cropped = next((plan.request for plan in plans if not plan.subset.is_everything), plans[0].request if plans else {})
    whole = Plan(cropped, tuple(objects.values()), tuple(missing.values()))
    text = export_plan(whole, tool, settings)
    if out is not None:
        _save(out, text, script=tool in SCRIPTS)
    elif output.json_writer is None:
        with stdout_errors():
            sys.stdout.buffer.write(text.encode())
            sys.stdout.flush()
    known = [etag_md5(obj.etag) for obj in whole.objects]
    output.record(
        "export",
        tool=tool,
        path=None if out is None else str(out),
        files=len(whole.objects),
        bytes=whole.total_bytes,
        with_md5=sum(found is not None and found.parts is None for found in known),
        whole_files=not whole.subset.is_everything,
        text=text if out is None else None,
    )
    _report(whole, tool, out, output)
    return max(code, ExitCode.INCOMPLETE if missing else ExitCode.OK)


def _report(plan: Plan, tool: str, out: Path | None, output: Output) -> None:
    size = format_size(plan.total_bytes)
    where = "standard output" if out is None else str(out)
    output.info(
        f"{format_count(len(plan.objects), 'file')}, {size}, for {tool}: {where}; its first lines say how to run it"
    )
    if not plan.subset.is_everything:
        output.notice(
            f"whole files are exported: {tool} cannot fetch the subset ({size} instead of what `era5dl plan` shows)"
        )
    if plan.missing:
        output.notice(f"left out: {format_count(len(plan.missing), 'file')} {_reasons(plan.missing)}")
        for absent in plan.missing:
            output.record("missing", key=absent.key, reason=absent.reason)


def _reasons(missing: tuple[Missing, ...]) -> str:
    return f"missing in the bucket ({', '.join(sorted({absent.reason for absent in missing})[:3])})"


def _save(path: Path, text: str, *, script: bool) -> None:
    from era5dl.cli.output_file import write_output_file
    from era5dl.planner.export import TITLE

    write_output_file(path, text.encode(), TITLE.encode())
    if script:
        with translate_disk_errors(path):
            path.chmod(0o755)
