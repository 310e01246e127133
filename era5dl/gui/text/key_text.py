"""Texts for object keys: variable, period and product of a file, in the language of the window. No Tk in here."""

from __future__ import annotations

from datetime import date

from era5dl.catalog import Variable
from era5dl.catalog.key_names import KeyName, describe_key, is_whole_month, short_name
from era5dl.gui.text import catalog_text
from era5dl.gui.text.i18n import N_, _, translate

MONTHS = (
    *(N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun")),
    *(N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")),
)


def name(key: str) -> str:
    """Return variable and period of a file: "2 m temperature, Feb 2021"; a key that is not of ERA5 as it is."""
    known = describe_key(key)
    if known is None:
        return key
    when = period(known)
    return _("{variable}, {period}", variable=variable(known), period=when) if when else variable(known)


def variable(of: KeyName) -> str:
    """Return the name of the variable: "2 m temperature"."""
    return variable_name(of.variable) if of.variable else of.short


def variable_name(of: Variable) -> str:
    """Return the name of a variable of the catalogue, shortened for rows: "2 m temperature"."""
    return short_name(catalog_text.variable(of))


def product(of: KeyName) -> str:
    """Return the name of the product: "Surface"."""
    return catalog_text.product(of.product).name


def period(of: KeyName) -> str:
    """Return the period: "Feb 2021", "1 to 15 Feb 2021", "1 Feb 2021"; "" for a file that applies to all dates."""
    return "" if of.first is None or of.last is None else days(of.first, of.last)


def days(first: date, last: date) -> str:
    """Return a range of days, first and last included."""
    month = translate(MONTHS[last.month - 1])
    if is_whole_month(first, last):
        return _("{month} {year}", month=month, year=last.year)
    if first == last:
        return _("{day} {month} {year}", day=last.day, month=month, year=last.year)
    if (first.year, first.month) == (last.year, last.month):
        return _("{first} to {last} {month} {year}", first=first.day, last=last.day, month=month, year=last.year)
    return _("{first} to {last}", first=days(first, first), last=days(last, last))
