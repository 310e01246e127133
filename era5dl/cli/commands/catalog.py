"""products, variables: the catalogue on the screen. Asks no server."""

from __future__ import annotations

import argparse

from era5dl import catalog
from era5dl.cli import FINE
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Voice, table
from era5dl.formatting import format_count

_PERIODS = {"day": "day", "month": "month", "half month": "half month", "fixed": "-"}


def products(_arguments: argparse.Namespace, voice: Voice, _interrupts: Interrupts) -> int:
    """One line a product."""
    sizes = {product: len(catalog.search(product=product)) for product in catalog.products()}
    for product, number in sizes.items():
        voice.record(
            "product",
            product=product.prefix,
            title=product.description,
            period=product.cadence.value,
            variables=number,
        )
    rows = [
        (product.name, str(number), _PERIODS[product.cadence.value], product.description)
        for product, number in sizes.items()
    ]
    voice.results(table(rows, head=("PRODUCT", "VARIABLES", "FILE PER", "WHAT"), right=(1,)))
    return FINE


def variables(arguments: argparse.Namespace, voice: Voice, _interrupts: Interrupts) -> int:
    """One line a variable, those that TEXT names exactly first."""
    product = catalog.find_product(arguments.product) if arguments.product else None
    found = catalog.search(arguments.text, product)
    for variable in found:
        voice.record(
            "variable",
            product=variable.product.prefix,
            variable=variable.code,
            short_name=variable.short,
            long_name=variable.long_name,
            units=variable.units,
            levels=variable.levels,
            confidence=variable.confidence,
        )
    rows = [(v.name, v.code, v.units, str(v.levels), v.long_name) for v in found]
    if rows:
        voice.results(table(rows, head=("VARIABLE", "CODE", "UNITS", "LEVELS", "NAME"), right=(3,)))
    voice.say(f"{format_count(len(found), 'variable')}" + (f" with “{arguments.text}”" if arguments.text else ""))
    return FINE
