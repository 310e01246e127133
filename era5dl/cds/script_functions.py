"""Functions and methods of Python that requests in scripts use, and that are safe to compute: range, str.format, ..."""

from __future__ import annotations

import ast
import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from era5dl.cds.script_values import MAX_LENGTH, DictWithPlaces, NotLiteral, scalar

_FORMAT = re.compile(r"[-+<>^=0 ,]{0,3}[0-9]{0,2}(\.[0-9]{1,2})?[a-z]?", re.ASCII)
_PERCENT = re.compile(r"%(%|[-+0 ]{0,2}[0-9]{0,2}(\.[0-9]{1,2})?[dsif])", re.ASCII)
_TEXT_METHODS = {
    *("zfill", "lower", "upper", "strip", "lstrip", "rstrip", "split", "replace", "startswith", "endswith"),
    *("rjust", "ljust", "title", "removeprefix", "removesuffix"),
}


def call_method(node: ast.Call, owner: Any, name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return the result of a method of a text, list or dict. Raises NotLiteral for methods that are not in the list."""
    match owner, name, arguments:
        case str(), "format", _:
            return _format(node, owner, arguments, named)
        case str(), "join", [many]:
            return owner.join(str(scalar(one)) for one in many)
        case str(), "zfill" | "rjust" | "ljust", [int() as width, *_] if not 0 <= width <= 100:
            raise NotLiteral(node, "it is too long")
        case str(), "replace", [_, str() as new, *_] if (len(owner) + 1) * len(new) > MAX_LENGTH:
            raise NotLiteral(node, "it is too long")
        case str(), _, _ if name in _TEXT_METHODS and not named:
            return getattr(owner, name)(*arguments)
        case dict(), "copy", []:
            return DictWithPlaces(owner)
        case dict(), "keys" | "values", []:
            return list(getattr(owner, name)())
        case dict(), "items", []:
            return [list(pair) for pair in owner.items()]
        case dict(), "get", [_] | [_, _]:
            return owner.get(*arguments)
        case list(), "copy" | "tolist", []:
            return list(owner)
    raise NotLiteral(node, f"the result of “{name}” is only known when the script runs")


def percent_format(node: ast.AST, template: str, values: Any) -> str:
    """Return `template % values`."""
    if len(template) > 1000 or _PERCENT.sub("", template).count("%"):
        raise NotLiteral(node, "this format is not supported")
    return template % (tuple(map(scalar, values)) if isinstance(values, list) else scalar(values))


def _arange(*bounds: Any) -> range:
    if not all(isinstance(bound, int) for bound in bounds):
        raise TypeError
    return range(*bounds)


def _month_range(year: Any, month: Any) -> list[int]:
    return list(calendar.monthrange(year, month))


_BUILTINS: tuple[Callable[..., Any], ...] = (
    *(range, list, str, int, float, bool, set, len, min, max, sum, abs, round),
    *(zip, reversed, sorted, enumerate, map, any, all),
)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{function.__name__: function for function in _BUILTINS},
    "tuple": list,
    "arange": _arange,
    "monthrange": _month_range,
    "isleap": calendar.isleap,
}
OF_SCALARS = {"str", "int", "float", "min", "max", "sum", "sorted", "set", "any", "all", "round", "abs"}
FUNCTIONS_OF_MODULES = {"arange", "monthrange", "isleap"}


def formatted(value: Any, spec: str) -> str:
    if _FORMAT.fullmatch(spec) is None or not isinstance(value, (str, int, float)):
        raise ValueError(spec)
    return format(value, spec)


def _format(node: ast.AST, template: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> str:
    """Return `template.format(...)`, without access to attributes and elements of the values."""
    parts: list[str] = []
    number = 0
    for text, name, spec, conversion in Formatter().parse(template):
        parts.append(text)
        if name is None:
            continue
        if conversion or not (name == "" or name.isdigit() or name.isidentifier()):
            raise NotLiteral(node, "this format is not supported")
        index = number if name == "" else int(name) if name.isdigit() else -1
        number += name == ""
        parts.append(formatted(named[name] if index < 0 else arguments[index], spec or ""))
    return "".join(parts)
