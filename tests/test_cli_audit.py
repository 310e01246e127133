"""Tests of the command `audit`: exit codes, records, the table, and lists of what lacks."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest

import era5dl
from era5dl.planner import read_keys
from era5dl.subset.selection import Area, Subset
from tests.archive_samples import keys_of, make_session, plan_for, write_file
from tests.command_line import Command

FIRST, LAST = date(2020, 1, 1), date(2020, 4, 30)
T2 = keys_of("an.sfc/2t", FIRST, LAST)


@pytest.fixture
def command(tmp_path_factory, monkeypatch) -> Command:
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(state))
    return Command("http://127.0.0.1:9", state)


def test_archive_with_gaps(command, tmp_path):
    folder, table, gaps = tmp_path / "era5", tmp_path / "all.csv", tmp_path / "gaps.txt"
    make_session(folder, plan_for(["2t"], FIRST, LAST, missing={T2[3]: "absent"}), verified=[0, 1, 2])
    (folder / T2[1]).unlink()
    (folder / T2[2]).write_bytes(b"short")
    done = command("audit", folder, "--csv", table, "--gaps", gaps, "--json")
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    found = {one["key"]: one["state"] for one in records if one["event"] == "audited"}
    assert found == dict(zip(T2, ["proven", "missing", "truncated", "missing-upstream"], strict=True))
    months = {one["month"]: one["states"] for one in records if one["event"] == "audited-month"}
    assert months["202002"] == {"missing": 1}
    summary = next(one for one in records if one["event"] == "audit-summary")
    assert (summary["complete"], summary["files"], summary["states"]["truncated"]) == (False, 4, 1)
    assert records[-1]["event"] == "end"
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8-sig"))))
    assert [(row["month"], row["state"]) for row in rows][1] == ("2020-02", "missing")
    assert read_keys(gaps.read_bytes()) == T2[1:3]
    text = command("audit", folder)
    assert "missing: an.sfc/2t, 2020-02: it was complete, and is gone" in text.stdout
    assert "1 proven, 1 missing-upstream, 1 missing, 1 truncated" in text.stderr
    assert command("audit", folder, "--end", "2020-01-31", "--start", "2020-01-01").returncode == 0
    assert command("audit", folder, "--variable", "2t", "--years", "2020", "--months", "1").returncode == 0
    assert not era5dl.audit(folder).is_complete


def test_gaps_of_parts_have_a_list_of_their_own(command, tmp_path):
    folder, gaps = tmp_path / "era 5", tmp_path / "gaps.txt"
    part = Subset(hours=(0, 12), area=Area(-5, -70, -30, -40))
    make_session(folder, plan_for(["2t"], FIRST, date(2020, 2, 29), part), verified=[0])
    make_session(folder, plan_for(["msl"], FIRST, date(2020, 1, 31)))
    done = command("audit", folder, "--gaps", gaps)
    assert done.returncode == 1
    assert f"era5dl download --keys-file {gaps} --out '{folder}'" in done.stderr
    second = tmp_path / "gaps-2.txt"
    assert f"{second} --out '{folder}' --hours 0,12 --area=-5/-70/-30/-40" in done.stderr
    assert read_keys(second.read_bytes()) == [T2[1]]


def test_wrong_usage(command, tmp_path):
    assert command("audit", tmp_path / "none").returncode == 3
    empty = command("audit", tmp_path)
    assert empty.returncode == 2
    assert "no ERA5 files" in empty.stderr
    write_file(tmp_path, T2[0])
    assert command("audit", tmp_path).returncode == 0
    assert command("audit", tmp_path, "--hours", "0", "--variable", "2t").returncode == 2
    assert command("audit", tmp_path, "--variable", "nonsense").returncode == 2
