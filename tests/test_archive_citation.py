"""Tests of the citation: references for what the folder has, days of access, and valid BibTeX."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from era5dl.archive.citation import cite_folder, to_bibtex, to_text
from tests.archive_samples import keys_of, make_session, plan_for, write_file
from tests.command_line import Command

FIRST, LAST = date(2020, 1, 1), date(2020, 2, 29)


@pytest.fixture
def command(tmp_path_factory, monkeypatch) -> Command:
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(state))
    return Command("http://127.0.0.1:9", state)


def test_references_are_those_of_the_data_in_the_folder(command, tmp_path):
    make_session(tmp_path, plan_for(["2t"], FIRST, LAST), verified=[0, 1])
    citation = cite_folder(tmp_path)
    assert [one.id for one in citation.references] == ["era5_ncar", "era5_single_levels", "era5_paper"]
    text = to_text(citation)
    today = date.today()
    for part in (
        "2 metre temperature (an.sfc/2t), 2020-01-01 to 2020-02-29; 2 files",
        "https://doi.org/10.5065/BH6N-5N20",
        f"Accessed {today}" if citation.accessed and citation.accessed[1] == today else "Accessed",
        "Contains modified Copernicus Climate Change Service information 20",
        "CC BY 4.0",
        "https://doi.org/10.1002/qj.3803",
    ):
        assert part in text
    assert "10.24381/cds.bd0915c6" not in text
    write_file(tmp_path, keys_of("an.pl/t", FIRST, FIRST)[0])
    done = command("cite", tmp_path, "--format", "json")
    assert [one["doi"] for one in json.loads(done.stdout)["references"]][2] == "10.24381/cds.bd0915c6"
    assert json.loads(command("cite", tmp_path, "--json").stdout.splitlines()[0])["bibtex"]


def test_bibtex_is_ascii_with_balanced_braces(command, tmp_path):
    write_file(tmp_path, keys_of("2t", FIRST, FIRST)[0])
    text = to_bibtex(cite_folder(tmp_path))
    assert text.isascii()
    assert text.count("{") == text.count("}")
    assert re.findall(r"^@(\w+)\{(\w+),$", text, re.MULTILINE) == [
        ("misc", "era5_ncar"),
        ("misc", "era5_single_levels"),
        ("article", "era5_paper"),
    ]
    assert "author = {Hersbach, H. and Bell, B. and Berrisford, P. and others}" in text
    assert "author = {{European Centre for Medium-Range Weather Forecasts}}" in text
    assert "pages = {1999--2049}" in text
    assert command("cite", tmp_path, "--format", "bibtex").stdout.strip() == text.strip()
    (tmp_path / keys_of("2t", FIRST, FIRST)[0]).unlink()
    assert command("cite", tmp_path).returncode == 2
