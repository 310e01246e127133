"""Command-line flags that several commands share, in groups, and their argument types.

Flags that are settings default to None: then the environment variable or the default of `era5dl.settings` applies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from era5dl.days import MERGE_PERIODS
from era5dl.errors import UsageError


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select variables and dates, or a list of keys."""
    variables = parser.add_argument_group("variables")
    variables.add_argument(
        "--product",
        action="extend",
        type=comma_separated,
        default=[],
        metavar="P",
        help="product such as an.pl; without --variable all its variables",
    )
    variables.add_argument(
        "--variable",
        action="extend",
        type=comma_separated,
        default=[],
        metavar="V",
        help="repeatable or comma-separated; an.pl/t, 2t, 128_130_t, t2m and 2m_temperature all work",
    )
    variables.add_argument(
        "--preset", metavar="NAME", help="the variables of a model: wrf, graphcast, pangu, fuxi, ..."
    )
    variables.add_argument(
        "--keys-file",
        metavar="FILE",
        help="instead of a selection: object keys, or s3:// or https:// URLs, one per line (-: standard input)",
    )
    variables.add_argument(
        "--cds",
        metavar="FILE",
        help="instead of a selection: a request of the Copernicus Climate Data Store: JSON, a Python dict, or a script "
        "(-: standard input); see `era5dl cds`",
    )
    add_dataset_flag(variables)
    dates = parser.add_argument_group("dates (UTC)")
    dates.add_argument("--start", metavar="YYYY-MM-DD", help="first day")
    dates.add_argument(
        "--end", metavar="YYYY-MM-DD|latest", help="last day, included; latest: all published days, see update"
    )
    dates.add_argument(
        "--years", action="append", default=[], metavar="LIST", help="instead of --start, such as 2000-2005,2010"
    )
    dates.add_argument(
        "--months", action="append", default=[], metavar="LIST", help="of these years, such as 1,4,7-9 (default: all)"
    )
    dates.add_argument(
        "--days",
        action="append",
        default=[],
        metavar="LIST",
        help="of these months (default: all); days that do not exist, such as June 31, are ignored",
    )
    add_subset_flags(parser)


def add_dataset_flag(parser: argparse._ActionsContainer) -> None:
    """Add --dataset."""
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="dataset of CDS requests that do not name theirs, such as reanalysis-era5-single-levels",
    )


def add_subset_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select a subset of each file."""
    subset = parser.add_argument_group(
        "subset of each file",
        "Fetch only what is selected, as far as the chunks of the files allow, and\n"
        "write it as small netCDF files. Without these flags: whole files.",
    )
    subset.add_argument(
        "--hours", action="append", default=[], metavar="LIST", help="hours of the day, UTC, such as 0,6,12,18 or 9-17"
    )
    subset.add_argument(
        "--levels", action="append", default=[], metavar="LIST", help="hPa, such as 500,850 or 850-1000; of an.pl"
    )
    subset.add_argument(
        "--area", metavar="N/W/S/E", help="degrees, such as 54/73/18/135 (commas work, too); also across 180 degrees"
    )
    subset.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="LAT,LON",
        help="the nearest grid point, such as 30.6,114.3; repeatable",
    )
    subset.add_argument(
        "--points", type=Path, metavar="FILE", help="CSV file with lines LAT,LON or LAT,LON,NAME, up to 10,000 points"
    )
    subset.add_argument(
        "--only-days", action="store_true", help="only the selected days of each file; the flags above imply it"
    )
    subset.add_argument(
        "--prove",
        action="store_true",
        help="fetch whole files and verify them by their MD5 before the subsets are taken out of them",
    )


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of all commands that connect to the bucket."""
    bucket = parser.add_argument_group("bucket")
    bucket.add_argument("--endpoint-url", metavar="URL", help="S3 server other than Amazon's")
    bucket.add_argument(
        "--allow-endpoint",
        action="append",
        default=[],
        metavar="URL",
        help="for resume and verify: allow the server of the session although it is not the one in the settings",
    )
    bucket.add_argument("--bucket", metavar="NAME", help="default: nsf-ncar-era5")
    bucket.add_argument("--region", metavar="R", help="default: us-west-2")
    bucket.add_argument(
        "--proxy",
        metavar="URL",
        help="such as socks5h://127.0.0.1:7890; http, https, socks5, socks5h, socks4 or socks4a. Set a password in "
        "ERA5DL_PROXY instead, because other users can read command lines in the process list",
    )
    bucket.add_argument("--ca-bundle", metavar="FILE", help="CA certificates to trust, if a proxy inspects TLS")
    add_transfer_flags(parser)
    add_output_flags(parser)


def add_transfer_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that control speed, retries, verification and file names."""
    transfer = parser.add_argument_group("transfer")
    transfer.add_argument(
        "--workers",
        type=workers,
        metavar="N|auto",
        help="concurrent requests; auto finds the number by measuring, from 4 to 64 (default: auto)",
    )
    transfer.add_argument(
        "--limit-rate",
        type=rate_limit,
        metavar="RATE",
        help='total bytes per second, such as 5M (0: no limit), or a timetable: "08:00,1M 20:00,off" limits the rate '
        "from 8:00 to 20:00 local time, and Sat-08:00,off is for Saturdays only. It also changes during a download",
    )
    transfer.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="consecutive attempts without a new byte before a file fails (default: 6)",
    )
    transfer.add_argument(
        "--no-verify", action="store_const", const=False, dest="verify", help="compare sizes only, compute no MD5s"
    )
    transfer.add_argument(
        "--opaque-etags",
        action="store_const",
        const=True,
        help="this server's ETags are not MD5s: accept files that do not match them as checked",
    )
    transfer.add_argument(
        "--flat", action="store_const", const=True, help="save all files in one folder, without subfolders"
    )


def add_dask_flag(parser: argparse.ArgumentParser) -> None:
    """Add --dask."""
    parser.add_argument(
        "--dask",
        metavar="WHERE",
        help="download on the workers of a Dask cluster, into a folder that all share: the address of the scheduler, "
        "its scheduler file, or local:N for N processes on this computer. --limit-rate is then that of all together",
    )


def add_read_back_flag(parser: argparse.ArgumentParser) -> None:
    """Add --read-back."""
    parser.add_argument(
        "--read-back",
        action="store_const",
        const=True,
        help="read each file back from the disk and hash it before it gets its final name, bypassing the page cache "
        "if supported. Without it, bytes are hashed as they arrive, and read back only after a disk error or when "
        "the file's time shows a change by another program. Detects such changes up to that moment, not later ones",
    )


def add_merge_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that merge the files of a download."""
    merging = parser.add_argument_group("merging")
    merging.add_argument(
        "--merge",
        choices=MERGE_PERIODS,
        help="at the end, also write one file per variable with the times of a month, of a year, or all (variable: "
        "the same as all); the downloaded files stay",
    )
    add_csv_flag(merging)


def add_csv_flag(parser: argparse._ActionsContainer) -> None:
    """Add --csv."""
    parser.add_argument("--csv", action="store_true", help="also write the merged values at points as CSV files")


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Add --json and --quiet, which every command has."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="write JSON records to stdout, one per line; messages go to stderr"
    )
    output.add_argument("--quiet", action="store_true", help="print only errors and the summary")


def comma_separated(text: str) -> list[str]:
    """Argument type: "t, u" -> ["t", "u"]."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("no name given")
    return words


def workers(text: str) -> int | str:
    """Argument type: "8" -> 8, "Auto" -> "auto"."""
    if text.strip().lower() == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers. Use 1 to 256, or auto.") from None


def rate_limit(text: str) -> int | str:
    """Argument type: "5M" -> 5_000_000 bytes per second; a timetable stays. "0" removes a limit of the environment."""
    from era5dl.rate_timetable import normalize_rate_limit  # imports dataclasses: a tenth of the time of --help

    try:
        return normalize_rate_limit(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error}. {error.remedy}") from None
