"""Variables and periods of up to 100,000 files as small numbers, for sorting, grouping and searching. No Tk.

Parsing 100,000 keys completely takes most of a second. Here each variable and each pair of time stamps is parsed once,
and every key only split. The search for a word is then a lookup by the number of the variable and of the period.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache

from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog.key_names import KeyName, describe_days, describe_key, short_name
from era5dl.gui.text import catalog_text, i18n, key_text

OTHER = 0  # number of all files that are not of ERA5
_MOST_VARIABLES = 255  # further ones are OTHER; a number fits into a byte
_NO_STAMP = "~"  # sorted after all time stamps


class KeyColumns:
    """variable_of, period_of: the number of the variable and of the period of each file, in the order of the plan.

    variables: the description of one file of each variable, by number, in the order of the plan.
    """

    def __init__(self, objects: Sequence[ObjectInfo]) -> None:
        self.variables: list[KeyName | None] = [None]
        variables: dict[str, int] = {}
        stamps: dict[str, int] = {_NO_STAMP: 0}
        variable_of, period_of = bytearray(len(objects)), [0] * len(objects)
        for index, obj in enumerate(objects):
            front, mark, rest = obj.key.rpartition("/")[2].partition(".ll025")
            if not mark:
                continue
            number = variables.get(front)
            if number is None:
                known = describe_key(obj.key)
                if known is None or len(self.variables) == _MOST_VARIABLES:
                    continue
                number = variables[front] = len(self.variables)
                self.variables.append(known)
            variable_of[index] = number
            period_of[index] = stamps.setdefault(rest[3:-3], len(stamps))
        self.variable_of, self.period_of = bytes(variable_of), period_of
        self.stamps = list(stamps)
        self._keys: list[str] = []  # in lower case, once there has been a search
        self._objects = objects

    def period_ranks(self) -> list[int]:
        """Return for each number of a period its rank by time."""
        order = sorted(range(len(self.stamps)), key=self.stamps.__getitem__)
        ranks = [0] * len(order)
        for rank, number in enumerate(order):
            ranks[number] = rank
        return ranks

    def variable_ranks(self) -> list[int]:
        """Return for each number of a variable its rank by name, in the language of the window; others are last."""
        names = [(known is None, key_text.variable(known).casefold() if known else "") for known in self.variables]
        return _ranks(names)

    def product_ranks(self) -> list[int]:
        """Return for each number of a variable the rank of its product by name; others are last."""
        names = [(known is None, key_text.product(known).casefold() if known else "") for known in self.variables]
        return _ranks(names)

    def matches(self, word: str) -> bytes:
        """Return a mask with 1 for each file whose key, variable or period contains the word. word: in lower case."""
        if not self._keys:
            self._keys = [obj.key.lower() for obj in self._objects]
        variables = bytes(word in _names(known) for known in self.variables).ljust(256, b"\0")
        periods = [word in _period_text(stamp) for stamp in self.stamps]
        in_key = bytes([word in key for key in self._keys])
        in_period = bytes(map(periods.__getitem__, self.period_of)) if any(periods) else bytes(len(in_key))
        in_variable = self.variable_of.translate(variables)
        found = int.from_bytes(in_key, "big") | int.from_bytes(in_period, "big") | int.from_bytes(in_variable, "big")
        return found.to_bytes(len(in_key), "big")


def _ranks(names: list[tuple[bool, str]]) -> list[int]:
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    return [places[name] for name in names]


def _names(known: KeyName | None) -> str:
    """Return the names of a variable and its product in all languages, in lower case."""
    if known is None:
        return ""
    product = catalog_text.product(known.product).name
    names = catalog_text.variable_names(known.variable) if known.variable else (known.short,)
    return "\n".join((product, *names, *map(short_name, names))).lower()


def _period_text(stamp: str) -> str:
    """Return a period in English and in the language of the window, in lower case."""
    return _period_texts(stamp, i18n.language()) if stamp != _NO_STAMP else ""


@lru_cache(maxsize=50_000)
def _period_texts(stamp: str, language: str) -> str:
    try:
        first = date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]))
        last = date(int(stamp[11:15]), int(stamp[15:17]), int(stamp[17:19]))
    except ValueError:
        return ""
    if stamp[8:10] == "06" and first < last:  # a forecast: its file ends at 06 UTC of the next day
        last -= timedelta(days=1)
    english = describe_days(first, last).lower()
    return english if language == i18n.ENGLISH else f"{english}\n{key_text.days(first, last)}"
