"""Parsers of the command `queue` and its own commands: add, list, run, remove, move, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.cli.argument_parser import HelpFormatter, add_command
from era5dl.cli.download_parsers import add_download_flags
from era5dl.cli.flags import add_output_flags

if TYPE_CHECKING:
    import argparse

    from era5dl.cli.argument_parser import Commands

_DESCRIPTION = """\
Downloads that wait, and are run one after the other by `era5dl queue run` or by the window. The list is in the state
folder, and the same for all windows and commands of this user. Only one program at a time runs jobs.
"""
_EPILOG = """\
examples:
  era5dl queue add --variable 2t --years 2020 --out era5
  era5dl queue add --preset wrf --start 2021-02-01 --end latest --out era5
  era5dl queue list
  era5dl queue run
"""


def add_queue(commands: Commands) -> None:
    parser = commands.add_parser(
        "queue",
        help="let downloads wait, and run them one after the other",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    own = parser.add_subparsers(title="commands", metavar="COMMAND", dest="queue_command", required=True)
    add_download_flags(
        add_command(
            own,
            "add",
            "queue:add",
            "add a download, with the flags of `download`",
            "Add a download to the queue, with the flags of `era5dl download`. Nothing is requested until it is run.",
        )
    )
    add_output_flags(add_command(own, "list", "queue:list_jobs", "list the jobs in the order in which they are run"))
    add_output_flags(
        add_command(
            own,
            "run",
            "queue:run",
            "run the waiting jobs one after the other",
            "Run the waiting jobs one after the other, also those that are added meanwhile. A job that fails does not\n"
            "stop the next one. After an interrupt the job waits again, and its files are continued the next time.",
        )
    )
    add_output_flags(_for_job(own, "remove", "queue:remove", "remove a job; its files stay"))
    move = _for_job(own, "move", "queue:move", "move a job to another place in the queue")
    move.add_argument("where", metavar="up|down|PLACE", help="one place up or down, or to this place, from 1")
    add_output_flags(move)
    add_output_flags(_for_job(own, "pause", "queue:pause", "let a job stay in the queue without being run"))
    add_output_flags(_for_job(own, "resume", "queue:resume", "let a paused or ended job wait again"))


def _for_job(own: Commands, name: str, function: str, summary: str) -> argparse.ArgumentParser:
    parser = add_command(own, name, function, summary)
    parser.add_argument("job", type=int, metavar="N", help="number of the job in `era5dl queue list`")
    return parser
