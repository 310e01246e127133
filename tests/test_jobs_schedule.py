"""Tests of schedules: the texts for systemd, cron, launchd and the Windows Task Scheduler, with unusual paths."""

from __future__ import annotations

import plistlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from era5dl.errors import Era5Error, UsageError
from era5dl.jobs import schedule
from era5dl.jobs.schedule import Schedule, install, make_schedule

FOLDER = "/data/my era5/100 % \"R&D\" $HOME\\x 'é'"
COMMAND = ["/usr/bin/python3", "-m", "era5dl", "update", "--quiet", "--", FOLDER]


def made(system: str, home: Path, period: str = "monthly") -> Schedule:
    return make_schedule(period, COMMAND, Path(FOLDER), system, home)


def test_systemd_units_quote_the_command(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    found = made("systemd", tmp_path)
    service, timer = (text.decode() for text in found.files.values())
    assert [path.suffix for path in found.files] == [".service", ".timer"]
    assert all(path.parent == tmp_path / ".config/systemd/user" for path in found.files)
    line = re.search(r"^ExecStart=(.*)$", service, re.M)[1]
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
    assert [word.replace("%%", "%").replace("$$", "$") for word in words] == COMMAND
    assert re.search(r"^OnCalendar=\*-\*-08 03:\d\d:00$", timer, re.M) and "Persistent=true" in timer
    assert found.commands[-1] == ("systemctl", "--user", "enable", "--now", f"{found.name}.timer")
    assert "OnCalendar=Mon *-*-* 03" in made("systemd", tmp_path, "weekly").text


def test_crontab_line_reaches_the_shell_as_it_is(tmp_path):
    line = made("cron", tmp_path).crontab
    minute, hour, day, month, weekday, command = line.split(" ", 5)
    assert (hour, day, month, weekday) == ("3", "8", "*", "*") and 0 <= int(minute) < 60
    assert not re.search(r"(?<!\\)%", command), "cron replaces % by a newline"
    assert shlex.split(command.replace("\\%", "%"), comments=True) == COMMAND


def test_launchd_agent_is_a_property_list(tmp_path):
    found = made("launchd", tmp_path, "weekly")
    ((path, text),) = found.files.items()
    agent = plistlib.loads(text)
    assert agent["ProgramArguments"] == COMMAND
    assert agent["StartCalendarInterval"].keys() == {"Hour", "Minute", "Weekday"}
    assert path == tmp_path / "Library/LaunchAgents" / f"{agent['Label']}.plist"


def test_windows_task_quotes_the_command_twice(tmp_path):
    command = [r"C:\Program Files\Python\python.exe", "-m", "era5dl", "update", "--", r"D:\my data" + "\\"]
    found = make_schedule("monthly", command, Path("D:/my data"), "schtasks", tmp_path)
    (create,) = found.commands
    assert create[:5] == ("schtasks", "/Create", "/F", "/TN", found.name)
    assert create[create.index("/D") + 1] == "8"
    expected = r'"C:\Program Files\Python\python.exe" -m era5dl update -- "D:\my data\\"'
    assert create[create.index("/TR") + 1] == expected
    within = r"\"C:\Program Files\Python\python.exe\" -m era5dl update -- \"D:\my data\\\\\""
    assert found.text.strip().endswith(f'/TR "{within}"')
    for wrong in (r"D:\100 %", "D:\\" + 300 * "x"):
        with pytest.raises(UsageError):
            make_schedule("daily", [*command[:-1], wrong], Path(wrong), "schtasks", tmp_path)
    assert "--install" in make_schedule("daily", ["x", "R&D"], Path("R&D"), "schtasks", tmp_path).text


def test_control_characters_are_refused(tmp_path):
    for system in ("systemd", "cron", "launchd", "schtasks"):
        with pytest.raises(UsageError, match="control"):
            make_schedule("daily", ["x", "a\nb"], tmp_path, system, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="programs are shell scripts")
def test_installed_crontab_keeps_other_lines_and_replaces_the_own_one(tmp_path, monkeypatch):
    table = tmp_path / "table"
    program = tmp_path / "crontab"
    program.write_text(f'#!/bin/sh\nif [ "$1" = -l ]; then cat {table}; else cat > {table}; fi\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    table.write_text("0 1 * * * other\n")
    for period in ("daily", "monthly"):
        install(made("cron", tmp_path, period))
    assert table.read_text() == f"0 1 * * * other\n{made('cron', tmp_path).crontab}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="programs are shell scripts")
def test_installed_units_are_written_and_a_failure_is_reported(tmp_path, monkeypatch):
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    found = made("systemd", tmp_path)
    with pytest.raises(Era5Error, match="no bus"):
        install(found)
    assert all(path.read_bytes() == text for path, text in found.files.items())
    monkeypatch.setattr(schedule, "_TIMEOUT", 0.2)
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    with pytest.raises(Era5Error, match="timed out"):
        install(found)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    with pytest.raises(Era5Error, match="no program systemctl"):
        install(found)
