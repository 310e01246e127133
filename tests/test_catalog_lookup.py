"""Tests of the search for products and variables by all their names."""

from __future__ import annotations

import pytest

from era5dl.catalog import (
    derived_variables,
    find_derived,
    find_preset,
    find_product,
    find_variable,
    find_variables,
    presets,
    products,
    search,
    variables,
)
from era5dl.catalog.lookup import _spellings, _variable_names, normalize
from era5dl.errors import AmbiguousName, UnknownName


@pytest.mark.parametrize(
    "name",
    [
        "2t",
        "2T",
        "t2m",
        "T2M",
        "2m_temperature",
        "2m-temperature",
        "2m temperature",
        "2 metre temperature",
        "2 meter temperature",
        "VAR_2T",
        "var_2t",
        "128_167_2t",
        "128_167",
        "167.128",
        "167",
        "an.sfc/2t",
        "AN.SFC/2t",
        "sfc/t2m",
        "e5.oper.an.sfc/2t",
        "e5.oper.an.sfc/VAR_2T",
        "  2t  ",
        "e5.oper.an.sfc/202002/e5.oper.an.sfc.128_167_2t.ll025sc.2020020100_2020022923.nc",
    ],
)
def test_all_names_of_2_metre_temperature(name):
    assert find_variable(name).name == "an.sfc/2t"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("t", "an.pl/t"),
        ("temperature", "an.pl/t"),
        ("u_component_of_wind", "an.pl/u"),
        ("sst", "an.sfc/sstk"),
        ("sea_surface_temperature", "an.sfc/sstk"),
        ("d2m", "an.sfc/2d"),
        ("u10", "an.sfc/10u"),
        ("v10", "an.sfc/10v"),
        ("10m_u_component_of_wind", "an.sfc/10u"),
        ("10m_u-component_of_wind", "an.sfc/10u"),
        ("u100", "an.sfc/100u"),
        ("228246", "an.sfc/100u"),
        ("siconc", "an.sfc/ci"),
        ("sea_ice_cover", "an.sfc/ci"),
        ("lai_hv", "an.sfc/laihv"),
        ("volumetric_soil_water_layer_1", "an.sfc/swvl1"),
        ("swvl4", "an.sfc/swvl4"),
        ("mean_sea_level_pressure", "an.sfc/msl"),
        ("p71.162", "an.vinteg/viwve"),
        ("vimdf", "an.vinteg/viwvd"),
        ("avg_tprate", "fc.sfc.meanflux/mtpr"),
        ("mean_total_precipitation_rate", "fc.sfc.meanflux/mtpr"),
        ("fg10", "fc.sfc.minmax/10fg"),
        ("i10fg", "fc.sfc.instan/i10fg"),
        ("deg01", "fc.sfc.instan/deg0l"),
        ("total column water vapor", "an.sfc/tcwv"),
        ("orography", "invariant/z"),
        ("235", "an.sfc/skt"),
        ("235_055_mtpr", "fc.sfc.meanflux/mtpr"),
    ],
)
def test_names_of_other_archives_are_found(name, meant):
    assert find_variable(name).name == meant


def test_every_variable_is_found_by_all_its_names():
    for variable in variables():
        assert find_variable(variable.name) == variable
        assert find_variable(f"{variable.product.prefix}/{variable.code}") == variable
        for spelling in _spellings(variable):
            assert variable in _variable_names()[normalize(spelling)]
            assert find_variable(spelling, variable.product) == variable


def test_only_numbers_and_surface_geopotential_are_ambiguous():
    words = {name for name, found in _variable_names().items() if len(found) > 1 and not name.isdigit()}
    assert words == {"z", "geopotential", "128129z", "p129128"}


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("z", ("an.pl/z", "invariant/z")),
        ("geopotential", ("an.pl/z", "invariant/z")),
        ("246", ("an.pl/clwc", "an.sfc/100u")),
        ("247", ("an.pl/ciwc", "an.sfc/100v")),
    ],
)
def test_an_ambiguous_name_is_refused_with_the_full_names(name, candidates):
    with pytest.raises(AmbiguousName) as caught:
        find_variable(name)
    assert caught.value.candidates == candidates
    assert all(candidate in caught.value.remedy for candidate in candidates)
    for candidate in candidates:
        assert find_variable(candidate).name == candidate


def test_a_product_resolves_an_ambiguous_name():
    assert find_variable("z", find_product("invariant")).name == "invariant/z"
    assert find_variable("z", find_product("an.pl")).name == "an.pl/z"
    assert find_variable("246", find_product("an.sfc")).name == "an.sfc/100u"


@pytest.mark.parametrize("name", ["an.pl/2t", "pl/t2m"])
def test_a_variable_of_another_product_is_suggested(name):
    with pytest.raises(UnknownName, match=r"an\.pl has no variable") as caught:
        find_variable(name)
    assert caught.value.candidates == ("an.sfc/2t",)
    with pytest.raises(UnknownName):
        find_variable("2t", find_product("an.pl"))
    with pytest.raises(UnknownName, match=r"not in an\.pl"):
        find_variable("an.sfc/2t", find_product("an.pl"))


@pytest.mark.parametrize(
    ("name", "instead", "hint"),
    [
        ("tp", "fc.sfc.accumu/lsp", "lsp and cp"),
        ("total_precipitation", "fc.sfc.accumu/cp", "mtpr"),
        ("an.sfc/tp", "fc.sfc.meanflux/mtpr", "3.6"),
        ("tcslw", "an.sfc/tclw", "tclw"),
        ("200u", "an.sfc/100u", "interpolate"),
        ("200v", "an.sfc/100v", "interpolate"),
        ("cin", "an.sfc/cape", "Climate Data Store"),
        ("kx", "an.pl/t", "Climate Data Store"),
        ("ptype", "fc.sfc.accumu/sf", "Climate Data Store"),
        ("lmlt", "an.sfc/ltlt", "ltlt"),
        ("lmld", "an.sfc/ltlt", "Climate Data Store"),
        ("10si", "an.sfc/10u", "sqrt"),
    ],
)
def test_an_absent_variable_is_refused_with_alternatives(name, instead, hint):
    with pytest.raises(UnknownName, match="not in this bucket") as caught:
        find_variable(name)
    assert instead in caught.value.candidates
    assert hint in caught.value.remedy


@pytest.mark.parametrize("name", ["swh", "mwp", "mwd", "pp1d", "significant_height_of_combined_wind_waves_and_swell"])
def test_wave_variables_are_refused_with_an_explanation(name):
    with pytest.raises(UnknownName) as caught:
        find_variable(name)
    assert "waves" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "meant"), [("z500", "an.pl/z"), ("T850", "an.pl/t"), ("u_250", "an.pl/u"), ("o3500", "an.pl/o3")]
)
def test_a_variable_on_one_level_is_refused_with_the_variable(name, meant):
    with pytest.raises(UnknownName) as caught:
        find_variable(name)
    assert caught.value.candidates == (meant,)
    assert "one file" in caught.value.remedy


def test_a_mistyped_name_is_refused_with_similar_names():
    with pytest.raises(UnknownName) as caught:
        find_variable("2m_temperatur")
    assert caught.value.candidates[0] == "an.sfc/2t"
    assert "an.sfc/2t" in caught.value.remedy
    with pytest.raises(UnknownName) as caught:
        find_variable("tempratur", find_product("an.pl"))
    assert caught.value.candidates == ("an.pl/t",)


@pytest.mark.parametrize("name", ["", " ", "/", "qqqqqq", "ß", "温度", "2t/"])
def test_a_name_similar_to_none_has_no_suggestions(name):
    with pytest.raises(UnknownName):
        find_variable(name)


@pytest.mark.parametrize("product", products(), ids=str)
def test_products_are_found_by_all_their_names(product):
    last = product.name.rpartition(".")[2]
    for name in (product.prefix, product.name, product.name.upper(), product.name.replace(".", "_"), last):
        assert find_product(name) == product


def test_an_unknown_product_lists_them():
    with pytest.raises(UnknownName) as caught:
        find_product("an.ml")
    assert "an.pl" in caught.value.candidates
    assert "invariant" in caught.value.remedy


def test_search():
    assert [v.name for v in search("soil temperature")] == [f"an.sfc/stl{n}" for n in (1, 2, 3, 4)]
    assert {v.name for v in search("2m temperature")} == {
        "an.sfc/2t",
        "an.sfc/2d",
        "fc.sfc.minmax/mx2t",
        "fc.sfc.minmax/mn2t",
    }
    assert search("t2m")[0].name == "an.sfc/2t"
    assert search("t")[0].name == "an.pl/t"
    assert search("e")[0].name == "fc.sfc.accumu/e", "what is named exactly comes before es and ewss"
    assert len(search()) == 224
    assert {v.product.name for v in search("wind", find_product("an.sfc"))} == {"an.sfc"}
    assert search("no such thing") == ()


def test_presets():
    sizes = {p.name: len(p.variables) for p in presets()}
    assert sizes == {
        "wrf": 26,
        "graphcast": 15,
        "pangu": 9,
        "fourcastnet": 11,
        "fourcastnet-26": 13,
        "fuxi": 11,
        "fengwu": 9,
        "aurora": 12,
        "sfno": 13,
        "fcn3": 12,
    }
    for preset in presets():
        assert preset.description
        assert len(set(preset.variables)) == len(preset.variables)
        if any(v.short == "lsp" for v in preset.variables):
            assert "lsp + cp" in preset.note


def test_the_wrf_preset_has_exactly_these_variables():
    expected = "z q t u v sstk skt swvl1 swvl2 swvl3 swvl4 stl1 stl2 stl3 stl4 ci 2t 2d 10u 10v rsn sd msl sp z lsm"
    assert [v.short for v in find_preset("WRF").variables] == expected.split()


def test_an_unknown_preset_lists_them():
    assert find_preset("FourCastNet 26").name == "fourcastnet-26"
    with pytest.raises(UnknownName) as caught:
        find_preset("grafcast")
    assert caught.value.candidates == ("graphcast",)
    assert "pangu" in caught.value.remedy


@pytest.mark.parametrize("name", ["tp", "total_precipitation", "Total precipitation", "fc.sfc.accumu/tp"])
def test_total_precipitation_is_computed_from_two_variables(name):
    derived = find_derived(name)
    assert derived is not None
    assert [source.name for source in derived.sources] == ["fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"]
    assert (derived.units, derived.compute([0.25, 0.5])) == ("m", 0.75)
    assert find_variables(name) == derived.sources
    assert find_derived(name, find_product("an.pl")) is None


def test_units_and_formulas_of_derived_variables():
    by_name = {derived.short: derived for derived in derived_variables()}
    assert by_name["orog"].compute([9.80665]) == pytest.approx(1.0)
    assert by_name["10si"].compute([3.0, 4.0]) == 5.0
    for derived in derived_variables():
        assert {source.product for source in derived.sources} == {derived.product}
        assert all(source.short in derived.formula for source in derived.sources)
        with pytest.raises(ValueError, match="is computed from"):
            derived.compute([1.0] * 3)


def test_other_names_are_not_derived():
    assert find_derived("2t") is None
    assert find_derived("an.sfc/tp") is None
    with pytest.raises(UnknownName):
        find_derived("nowhere/tp")


def test_a_derived_name_finds_its_sources():
    assert {v.name for v in search("total precipitation")} >= {"fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"}
    assert {v.short for v in search("tp", find_product("fc.sfc.accumu"))} == {"lsp", "cp"}
