"""Parsers of the commands that choose what to download, and download it. Each function adds one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.argument_parser import add_command
from era5dl.cli.flags import (
    add_common_flags,
    add_dask_flag,
    add_dataset_flag,
    add_merge_flags,
    add_output_flags,
    add_read_back_flag,
    add_selection_flags,
)

if TYPE_CHECKING:
    import argparse

    from era5dl.cli.argument_parser import Commands


def add_products(commands: Commands) -> None:
    parser = add_command(commands, "products", "catalog:products", "list the products of the bucket")
    add_output_flags(parser)


def add_variables(commands: Commands) -> None:
    parser = add_command(
        commands,
        "variables",
        "catalog:variables",
        "list all variables, or those that match TEXT",
        "List the variables of the bucket. TEXT is searched in codes, short names and long names.",
    )
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="part of a code or a name")
    parser.add_argument("--product", metavar="P", help="only variables of this product, such as an.pl")
    add_output_flags(parser)


def add_cds(commands: Commands) -> None:
    parser = add_command(
        commands,
        "cds",
        "cds:cds",
        "show what a request of the Copernicus Climate Data Store is in this bucket",
        "Show what a request of the Copernicus Climate Data Store (CDS) is in this bucket: each variable, what cannot\n"
        "be had and where it can, and what to know. Sends no request. `plan` and `download` take it with --cds FILE.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="JSON, a Python dict, or a script with client.retrieve(...), which is not executed (-: standard input)",
    )
    add_dataset_flag(parser)
    add_output_flags(parser)


def add_plan(commands: Commands) -> None:
    parser = add_command(
        commands,
        "plan",
        "plan:plan",
        "show what would be downloaded; writes nothing",
        "Look up a selection in the bucket and show files, sizes, and what is missing. Writes nothing.",
    )
    add_selection_flags(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also show the free space in this folder; with --export, the file"
    )
    parser.add_argument(
        "--export",
        metavar="TOOL",
        choices=("s5cmd", "aria2", "rclone", "aws", "wget", "python"),
        help="write the same download for another tool to --out FILE, or to standard output: s5cmd, aria2, rclone, "
        "aws, wget or python. Whole files: these tools cannot fetch a subset",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="read the index of each file, for exact figures of a subset (a minute for 1,000 files, then cached)",
    )
    add_common_flags(parser)


def add_download(commands: Commands) -> None:
    parser = add_command(
        commands,
        "download",
        "download:download",
        "download a selection; run it again to continue",
        "Download a selection into a folder. Files are saved as DIR/<key>, in the subfolders of the bucket, and get\n"
        "their final names only when every byte is verified. Run the same command again to continue an interrupted\n"
        "download.",
    )
    add_download_flags(parser)
    add_dask_flag(parser)


def add_download_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `download`."""
    add_selection_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="download folder; several downloads can share it at the same time, and each file is downloaded once",
    )
    add_read_back_flag(parser)
    add_merge_flags(parser)
    add_common_flags(parser)


def add_resume(commands: Commands) -> None:
    parser = add_command(
        commands,
        "resume",
        "download:resume",
        "resume an interrupted session",
        "Resume an interrupted session: the newest unfinished one of a folder, or one listed by `era5dl sessions`.",
    )
    parser.add_argument(
        "session", metavar="DIR | SESSION-ID", help="download folder, or session id (its first characters are enough)"
    )
    add_read_back_flag(parser)
    add_merge_flags(parser)
    add_common_flags(parser)


def add_update(commands: Commands) -> None:
    parser = add_command(
        commands,
        "update",
        "update:update",
        "download what has appeared since, for downloads that end in latest",
        "Plan the downloads of a folder that end in latest again, and download what has appeared in the bucket since.\n"
        "Files whose object was replaced in the bucket are listed, and kept unless --take-replaced is given. Prints\n"
        "nothing with --quiet if there is nothing new: for cron, systemd timers and the Windows Task Scheduler.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="download folder")
    parser.add_argument(
        "--take-replaced",
        action="store_true",
        help="download the new versions of files that were replaced in the bucket (else they are listed: exit code 1)",
    )
    parser.add_argument(
        "--extend", action="store_true", help="also continue downloads of selections that do not end in latest"
    )
    parser.add_argument(
        "--wait-for-network",
        action="store_true",
        help="wait up to 15 minutes until the server can be reached; scheduled updates do",
    )
    scheduling = parser.add_argument_group("schedule")
    scheduling.add_argument(
        "--schedule",
        choices=("daily", "weekly", "monthly"),
        help="update nothing now; print what lets the system do it regularly: a systemd timer or a crontab line, a "
        "launchd agent (macOS), a scheduled task (Windows)",
    )
    scheduling.add_argument("--install", action="store_true", help="with --schedule: install it")
    add_merge_flags(parser)
    add_common_flags(parser)


def add_sessions(commands: Commands) -> None:
    parser = add_command(commands, "sessions", "sessions:sessions", "list the sessions known on this computer")
    add_output_flags(parser)
