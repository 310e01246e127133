"""Tests of `plan --export`: the exported files are run by sh, Python, and the tools that are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import UsageError
from era5dl.planner import Plan
from era5dl.planner.export import TOOLS, export_plan
from era5dl.settings import Settings
from tests.command_line import Command
from tests.faultlab import FaultServer, pseudo_random
from tests.runs import wrong_files
from tests.servers.seaweed import Seaweed

KEYS = ("e5.oper.an.pl/202102/a.nc", 'odd/it\'s $(touch pwned) `x` "q" & <ö> #1 %41.nc', "odd/-n *.nc")


def job(*keys: str, etag: str = '"900150983cd24fb0d6963f7d28e17f72"') -> Plan:
    return Plan({"keys": "0" * 64, "count": len(keys)}, tuple(ObjectInfo(key, 3, etag) for key in keys))


def test_every_export_names_each_object_its_server_and_how_to_run_it() -> None:
    for tool in TOOLS:
        amazon = export_plan(job("a/b.nc"), tool, Settings())
        other = export_plan(job("a/b.nc"), tool, Settings(endpoint_url="http://127.0.0.1:9000", bucket="era5"))
        assert "a/b.nc" in amazon and "Run in the download folder" in amazon
        assert "127.0.0.1" not in amazon and "http://127.0.0.1:9000" in other, tool
    assert "--no-sign-request" in export_plan(job("a"), "aws", Settings())
    assert "checksum=md5=900150983cd24fb0d6963f7d28e17f72" in export_plan(job("a"), "aria2", Settings())
    assert "https://nsf-ncar-era5.s3.us-west-2.amazonaws.com/a%20b%2B.nc\n  out=a b+.nc" in export_plan(
        job("a b+.nc"), "aria2", Settings()
    )
    multipart = export_plan(job("a", etag='"900150983cd24fb0d6963f7d28e17f72-3"'), "aria2", Settings())
    assert "checksum" not in multipart and "If-Match" in multipart, "the ETag of a multipart upload is no MD5"
    assert "checksum" not in export_plan(job("a"), "aria2", Settings(opaque_etags=True))


@pytest.mark.parametrize("key", ["../out.nc", "/etc/passwd", "a/../../b", "a\nb", "a\x1b[31m.nc", ".era5dl/x"])
def test_keys_that_are_no_file_below_the_folder_are_refused(key: str) -> None:
    for tool in TOOLS:
        with pytest.raises(UsageError):
            export_plan(job(key), tool, Settings())


def test_unknown_tools_and_flat_folders_are_refused() -> None:
    with pytest.raises(UsageError, match="no export for"):
        export_plan(job("a"), "curl", Settings())
    with pytest.raises(UsageError, match="folders"):
        export_plan(job("a"), "wget", Settings(flat=True))


def test_the_python_script_downloads_continues_and_verifies(fault_server: FaultServer, tmp_path: Path) -> None:
    objects = {key: pseudo_random(key, 300_000) for key in KEYS}
    for key, data in objects.items():
        fault_server.put(key, data)
    keys, script, out = tmp_path / "keys.txt", tmp_path / "get.py", tmp_path / "out"
    keys.write_text("\n".join(objects), encoding="utf-8")
    assert _export(fault_server, "python", keys, script) == 0
    out.mkdir()
    partial = out / (KEYS[0] + ".partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(objects[KEYS[0]][:100_000])
    subprocess.run([sys.executable, str(script)], cwd=out, check=True, capture_output=True, timeout=60)
    assert wrong_files(out, objects) == [] and not list(out.rglob("*.partial"))
    assert not list(tmp_path.rglob("pwned"))

    partial.write_bytes(bytes(300_000))
    (out / KEYS[0]).unlink()
    again = subprocess.run([sys.executable, str(script)], cwd=out, check=True, capture_output=True, timeout=60)
    assert wrong_files(out, objects) == [], again.stdout


def test_a_subset_is_exported_as_whole_files_and_said_so(fault_server: FaultServer, tmp_path: Path) -> None:
    key = "e5.oper.an.pl/202102/e5.oper.an.pl.128_130_t.ll025sc.2021020100_2021020123.nc"
    fault_server.put(key, b"abc")
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{key}\nmissing.nc\n")
    command = Command(fault_server.endpoint_url, tmp_path / "state")
    line = ("plan", "--keys-file", keys, "--hours", "0", "--bucket", fault_server.bucket)
    shown = command(*line, "--export", "wget", "--json")
    records = {record["event"]: record for record in map(json.loads, shown.stdout.splitlines())}
    export = records["export"]
    assert shown.returncode == 1 and records["missing"]["key"] == "missing.nc"
    assert (export["files"], export["bytes"], export["with_md5"], export["whole_files"]) == (1, 3, 1, True)
    assert "Whole files: this tool cannot fetch the subset" in export["text"]
    assert "whole files are exported" in shown.stderr
    assert command(*line, "--export", "wget").stdout == export["text"]
    assert command(*line, "--export", "wget", "--out", tmp_path).returncode == 2, "the folder is no file"


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["s5cmd", "aria2", "rclone", "aws", "wget"])
def test_the_tools_download_what_was_exported(seaweed: Seaweed, tmp_path: Path, tool: str) -> None:
    if shutil.which({"aria2": "aria2c"}.get(tool, tool), path=_path()) is None:
        pytest.skip(f"{tool} is not installed")
    seaweed.clear()
    objects = {key: pseudo_random(key, 200_000) for key in KEYS}
    for key, data in objects.items():
        seaweed.put(key, data)
    keys, file, out = tmp_path / "keys.txt", tmp_path / "job", tmp_path / "out"
    keys.write_text("\n".join(objects), encoding="utf-8")
    assert _export(seaweed, tool, keys, file) == 0
    out.mkdir()
    command = {
        "s5cmd": ["s5cmd", "--no-sign-request", "--endpoint-url", seaweed.endpoint_url, "run", str(file)],
        "aria2": ["aria2c", f"--input-file={file}", "--continue=true", "--check-integrity=true"],
    }.get(tool, ["sh", str(file)])
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {"PATH": _path()}
    for _time in range(2):  # the second run finds everything complete
        done = subprocess.run(command, cwd=out, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert wrong_files(out, objects) == [], done.stdout + done.stderr
    assert not list(tmp_path.rglob("pwned"))


def _export(server: FaultServer | Seaweed, tool: str, keys: Path, file: Path) -> int:
    command = Command(server.endpoint_url, file.parent / "state")
    return command("plan", "--keys-file", keys, "--export", tool, "--out", file, "--bucket", server.bucket).returncode


def _path() -> str:
    """PATH, with the folder of this Python in front, and that of ERA5DL_TOOLS, where tools may be installed apart."""
    extra = [str(Path(sys.executable).parent), os.environ.get("ERA5DL_TOOLS", "")]
    return os.pathsep.join([*filter(None, extra), os.environ.get("PATH", "")])
