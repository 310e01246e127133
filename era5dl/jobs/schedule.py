"""Regular updates by the system: a systemd timer or crontab line, a launchd agent, a Windows scheduled task.

Functions here only make texts, and run the programs of the system when a schedule is installed. The time of day is in
the night, at a minute that depends on the folder, so that not all updates of the world start at once.
"""

from __future__ import annotations

import hashlib
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from era5dl.errors import Era5Error, UsageError
from era5dl.folder.atomic_write import make_folders, write_atomically
from era5dl.folder.disk_errors import translate_folder_errors

PERIODS = ("daily", "weekly", "monthly")
_HOUR = 3
_DAY_OF_MONTH = 8  # new months appear in the first week
_MAX_TASK = 261  # characters of a command that schtasks accepts
_CMD_CHARACTERS = set("&|<>^!")  # that cmd.exe interprets, since the quotes within quotes end them
_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """What lets a system run a command regularly.

    system: "systemd", "cron", "launchd" or "schtasks". name: of the timer, agent or task. text: what is shown to the
    user. files: contents by path. commands: run in this order after the files were written. crontab: the line to add.
    """

    system: str
    name: str
    text: str
    files: dict[Path, bytes] = field(default_factory=dict)
    commands: tuple[tuple[str, ...], ...] = ()
    crontab: str = ""


def system_scheduler() -> str:
    """Return the scheduler of this system: "systemd", "cron", "launchd" or "schtasks"."""
    if sys.platform == "win32":
        return "schtasks"
    if sys.platform == "darwin":
        return "launchd"
    is_running = Path("/run/systemd/system").is_dir() and bool(os.environ.get("XDG_RUNTIME_DIR"))
    return "systemd" if is_running and shutil.which("systemctl") else "cron"


def make_schedule(
    period: str, command: Sequence[str], folder: Path, system: str = "", home: Path | None = None
) -> Schedule:
    """Return the schedule that runs a command in each period. folder: that is updated; gives the schedule its name.

    system: see `system_scheduler`; by default that of this system. home: the user's home folder. Raises UsageError if
    the system cannot run such a command.
    """
    if any(ord(letter) < 32 for word in command for letter in word):
        raise UsageError("A scheduled command cannot have control characters.", remedy="Rename the folder.")
    digest = hashlib.sha256(os.fsencode(folder)).digest()
    name, minute = f"era5dl-update-{digest.hex()[:8]}", digest[8] % 60
    make = {"systemd": _systemd, "cron": _cron, "launchd": _launchd, "schtasks": _schtasks}
    return make[system or system_scheduler()](period, list(command), name, minute, home or Path.home())


def install(schedule: Schedule) -> None:
    """Install a schedule for this user, in place of an earlier one for the same folder. Raises Era5Error."""
    for path, text in schedule.files.items():
        with translate_folder_errors(path):
            make_folders(path.parent)
            write_atomically(path, [text])
    if schedule.crontab:
        _install_crontab(schedule)
    for number, command in enumerate(schedule.commands):
        is_optional = number < len(schedule.commands) - 1 and schedule.system == "launchd"  # unloads an earlier one
        _run(command, must_succeed=not is_optional)


# --- systemd


def _systemd(period: str, command: list[str], name: str, minute: int, home: Path) -> Schedule:
    config = os.environ.get("XDG_CONFIG_HOME")
    units = (Path(config) if config else home / ".config") / "systemd" / "user"
    when = {"daily": "*-*-*", "weekly": "Mon *-*-*", "monthly": f"*-*-{_DAY_OF_MONTH:02}"}[period]
    service = (
        "[Unit]\nDescription=Download new ERA5 files\n\n"
        f"[Service]\nType=oneshot\nExecStart={' '.join(map(_systemd_word, command))}\n"
        "SuccessExitStatus=130\n"
    )
    timer = (
        f"[Unit]\nDescription=Download new ERA5 files, {period}\n\n"
        f"[Timer]\nOnCalendar={when} {_HOUR:02}:{minute:02}:00\nPersistent=true\nRandomizedDelaySec=1800\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    files = {units / f"{name}.service": service, units / f"{name}.timer": timer}
    commands = (
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "--now", f"{name}.timer"),
    )
    shown = [f"# {path}\n{text}" for path, text in files.items()]
    shown.append("# then\n" + "\n".join(map(shlex.join, commands)) + "\n")
    shown.append("# to update also while you are not logged in: loginctl enable-linger\n")
    encoded = {path: text.encode("utf-8", "surrogateescape") for path, text in files.items()}
    return Schedule("systemd", name, "\n".join(shown), encoded, commands)


def _systemd_word(word: str) -> str:
    """Return a word of ExecStart, quoted: % begins a specifier and $ a variable, in quotes, too."""
    quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{quoted}"'


# --- cron


def _cron(period: str, command: list[str], name: str, minute: int, _home: Path) -> Schedule:
    when = {"daily": "* * *", "weekly": "* * 1", "monthly": f"{_DAY_OF_MONTH} * *"}[period]
    escaped = shlex.join(command).replace("%", "\\%")  # cron replaces % by a newline, in quotes, too
    line = f"{minute} {_HOUR} {when} {escaped} # {name}"
    return Schedule("cron", name, f"# add this line with: crontab -e\n{line}\n", crontab=line)


def _install_crontab(schedule: Schedule) -> None:
    """Add the line to the user's crontab, in place of an earlier one with the same name."""
    listed = _run(("crontab", "-l"), must_succeed=False)
    lines = [line for line in listed.splitlines() if not line.endswith(f"# {schedule.name}")]
    _run(("crontab", "-"), text="\n".join([*lines, schedule.crontab]) + "\n")


# --- launchd


def _launchd(period: str, command: list[str], name: str, minute: int, home: Path) -> Schedule:
    label = f"org.{name.replace('-', '.', 1)}"
    when: dict[str, int] = {"Hour": _HOUR, "Minute": minute}
    when |= {"daily": {}, "weekly": {"Weekday": 1}, "monthly": {"Day": _DAY_OF_MONTH}}[period]
    log = str(home / "Library" / "Logs" / f"{label}.log")
    agent: dict[str, Any] = {
        "Label": label,
        "ProgramArguments": command,
        "StartCalendarInterval": when,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    path = home / "Library" / "LaunchAgents" / f"{label}.plist"
    text = plistlib.dumps(agent)
    commands = (("launchctl", "unload", str(path)), ("launchctl", "load", "-w", str(path)))
    shown = f"<!-- {path} -->\n{text.decode()}\n<!-- then: {shlex.join(commands[1])} -->\n"
    return Schedule("launchd", label, shown, {path: text}, commands)


# --- Windows


def _schtasks(period: str, command: list[str], name: str, minute: int, _home: Path) -> Schedule:
    if any("%" in word for word in command):
        raise UsageError("The Task Scheduler replaces % in commands.", remedy="Use a folder without % in its name.")
    task = subprocess.list2cmdline(command)
    if len(task) > _MAX_TASK:
        raise UsageError(
            f"The command of the task has {len(task)} characters; {_MAX_TASK} are possible.",
            remedy="Use a folder with a shorter path.",
        )
    when = {"daily": (), "weekly": ("/D", "MON"), "monthly": ("/D", str(_DAY_OF_MONTH))}[period]
    create = (
        *("schtasks", "/Create", "/F", "/TN", name, "/SC", period.upper(), *when),
        *("/ST", f"{_HOUR:02}:{minute:02}", "/TR", task),
    )
    shown = subprocess.list2cmdline(create)
    if set(task) & _CMD_CHARACTERS:
        shown = (
            f"REM cmd.exe would interpret characters of this path; --install creates the task without it\nREM {shown}"
        )
    return Schedule("schtasks", name, f"{shown}\n", commands=(create,))


def _run(command: Sequence[str], *, text: str | None = None, must_succeed: bool = True) -> str:
    """Run a program of the system, and return what it prints. Raises Era5Error."""
    shown = shlex.join(command)
    given = None if text is None else text.encode("utf-8", "surrogateescape")
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        if isinstance(error, FileNotFoundError):
            error = FileNotFoundError(f"there is no program {command[0]}")
        raise Era5Error(
            f"The schedule is not installed: {shown}: {error}", remedy="Without --install it is printed instead."
        ) from error
    if done.returncode and must_succeed:
        said = done.stderr.decode(errors="replace").strip()[:500]
        raise Era5Error(
            f"The schedule is not installed: {shown} failed: {said}",
            remedy="Without --install it is printed instead.",
        )
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else ""
