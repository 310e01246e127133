"""Collector of requests in a script: the arguments of a `retrieve` call, and dicts that look like requests."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from era5dl.cds.evaluate import Evaluator
from era5dl.cds.raw_request import DATASET_KEYS, MAX_REQUESTS, REQUEST_KEYS, RawRequest, request_of, requests_in
from era5dl.cds.script_values import DictWithPlaces, NotLiteral
from era5dl.cds.source_text import SourceText
from era5dl.errors import BadSelection

RETRIEVE = {"retrieve", "submit", "submit_and_wait_on_results", "from_source"}
_TYPICAL_KEYS = {"variable", "param", "year", "date", "pressure_level", "levelist", "location"}


class RequestCollector:
    """Collects the requests of a script in `found`. dataset: for requests that do not name theirs."""

    def __init__(self, source: SourceText, dataset: str, evaluator: Evaluator) -> None:
        self._source, self._dataset, self._evaluator = source, dataset, evaluator
        self.found: list[RawRequest] = []

    def retrieve(self, node: ast.Call) -> None:
        """Collect the request of a call: retrieve(name, {...}, target), also with keywords or a single dict."""
        arguments = list(node.args)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "from_source":
            if not arguments or getattr(arguments[0], "value", "") != "cds":
                return
            del arguments[0]
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        dataset, request = self._dataset, None
        named = [keywords.pop(key) for key in DATASET_KEYS if key in keywords]
        wanted = [keywords.pop(key) for key in REQUEST_KEYS if key in keywords]
        if None in keywords:
            wanted.append(keywords.pop(None))
        values = named + arguments[: 0 if named else 1] + wanted + arguments[0 if named else 1 :]
        for number, argument in enumerate(values[:2]):
            value = self._evaluator.value(argument)
            if isinstance(value, str) and number == 0:
                dataset = value
            elif isinstance(value, Mapping):
                request = value
                break
        if request is None:  # from_source("cds", name, variable=..., ...)
            request = DictWithPlaces()
            for key, keyword in keywords.items():
                if key not in ("target", None):
                    request.put(key, self._evaluator.value(keyword), keyword)
            if not request:
                reason = "this call has no request: a dict of keys and values"
                raise NotLiteral(node, reason)
        self._add(request, dataset, node.lineno)

    def _add(self, request: Mapping[Any, Any], dataset: str, site: int) -> None:
        if len(self.found) >= MAX_REQUESTS:
            raise BadSelection(f"The script has more than {MAX_REQUESTS:,} requests.", remedy="Divide it.")
        self.found.append(request_of(request, dataset, site, self._source))

    def collect_dicts(self, tree: ast.Module) -> None:
        """Collect dicts that look like requests: as the whole text, beside the name of a dataset, or assigned."""
        named = [
            value
            for value in self._evaluator.names.values()
            if isinstance(value, str) and value.startswith("reanalysis-")
        ]
        dataset = named[0] if len(named) == 1 else self._dataset
        for statement in tree.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Dict, ast.List, ast.Tuple)):
                self.found += requests_in(self._evaluator.value(statement.value), dataset, self._source)
        if not self.found:
            for value in self._evaluator.names.values():
                if isinstance(value, DictWithPlaces) and _TYPICAL_KEYS & set(map(str, value)):
                    self._add(value, dataset, 0)
