"""Tests of the catalogue's data: complete and consistent."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from era5dl.catalog import Cadence, find_product, find_variable, presets, products, variables
from era5dl.catalog import data as facts


def test_all_products_and_variables_are_present():
    counts = Counter(v.product.name for v in variables())
    assert counts == {
        "an.pl": 16,
        "an.sfc": 62,
        "an.vinteg": 36,
        "fc.sfc.accumu": 38,
        "fc.sfc.instan": 14,
        "fc.sfc.meanflux": 39,
        "fc.sfc.minmax": 5,
        "invariant": 14,
    }
    assert [p.name for p in products()] == list(counts)
    assert len(variables()) == 224


def test_cadence_of_each_product():
    assert {p.name: p.cadence for p in products()} == {
        "an.pl": Cadence.DAY,
        "an.sfc": Cadence.MONTH,
        "an.vinteg": Cadence.MONTH,
        "fc.sfc.accumu": Cadence.HALF_MONTH,
        "fc.sfc.instan": Cadence.HALF_MONTH,
        "fc.sfc.meanflux": Cadence.HALF_MONTH,
        "fc.sfc.minmax": Cadence.HALF_MONTH,
        "invariant": Cadence.FIXED,
    }


def test_codes_and_short_names_are_unique_within_a_product():
    assert len({(v.product, v.table, v.param) for v in variables()}) == 224
    assert len({v.name for v in variables()}) == 224


def test_only_the_wind_on_pressure_levels_is_on_the_uv_grid():
    assert [v.name for v in variables() if v.grid != "sc"] == ["an.pl/u", "an.pl/v"]
    assert [len(p.levels_hpa) for p in products()] == [37, 0, 0, 0, 0, 0, 0, 0]
    assert {v.name for v in variables() if v.levels == 37} == {v.name for v in variables() if v.product.name == "an.pl"}


def test_names_inside_the_files_follow_the_short_names():
    for v in variables():
        assert v.nc_var == (f"VAR_{v.short.upper()}" if v.short[0].isdigit() else v.short.upper())


def test_skin_temperature_has_parameter_235_in_table_128():
    skt = find_variable("skt")
    assert (skt.table, skt.param) == ("128", "235")
    assert {v.table for v in variables() if v.product == find_product("meanflux")} == {"235"}


def test_every_entry_has_a_known_source():
    legend = Path(facts.__file__).with_name("SOURCES.md").read_text(encoding="utf-8")
    for item in (*variables(), *products(), *presets()):
        assert item.source
    used = {
        word for v in variables() for word in v.source.replace("+", " ").replace("(", " ").split() if word[1:].isdigit()
    }
    used |= {word for p in products() for word in p.source.split(",")}
    assert {word for word in used if word[0] == "S"} <= {w.strip(",") for w in legend.split()}
    assert {v.confidence for v in variables()} == {"high", "medium", "low"}


def test_every_variable_has_a_name_in_the_climate_data_store():
    assert all(v.cds_name for v in variables())
    twice = [name for name, n in Counter(v.cds_name for v in variables()).items() if n > 1]
    assert twice == ["geopotential"]


def test_alternatives_to_absent_variables_exist():
    for row in facts.read_csv("absent.csv"):
        assert row["remedy"]
        for name in row["instead"].split():
            assert find_variable(name).name == name


def test_importing_the_catalogue_reads_no_file():
    code = (
        "import sys; sys.addaudithook(lambda event, args: print(args[0]) if event == 'open' else None);"
        "import era5dl.catalog; assert 'csv' not in sys.modules and 'json' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [line for line in done.stdout.splitlines() if line.endswith((".csv", ".json"))]
