"""CDS requests as written: from dicts, and from lists of them. Keys and values are not yet interpreted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from era5dl.cds.script_values import flatten
from era5dl.cds.source_text import Place, SourceText
from era5dl.errors import BadSelection

MAX_REQUESTS = 2_000
DATASET_KEYS = ("dataset", "collection_id", "name", "dataset_name", "dataset_short_name")
REQUEST_KEYS = ("request", "inputs", "kwargs")
_EMPTY = SourceText("")


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as written: dataset ("" if not named), keys and values.

    site: the line of the call, or 0. places: of the values, by key. source: the text, for errors.
    """

    dataset: str
    values: Mapping[str, Any]
    site: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)
    source: SourceText = _EMPTY


def requests_in(data: Any, dataset: str, source: SourceText = _EMPTY) -> list[RawRequest]:
    """Return the requests of dicts and lists: {...}, {"dataset": ..., "request": {...}}, [name, {...}] or several."""
    if isinstance(data, Mapping):
        return [request_of(data, dataset, source=source)]
    if not isinstance(data, (list, tuple)):
        return []
    if len(data) in (2, 3) and isinstance(data[0], str) and isinstance(data[1], Mapping):
        return [request_of(data[1], data[0], source=source)]
    if not all(isinstance(one, (Mapping, list, tuple)) for one in data) or len(data) > MAX_REQUESTS:
        return []
    return [request for one in data for request in requests_in(one, dataset, source)]


def request_of(data: Mapping[Any, Any], dataset: str, site: int = 0, source: SourceText = _EMPTY) -> RawRequest:
    """Return the request in a dict, whose own dataset takes precedence."""
    nodes = dict(getattr(data, "nodes", {}))
    rest = {str(key): value for key, value in data.items()}
    for key in DATASET_KEYS:
        if isinstance(rest.get(key), str):
            dataset = rest.pop(key)
            break
    inner = next((rest[key] for key in REQUEST_KEYS if isinstance(rest.get(key), Mapping)), None)
    if inner is not None:
        return request_of(inner, dataset, site, source)
    values = {key: _copied(key, value) for key, value in rest.items()}
    places = {str(key): place for key, node in nodes.items() if (place := source.place_of(node))}
    return RawRequest(dataset.strip(), values, site, places, source)


def _copied(key: str, value: Any) -> Any:
    """Return a value that later changes of the same list or dict do not affect.

    Dates are returned as texts, and arrays of NumPy as lists.
    """
    if isinstance(value, Mapping):
        return dict(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    try:
        if isinstance(value, (list, tuple, set, frozenset, range)):
            return [_text_of_date(one) for one in flatten(value)]
        return _text_of_date(value)
    except ValueError:
        raise BadSelection(f"“{key[:40]}” has too many values.") from None


def _text_of_date(value: Any) -> Any:
    return f"{value:%Y-%m-%d}" if isinstance(value, date) else value
