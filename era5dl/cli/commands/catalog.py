"""Commands `products` and `variables`: list the catalogue. They send no requests."""

from __future__ import annotations

import argparse

from era5dl import catalog
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output, table
from era5dl.formatting import format_count

_FILE_PERIODS = {"day": "day", "month": "month", "half month": "half month", "fixed": "-"}


def products(_arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print a line per product."""
    variable_counts = {product: len(catalog.search(product=product)) for product in catalog.products()}
    for product, number in variable_counts.items():
        output.record(
            "product",
            product=product.prefix,
            title=product.description,
            period=product.cadence.value,
            variables=number,
        )
    rows = [
        (product.name, str(number), _FILE_PERIODS[product.cadence.value], product.description)
        for product, number in variable_counts.items()
    ]
    output.results(table(rows, head=("PRODUCT", "VARIABLES", "FILE PER", "DESCRIPTION"), right=(1,)))
    return ExitCode.OK


def variables(arguments: argparse.Namespace, output: Output, _interrupts: Interrupts) -> int:
    """Print a line per variable that matches TEXT; exact matches come first."""
    product = catalog.find_product(arguments.product) if arguments.product else None
    found = catalog.search(arguments.text, product)
    for variable in found:
        output.record(
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
        output.results(table(rows, head=("VARIABLE", "CODE", "UNITS", "LEVELS", "NAME"), right=(3,)))
    for derived in catalog.derived_among([arguments.text]):
        output.info(f"{derived.short} ({derived.long_name}) is computed: {derived}")
    matching = f" matching “{arguments.text}”" if arguments.text else ""
    output.info(f"{format_count(len(found), 'variable')}{matching}")
    return ExitCode.OK
