"""Command-line parser (argparse): the commands and their help texts.

Each command has a function `_add_COMMAND` here, and names the function that runs it as "module:function" below
`era5dl.cli.commands`. That module is imported only when the command runs, so that --help is instant. Flags shared by
several commands are in `era5dl.cli.flags`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import era5dl
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.flags import (
    add_common_flags,
    add_csv_flag,
    add_merge_flags,
    add_output_flags,
    add_read_back_flag,
    add_selection_flags,
    add_transfer_flags,
)
from era5dl.days import MERGE_PERIODS
from era5dl.redaction import redact_secrets

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["_Parser"]

DESCRIPTION = """\
Download ERA5 reanalysis files (netCDF) from NSF NCAR's public S3 bucket, s3://nsf-ncar-era5, and verify every byte.
No account or key is needed. An interrupted download continues when the same command is run again.
"""

EPILOG = """\
examples:
  era5dl demo                                          try it: a real download from a small bucket on this machine
  era5dl variables temperature                         find variables
  era5dl plan     --variable 2t --years 2020 --months 1             show what would be downloaded
  era5dl download --variable 2t --years 2020 --months 1 --out era5  download it
  era5dl download --product an.pl --variable t,u,v,z --start 2021-02-01 --end 2021-02-28 --out era5
  era5dl download --preset wrf --start 2021-02-01 --end 2021-02-28 --out era5
  era5dl download --variable an.pl/t --years 2020 --hours 0,12 --area 54/73/18/135 --out era5
  era5dl resume era5                                   resume an interrupted download, without planning it again
  era5dl merge era5 --by year                          one file per variable and year from the small files of a subset
  era5dl verify era5 --repair                          verify the files on disk, and download damaged parts again
  era5dl diagnose                                      test the connection when a download is slow or fails

exit codes:
  0    all files are complete and verified
  1    some files failed or are missing in the bucket; each is listed with the reason
  2    invalid command line
  3    cannot continue: disk, folder, endpoint or certificate
  130  interrupted by the user; the same command, or `era5dl resume`, continues

environment variables (flags take precedence):
  ERA5DL_ENDPOINT_URL, ERA5DL_BUCKET, ERA5DL_REGION, ERA5DL_CA_BUNDLE, ERA5DL_PROXY, ERA5DL_WORKERS, ERA5DL_LIMIT_RATE,
  ERA5DL_RETRIES, ERA5DL_NO_VERIFY=1, ERA5DL_OPAQUE_ETAGS=1, ERA5DL_READ_BACK=1, ERA5DL_FLAT=1
                        like the flags of the same names
  ERA5DL_CONNECT_TIMEOUT, ERA5DL_READ_TIMEOUT
                        timeouts in seconds; there are no flags for them
  ERA5DL_DISK_RESERVE   disk space to keep free, such as 512MiB
  ERA5DL_STATE_DIR      folder for the list of known sessions and the log
  ERA5DL_DEBUG=1        print a traceback with each error
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                        the usual proxy variables, also in lower case; without them, the proxy settings of Windows and
                        macOS are used
  AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, SSL_CERT_FILE
                        CA file to trust exclusively; without them, the certificates of the system and the bundled ones
                        are trusted

Press Ctrl-C once to stop: the bytes downloaded so far are kept, and the next run continues. Press it twice to exit at
once.
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


_SIGNED_FLAGS = ("--area", "--point", "--hours", "--levels")


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Like that of argparse, which would take "-10,170,-30,-170" after --area for a flag."""
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(_join_signed_values(words), namespace)

    def error(self, message: str) -> NoReturn:
        if message.endswith("required: COMMAND"):  # `era5dl` alone: show which commands there are
            self.print_help(sys.stderr)
            self.exit(ExitCode.USAGE, f"\n{self.prog}: error: {message}\n")
        if message.startswith("unrecognized arguments:"):
            message += self._similar_flags(message.split())
        super().error(redact_secrets(message))  # argparse repeats the input, possibly a URL with a password

    def _similar_flags(self, words: list[str]) -> str:
        """Return a hint such as " (did you mean --years?)" for unknown flags among these words; "" if none is similar.

        This parser reports the unknown flags of all commands, so the flags of all of them are compared.
        """
        from difflib import get_close_matches

        flags: set[str] = set()
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                flags.update(*(parser._option_string_actions for parser in action.choices.values()))
        unknown = [word.partition("=")[0] for word in words if word.startswith("--")]
        similar = [match for word in unknown for match in get_close_matches(word, sorted(flags), 1, 0.75)]
        return f" (did you mean {', '.join(similar)}?)" if similar else ""


def _join_signed_values(words: list[str]) -> list[str]:
    """Return these words with values that begin with a minus sign joined to their flag: --area=-10,170,-30,-170."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in _SIGNED_FLAGS and word[:1] == "-" and word[1:2] in (*"0123456789.",):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Abbreviated flags are disabled: a flag added later must not change the meaning of a script.
    """
    parser = _Parser(
        prog="era5dl", description=DESCRIPTION, epilog=EPILOG, formatter_class=_HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"era5dl {era5dl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    _add_products(commands)
    _add_variables(commands)
    _add_plan(commands)
    _add_download(commands)
    _add_resume(commands)
    _add_sessions(commands)
    _add_verify(commands)
    _add_merge(commands)
    _add_diagnose(commands)
    _add_demo(commands)
    return parser


def _add_command(
    commands: Commands, name: str, function: str, summary: str, description: str = ""
) -> argparse.ArgumentParser:
    """Add a command. function: "module:function" below era5dl.cli.commands."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description or summary[0].upper() + summary[1:] + ".",
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=function)
    return parser


def _add_products(commands: Commands) -> None:
    parser = _add_command(commands, "products", "catalog:products", "list the products of the bucket")
    add_output_flags(parser)


def _add_variables(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "variables",
        "catalog:variables",
        "list all variables, or those that match TEXT",
        "List the variables of the bucket. TEXT is searched in codes, short names and long names.",
    )
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="part of a code or a name")
    parser.add_argument("--product", metavar="P", help="only variables of this product, such as an.pl")
    add_output_flags(parser)


def _add_plan(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "plan",
        "plan:plan",
        "show what would be downloaded; writes nothing",
        "Look up a selection in the bucket and show files, sizes, and what is missing. Writes nothing.",
    )
    add_selection_flags(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="also show the free space in this folder")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="read the index of each file, for exact figures of a subset (a minute for 1,000 files, then cached)",
    )
    add_common_flags(parser)


def _add_download(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "download",
        "download:download",
        "download a selection; run it again to continue",
        "Download a selection into a folder. Files are saved as DIR/<key>, in the subfolders of the bucket, and get\n"
        "their final names only when every byte is verified. Run the same command again to continue an interrupted\n"
        "download.",
    )
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


def _add_resume(commands: Commands) -> None:
    parser = _add_command(
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


def _add_sessions(commands: Commands) -> None:
    parser = _add_command(commands, "sessions", "sessions:sessions", "list the sessions known on this computer")
    add_output_flags(parser)


def _add_verify(commands: Commands) -> None:
    parser = _add_command(
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


def _add_merge(commands: Commands) -> None:
    parser = _add_command(
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


def _add_diagnose(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "diagnose",
        "diagnose:diagnose",
        "test the connection to the bucket",
        "Test the connection to the bucket: DNS, connect, TLS, first byte (10 probes), throughput, proxy and clock.",
    )
    add_common_flags(parser)


def _add_demo(commands: Commands) -> None:
    parser = _add_command(
        commands,
        "demo",
        "demo:demo",
        "try a real download from a small bucket on this machine",
        "Start a small S3 server with ERA5-like netCDF files on this machine, download the files, compare them with\n"
        "the originals and open them. Needs no internet connection. Install with: pip install 'era5dl[demo]'.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("era5dl-demo"), metavar="DIR", help="folder (default: ./era5dl-demo)"
    )
    parser.add_argument("--gui", action="store_true", help="open the window with the demo bucket instead")
    add_transfer_flags(parser)
    add_output_flags(parser)
