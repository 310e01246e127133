"""Parsers of the commands that divide a download among the computers of a cluster. Each function adds one command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.argument_parser import add_command
from era5dl.cli.flags import add_common_flags, add_output_flags, add_read_back_flag, add_selection_flags, rate_limit

if TYPE_CHECKING:
    from era5dl.cli.argument_parser import Commands

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add_prepare(commands: Commands) -> None:
    parser = add_command(
        commands,
        "prepare",
        "cluster:prepare",
        "divide a download into blocks, for a cluster",
        "Look up a selection once and divide it into blocks, which the computers of a cluster then download into one\n"
        "shared folder: each with `era5dl work DIR`, or as a SLURM array (`era5dl sbatch DIR`). Downloads nothing.",
    )
    add_selection_flags(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="download folder, which all computers can write to"
    )
    parser.add_argument(
        "--block",
        type=block_size,
        metavar="SIZE",
        help="bytes of a block, such as 64G (default: 16G, but 64 to 1,000 blocks)",
    )
    add_common_flags(parser)


def add_work(commands: Commands) -> None:
    parser = add_command(
        commands,
        "work",
        "cluster:work",
        "download blocks of a prepared download on this computer",
        "Download blocks of a download that `era5dl prepare` has divided. Run it on as many computers as you like:\n"
        "each takes blocks that no other one works on. In a job array, the number of the task chooses the block.",
    )
    _add_folder_and_run(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--block", type=int, metavar="N", help="only this block; the first one is 0")
    which.add_argument(
        "--share", default="", metavar="I/N", help="only the I-th of N shares of the blocks, such as 3/8"
    )
    add_read_back_flag(parser)
    add_common_flags(parser)


def add_gather(commands: Commands) -> None:
    parser = add_command(
        commands,
        "gather",
        "cluster:gather",
        "show and save the progress of all computers of a prepared download",
        "Save the progress of all blocks in the session of the whole download, so that the folder is like that of any\n"
        "other download. Exit code 0: everything is complete; 1: files failed or are missing; 75: blocks remain.",
    )
    _add_folder_and_run(parser)
    parser.add_argument("--watch", action="store_true", help="show the progress until all blocks have ended")
    add_output_flags(parser)


def add_sbatch(commands: Commands) -> None:
    parser = add_command(
        commands,
        "sbatch",
        "cluster:sbatch",
        "print the SLURM script of a prepared download",
        "Print the script of a SLURM array with one task per block. Nothing is submitted: save it, read it, and run\n"
        "`sbatch FILE`.",
    )
    _add_folder_and_run(parser)
    parser.add_argument("--at-once", type=int, required=True, metavar="N", help="tasks that run at the same time")
    parser.add_argument(
        "--time", required=True, metavar="T", help="time limit of a task, such as 12:00:00; it is queued again after it"
    )
    parser.add_argument(
        "--limit-rate",
        type=rate_limit,
        metavar="RATE",
        help="bytes per second of all tasks together; each gets an equal share",
    )
    add_output_flags(parser)


def _add_folder_and_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="download folder, as given to `era5dl prepare`")
    parser.add_argument("--run", dest="run_id", default="", metavar="ID", help="if the folder has several runs")


def block_size(text: str) -> int:
    """Argument type: "64G" -> 64_000_000_000 bytes."""
    digits = text.strip().lower().removesuffix("b")
    unit = digits[-1:] if digits[-1:].isalpha() else ""
    number = digits.removesuffix(unit) if unit else digits
    if unit not in _UNITS or not number.isdecimal() or len(number) > 12 or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size. Use for example 64G.")
    return int(number) * _UNITS[unit]
