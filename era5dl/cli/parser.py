"""The command line as argparse sees it: commands, flags, help texts. Light on purpose, so that --help is instant.

Each command names its function as "module:function"; it is imported only when the command runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

import era5dl
from era5dl.errors import UsageError
from era5dl.formatting import parse_rate
from era5dl.redaction import redact_secrets

DESCRIPTION = """\
Fetch ERA5 reanalysis files (netCDF) from NSF NCAR's public S3 bucket, s3://nsf-ncar-era5, every byte proven.
No account and no key is needed. Whatever interrupts a download, running the same command again goes on with it.
"""

EPILOG = """\
ten seconds:
  era5dl demo                                          a small bucket on this machine, and a real download from it
  era5dl variables temperature                         which variables there are
  era5dl plan     --variable 2t --years 2020 --months 1             what would be fetched
  era5dl download --variable 2t --years 2020 --months 1 --out era5  fetch it
  era5dl download --product an.pl --variable t,u,v,z --start 2021-02-01 --end 2021-02-28 --out era5
  era5dl download --preset wrf --start 2021-02-01 --end 2021-02-28 --out era5
  era5dl resume era5                                   go on after an interruption, without planning anew
  era5dl verify era5 --repair                          prove the files on disk, fetch again only the parts that differ
  era5dl diagnose                                      when it is slow or does not work

exit codes:
  0    everything is in place and proven
  1    some files failed or are missing upstream; each is named with its reason
  2    wrong usage
  3    cannot go on: disk, folder, endpoint or certificate
  130  interrupted by the user; the same command, or `era5dl resume`, goes on

environment (a flag wins over it):
  ERA5DL_ENDPOINT_URL, ERA5DL_BUCKET, ERA5DL_REGION, ERA5DL_CA_BUNDLE, ERA5DL_PROXY, ERA5DL_WORKERS, ERA5DL_LIMIT_RATE,
  ERA5DL_RETRIES, ERA5DL_NO_VERIFY=1, ERA5DL_OPAQUE_ETAGS=1, ERA5DL_READ_BACK=1, ERA5DL_FLAT=1
                        as the flags of the same name
  ERA5DL_CONNECT_TIMEOUT, ERA5DL_READ_TIMEOUT, ERA5DL_DISK_RESERVE
                        have no flag: seconds, seconds, room left free on the disk (512MiB)
  ERA5DL_STATE_DIR      where the list of known sessions is kept
  ERA5DL_DEBUG=1        show the traceback with an error
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY           are honoured, in lower case too; where none is set, so are the
                        settings of Windows and macOS
  AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, SSL_CERT_FILE       a CA file to trust alone; where none is set, the system's
                        certificates and the bundled ones are trusted

Press Ctrl-C once to stop: what has come is kept and the next run goes on from there. Twice ends at once.
"""


class _Format(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith("required: COMMAND"):  # said alone, it is asked what there is
            self.print_help(sys.stderr)
            self.exit(2, f"\n{self.prog}: error: {message}\n")
        super().error(redact_secrets(message))  # argparse repeats what was typed, perhaps a URL with a password


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Abbreviated flags are off: a later flag must not change what a script means."""
    parser = _Parser(prog="era5dl", description=DESCRIPTION, epilog=EPILOG, formatter_class=_Format, allow_abbrev=False)
    parser.add_argument("-V", "--version", action="version", version=f"era5dl {era5dl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def command(name: str, run: str, summary: str, description: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary,
            description=description or summary[0].upper() + summary[1:] + ".",
            formatter_class=_Format,
            allow_abbrev=False,
        )
        sub.set_defaults(run=run)
        return sub

    products = command("products", "catalog:products", "the products of the bucket")
    _voice_flags(products)

    variables = command(
        "variables",
        "catalog:variables",
        "the variables, or those that match TEXT",
        "The variables of the bucket. TEXT is looked for in codes, short names and long names.",
    )
    variables.add_argument("text", nargs="?", default="", metavar="TEXT", help="part of a code or a name")
    variables.add_argument("--product", metavar="P", help="only those of this product, such as an.pl")
    _voice_flags(variables)

    plan = command(
        "plan",
        "plan:plan",
        "what would be fetched: files, bytes, what is missing; writes nothing",
        "What a download would fetch, asked of the bucket itself: files, bytes, what is missing. Writes nothing.",
    )
    _selection_flags(plan)
    plan.add_argument("--out", type=Path, metavar="DIR", help="also say how much room there is in this folder")
    _common_flags(plan)

    download = command(
        "download",
        "download:download",
        "fetch a selection; run again to go on",
        "Fetch a selection into a folder. Files land at DIR/<key>, with the folders of the bucket, under their final\n"
        "name only when every byte is proven. Run the same command again to go on with an interrupted download.",
    )
    _selection_flags(download)
    download.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder to fetch into; several downloads at once may share it, each file is fetched by one of them",
    )
    _read_back_flag(download)
    _common_flags(download)

    resume = command(
        "resume",
        "download:resume",
        "go on with an interrupted session",
        "Go on with an interrupted session: the newest unfinished one of a folder, or one of `era5dl sessions`.",
    )
    resume.add_argument("session", metavar="DIR | SESSION-ID", help="the folder, or the session (its first letters do)")
    _read_back_flag(resume)
    _common_flags(resume)

    sessions = command("sessions", "sessions:sessions", "list the sessions known on this computer")
    _voice_flags(sessions)

    verify = command(
        "verify",
        "verify:verify",
        "prove the files on disk against the bucket",
        "Prove the files of a folder against the bucket: size, and the MD5 of the server's ETag where it is one.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="a folder that era5dl, or anything else, fetched into")
    verify.add_argument("--repair", action="store_true", help="then fetch what differs or is absent, and only that")
    _common_flags(verify)

    diagnose = command(
        "diagnose",
        "diagnose:diagnose",
        "measure the way to the bucket",
        "Measure the way to the bucket: DNS, connection, TLS, first byte (10 probes), throughput, proxy and clock.",
    )
    _common_flags(diagnose)

    demo = command(
        "demo",
        "demo:demo",
        "a small ERA5 bucket on this machine, and a real download from it",
        "Start a small S3 server with ERA5-like netCDF files on this machine, fetch them with the ordinary download,\n"
        "prove them and open them. Needs no internet; needs the extra: pip install 'era5dl[demo]'.",
    )
    demo.add_argument(
        "--out", type=Path, default=Path("era5dl-demo"), metavar="DIR", help="the folder (default: ./era5dl-demo)"
    )
    demo.add_argument("--gui", action="store_true", help="open the window on the demo bucket instead")
    _pace_flags(demo)
    _voice_flags(demo)
    return parser


def _selection_flags(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what (SELECTION)")
    what.add_argument(
        "--product",
        action="extend",
        type=words,
        default=[],
        metavar="P",
        help="such as an.pl; alone: all its variables",
    )
    what.add_argument(
        "--variable",
        action="extend",
        type=words,
        default=[],
        metavar="V",
        help="repeatable, or with commas; an.pl/t, 2t, 128_130_t, t2m, 2m_temperature all work",
    )
    what.add_argument("--preset", metavar="NAME", help="the variables of a model: wrf, graphcast, pangu, fuxi, ...")
    what.add_argument(
        "--keys-file",
        metavar="FILE",
        help="instead: object keys of the bucket, or their s3:// or https:// addresses, one a line (-: standard input)",
    )
    when = parser.add_argument_group("when (UTC)")
    when.add_argument("--start", metavar="YYYY-MM-DD", help="first day")
    when.add_argument("--end", metavar="YYYY-MM-DD", help="last day, included")
    when.add_argument("--years", action="append", default=[], metavar="LIST", help="instead: such as 2000-2005,2010")
    when.add_argument(
        "--months", action="append", default=[], metavar="LIST", help="of these years, such as 1,4,7-9 (default: all)"
    )
    when.add_argument(
        "--days", action="append", default=[], metavar="LIST", help="of these months; the 31st of June is passed over"
    )


def _common_flags(parser: argparse.ArgumentParser) -> None:
    """Settings default to None: what no flag says, the environment or the default says."""
    where = parser.add_argument_group("the bucket")
    where.add_argument("--endpoint-url", metavar="URL", help="another S3 server than Amazon's")
    where.add_argument(
        "--allow-endpoint",
        action="append",
        default=[],
        metavar="URL",
        help="with resume and verify: the server that a session names may be asked, though no setting names it",
    )
    where.add_argument("--bucket", metavar="NAME", help="default: nsf-ncar-era5")
    where.add_argument("--region", metavar="R", help="default: us-west-2")
    where.add_argument(
        "--proxy",
        metavar="URL",
        help="such as socks5h://127.0.0.1:7890; http, https, socks5, socks5h, socks4 or socks4a. Put a password into "
        "ERA5DL_PROXY, where the list of processes does not show it",
    )
    where.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust, where a proxy inspects TLS")
    _pace_flags(parser)
    _voice_flags(parser)


def _read_back_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--read-back",
        action="store_const",
        const=True,
        help="hash each whole file from the disk before it gets its final name, past the page cache where the system "
        "can; without it bytes are hashed as they come and read again only after disk trouble or a foreign change that "
        "shows in the file's time. Finds another program's writes into a part file up to that moment, not later ones",
    )


def _pace_flags(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    how.add_argument("--workers", type=int, metavar="N", help="requests at once (default: 8)")
    how.add_argument(
        "--limit-rate", type=rate, metavar="RATE", help="bytes per second for all together, such as 5M; 0: no limit"
    )
    how.add_argument("--retries", type=int, metavar="N", help="attempts in a row without a new byte (default: 6)")
    how.add_argument(
        "--no-verify", action="store_const", const=False, dest="verify", help="do not compute MD5s; check sizes only"
    )
    how.add_argument(
        "--opaque-etags",
        action="store_const",
        const=True,
        help="this server's ETags are not MD5s: files that do not match them are checked, not refused",
    )
    how.add_argument(
        "--flat", action="store_const", const=True, help="all files in one folder, not in the bucket's own"
    )


def _voice_flags(parser: argparse.ArgumentParser) -> None:
    voice = parser.add_argument_group("what is said")
    voice.add_argument("--json", action="store_true", help="one JSON object a line on stdout, words on stderr")
    voice.add_argument("--quiet", action="store_true", help="only errors and the summary")


def words(text: str) -> list[str]:
    """ "t, u" -> ["t", "u"]"""
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names nothing")
    return found


def rate(text: str) -> int:
    """ "5M" -> 5_000_000 bytes per second; "0" lifts a limit that the environment sets"""
    try:
        return parse_rate(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error}. {error.remedy}") from None
