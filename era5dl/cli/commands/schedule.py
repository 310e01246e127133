"""Option --schedule of `update`: prints or installs what lets the system run the update regularly."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from era5dl.child_process import is_frozen
from era5dl.cli.arguments import SETTING_FLAGS, given_settings, settings_from
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.output import Output
from era5dl.errors import UsageError
from era5dl.jobs.schedule import install, make_schedule
from era5dl.redaction import has_credentials

_NEGATED = {"verify": "--no-verify"}


def schedule(arguments: argparse.Namespace, output: Output) -> int:
    """Print a schedule for this update, or install it with --install."""
    settings_from(arguments)  # errors are found now, and not at night
    folder = arguments.folder.absolute()
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", remedy="Specify the folder of a download.")
    made = make_schedule(arguments.schedule, _command(arguments, folder), folder)
    for name in sorted(name for name in os.environ if name.startswith("ERA5DL_") and os.environ[name]):
        output.notice(f"{name} is set here, and not for the scheduled update; use its flag instead.")
    if arguments.install:
        install(made)
        output.info(f"Installed: {made.name} ({made.system}), {arguments.schedule}.")
    else:
        output.results(made.text.splitlines())
    output.record(
        "schedule",
        system=made.system,
        name=made.name,
        text=made.text,
        files=[{"path": path, "text": text.decode("utf-8", "replace")} for path, text in made.files.items()],
        commands=[list(command) for command in made.commands],
        installed=arguments.install,
    )
    return ExitCode.OK


def _command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return the command line of this update without --schedule."""
    given = given_settings(arguments)
    if has_credentials(given.get("proxy", "")):
        raise UsageError(
            "The proxy has a password, which would be stored in the schedule.",
            remedy="Set HTTPS_PROXY for the scheduler instead.",
        )
    program = [sys.executable] if is_frozen() else [sys.executable, "-m", "era5dl"]
    words = [*program, "update", "--quiet", "--wait-for-network"]
    words += [f"--{name.replace('_', '-')}" for name in ("take_replaced", "extend", "csv") if getattr(arguments, name)]
    if arguments.merge:
        words += ["--merge", arguments.merge]
    for url in arguments.allow_endpoint:
        words += ["--allow-endpoint", url]
    for flag, setting in SETTING_FLAGS.items():
        value = given.get(setting)
        if isinstance(value, bool):
            words.append(_NEGATED.get(setting, f"--{flag.replace('_', '-')}"))
        elif value is not None:
            words += [f"--{flag.replace('_', '-')}", str(Path(value).absolute() if setting == "ca_bundle" else value)]
    return [*words, "--", str(folder)]
