"""Parsers of the commands for files that have been downloaded. Each function adds one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.argument_parser import add_command
from era5dl.cli.flags import add_common_flags, add_csv_flag, add_output_flags
from era5dl.days import MERGE_PERIODS

if TYPE_CHECKING:
    from era5dl.cli.argument_parser import Commands


def add_verify(commands: Commands) -> None:
    parser = add_command(
        commands,
        "verify",
        "verify:verify",
        "verify the files on disk against the bucket",
        "Compare the files of a folder with the bucket: the size, and the MD5 if the server's ETag is one.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with files downloaded by any program")
    parser.add_argument(
        "--repair", action="store_true", help="download files again that are damaged, or were complete and are gone"
    )
    add_common_flags(parser)


def add_merge(commands: Commands) -> None:
    parser = add_command(
        commands,
        "merge",
        "merge:merge",
        "merge the downloaded files of each variable",
        "Write one file for each variable and selection in a folder, with the times of a month, a year, or all of its\n"
        "files. Times between others for which there are no data are listed. The downloaded files stay.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with files downloaded by era5dl")
    parser.add_argument(
        "--by",
        choices=MERGE_PERIODS,
        default="all",
        help="times of a merged file (variable: the same as all; default: all)",
    )
    add_csv_flag(parser)
    add_output_flags(parser)
