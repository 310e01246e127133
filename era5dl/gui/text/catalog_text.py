"""Texts for the catalogue: names and descriptions of products, variables and presets. No Tk in here."""

from __future__ import annotations

from era5dl.catalog import Cadence, Preset, Product, Variable, products
from era5dl.gui.text.i18n import LANGUAGES, N_, Term, translate

_PRODUCTS = {
    "an.pl": Term(N_("Pressure levels"), N_("Analysis on 37 pressure levels from 1000 to 1 hPa, hourly.")),
    "an.sfc": Term(N_("Surface"), N_("Analysis at the surface and on single levels, hourly.")),
    "an.vinteg": Term(N_("Vertical integrals"), N_("Column totals, energy and water vapour fluxes, hourly.")),
    "fc.sfc.accumu": Term(
        N_("Accumulations"), N_("Precipitation, radiation, runoff: hourly sums from short forecasts.")
    ),
    "fc.sfc.instan": Term(
        N_("Instantaneous forecasts"), N_("Gusts, rain rates, cloud base: hourly values from short forecasts.")
    ),
    "fc.sfc.meanflux": Term(N_("Mean rates and fluxes"), N_("Hourly means in W/m² or kg/m²/s, from short forecasts.")),
    "fc.sfc.minmax": Term(
        N_("Minima and maxima"), N_("Hourly minima and maxima, including gusts, from short forecasts.")
    ),
    "invariant": Term(
        N_("Invariant fields"), N_("Orography, land-sea mask, vegetation, soil and lakes: one file for all dates.")
    ),
}

_CADENCES = {
    Cadence.DAY: N_("one file per day"),
    Cadence.MONTH: N_("one file per month"),
    Cadence.HALF_MONTH: N_("two files per month"),
    Cadence.FIXED: N_("one file for all dates"),
}


def product(of: Product) -> Term:
    """Return the name of a product and a line that describes it."""
    return _PRODUCTS[of.name].translated()


def folder_name(folder: str) -> str:
    """Return the name of the product whose files are in this folder of the bucket; an unknown folder as it is."""
    known = next((one for one in products() if one.prefix == folder), None)
    return product(known).name if known else folder


def cadence(of: Cadence) -> str:
    """Return how a product is divided into files: "one file per day"."""
    return translate(_CADENCES[of])


def variable(of: Variable) -> str:
    """Return the long name of a variable in the window's language."""
    return translate(of.long_name, context="variable")


def variable_names(of: Variable) -> tuple[str, ...]:
    """Return the long name of a variable in all languages, for searching."""
    return tuple(dict.fromkeys(translate(of.long_name, context="variable", language=known) for known in LANGUAGES))


def preset(of: Preset) -> Term:
    """Return the purpose of a preset, and a note about it (may be empty)."""
    return Term(translate(of.description, context="preset"), of.note and translate(of.note, context="preset"))
