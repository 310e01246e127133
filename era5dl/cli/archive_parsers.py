"""Parsers of the commands for files that have been downloaded. Each function adds one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from era5dl.cli.argument_parser import add_command
from era5dl.cli.flags import add_common_flags, add_csv_flag, add_output_flags, add_selection_flags, comma_separated
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


def add_audit(commands: Commands) -> None:
    parser = add_command(
        commands,
        "audit",
        "audit:audit",
        "list what an archive has, and what lacks and why",
        "Compare the files in a folder with what its sessions have asked for, or with a selection: there and proven,\n"
        "there but not proven, truncated, missing, failed, missing in the bucket, not yet published, not asked for.\n"
        "Sends no requests, and works for folders that other programs have filled. With only variables or only dates:\n"
        "of what the sessions have asked for.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with ERA5 files, in any subfolders")
    parser.add_argument(
        "--deep", action="store_true", help="read the header and the times of each file; finds hours that a file lacks"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a table with a row for each file")
    parser.add_argument(
        "--gaps",
        type=Path,
        metavar="FILE",
        help="also write the keys of what lacks, for download --keys-file; parts of different kinds: FILE-2, ...",
    )
    add_selection_flags(parser)
    add_output_flags(parser)


def add_manifest(commands: Commands) -> None:
    parser = add_command(
        commands,
        "manifest",
        "manifest:manifest",
        "write a manifest of an archive, or compare the files with it",
        "Write DIR/era5dl-manifest.jsonl: key, size, ETag, MD5 or SHA-256, and proof of each file, and the requests\n"
        "of the sessions. --check reads the files and compares them with it.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with ERA5 files, in any subfolders")
    parser.add_argument("--check", action="store_true", help="compare the files with the manifest that is there")
    parser.add_argument(
        "--sha256", action="store_true", help="also compute the SHA-256 of each file; later runs read only new files"
    )
    parser.add_argument(
        "--sha256sums", action="store_true", help="also write DIR/SHA256SUMS, for sha256sum --check; implies --sha256"
    )
    add_output_flags(parser)


def add_cite(commands: Commands) -> None:
    parser = add_command(
        commands,
        "cite",
        "cite:cite",
        "show how to cite the data in a folder",
        "Print the references with DOI, the sentence that Copernicus asks for, the licence, and the days of access.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with ERA5 files, in any subfolders")
    parser.add_argument("--format", choices=("text", "bibtex", "json"), default="text", help="default: text")
    add_output_flags(parser)


def add_preview(commands: Commands) -> None:
    parser = add_command(
        commands,
        "preview",
        "preview:preview",
        "show a field of a file: its statistics, and its map as a picture",
        "Describe one field of a downloaded file: variable, time, level, minimum, area-weighted mean and maximum, and\n"
        "write its map (of values at points, a time series) as a PNG file.\n"
        "Install with: pip install 'era5dl[preview]'.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="netCDF file: whole, subset or merged")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="write the map to this file")
    parser.add_argument("--time", metavar="TIME", help="valid time, UTC, such as 2021-02-01T06 (default: the first)")
    parser.add_argument("--level", type=float, metavar="HPA", help="pressure level (default: 500 if it is there)")
    parser.add_argument("--variable", metavar="NAME", help="of a file with several (default: the first)")
    parser.add_argument("--dark", action="store_true", help="picture on a dark background")
    add_output_flags(parser)


def add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        "export:export",
        "write the files of a folder as one netCDF or zarr file",
        "Write one file with all or some variables of a folder: forecasts at their valid times, total precipitation\n"
        "(tp) from lsp and cp, missing hours as NaN. The downloaded files stay. An interrupted export continues at\n"
        "the month it was at. Exit code 1: hours are missing; they are listed. Needs: pip install 'era5dl[xarray]'.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with ERA5 files, in any subfolders")
    parser.add_argument("--to", required=True, metavar="FILE", help="the new file: NAME.nc or NAME.zarr")
    parser.add_argument(
        "--variable",
        "--variables",
        action="extend",
        type=comma_separated,
        default=[],
        metavar="V",
        help="repeatable or comma-separated, such as 2t,tp (default: all variables of the folder)",
    )
    parser.add_argument("--start", metavar="TIME", help="first day, or hour as 2021-02-01T18 (UTC)")
    parser.add_argument("--end", metavar="TIME", help="last day or hour, included")
    parser.add_argument("--area", metavar="N/W/S/E", help="cut from files that have more, such as 54/73/18/135")
    parser.add_argument("--levels", action="append", default=[], metavar="LIST", help="hPa, such as 500,850")
    parser.add_argument(
        "--names", choices=("bucket", "cds"), default="bucket", help="VAR_2T, or t2m as in the Climate Data Store"
    )
    parser.add_argument(
        "--damaged",
        choices=("error", "skip"),
        default="error",
        help="skip: the hours of truncated or unreadable files are missing; a file whose data turn out to be damaged "
        "while they are read is always an error (default: error)",
    )
    add_output_flags(parser)
