"""Catalogue of NSF NCAR's ERA5 bucket: products, variables, presets, and the object keys of their files.

The catalogue is data: files in `data/`, read on first use, with their public sources in `data/SOURCES.md`. A key built
here is a prediction. `era5dl.planner` compares it with the bucket's listing, which decides.
"""

from era5dl.catalog.derived import DerivedVariable, derived_among, derived_variables, find_derived, find_variables
from era5dl.catalog.keys import KeyParts, Period, key_of, parse_key, period_of, periods
from era5dl.catalog.lookup import find_product, find_variable, search
from era5dl.catalog.presets import Preset, find_preset, presets
from era5dl.catalog.products import Cadence, Product, products
from era5dl.catalog.variables import Variable, variables

__all__ = [
    "Cadence",
    "DerivedVariable",
    "KeyParts",
    "Period",
    "Preset",
    "Product",
    "Variable",
    "derived_among",
    "derived_variables",
    "find_derived",
    "find_preset",
    "find_product",
    "find_variable",
    "find_variables",
    "key_of",
    "parse_key",
    "period_of",
    "periods",
    "presets",
    "products",
    "search",
    "variables",
]
