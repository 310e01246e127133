"""What is in NSF NCAR's ERA5 bucket: products, variables, and how the key of every file follows from them.

The facts are data (`data/`, with their public sources in `data/SOURCES.md`), read on first use. A key made here is a
prediction; the bucket's listing has the last word (`era5dl.planner`).
"""

from era5dl.catalog.keys import Key, Period, key_of, parse_key, period_of, periods
from era5dl.catalog.lookup import find_product, find_variable, search
from era5dl.catalog.presets import Preset, find_preset, presets
from era5dl.catalog.products import Cadence, Product, products
from era5dl.catalog.variables import Variable, variables

__all__ = [
    "Cadence",
    "Key",
    "Period",
    "Preset",
    "Product",
    "Variable",
    "find_preset",
    "find_product",
    "find_variable",
    "key_of",
    "parse_key",
    "period_of",
    "periods",
    "presets",
    "products",
    "search",
    "variables",
]
