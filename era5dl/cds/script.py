"""Reader of scripts that retrieve data from the CDS: follows their statements, and collects the requests.

The statements are followed in order: assignments, changes of dicts and lists, loops over known values, and calls of
functions that the script defines. Each `retrieve` (or `submit`) call gives a request. Nothing is executed. What cannot
be known without running the script is an error only if a request needs it; it names the place.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from era5dl.cds.evaluate import Evaluator
from era5dl.cds.raw_request import DATASET_KEYS, MAX_REQUESTS, REQUEST_KEYS, RawRequest, request_of, requests_in
from era5dl.cds.script_values import Budget, DictWithPlaces, NotLiteral, Unknown
from era5dl.cds.source_text import SourceText
from era5dl.errors import BadSelection

_MAX_CALLS = 8  # nested calls of functions of the script
_RETRIEVE = {"retrieve", "submit", "submit_and_wait_on_results", "from_source"}
_TYPICAL_KEYS = {"variable", "param", "year", "date", "pressure_level", "levelist", "location"}


class _Leave(Exception):
    """A `continue`, `break` or `return` of the script."""

    def __init__(self, kind: type[ast.stmt]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


class ScriptReader:
    """Follows the statements of a script, and collects its requests in `found`."""

    def __init__(self, source: SourceText, dataset: str) -> None:
        self._source, self._dataset = source, dataset
        self._names: dict[str, Any] = {}
        self._budget = Budget()
        self._evaluator = Evaluator(self._names, self._budget)
        self._functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self._calls: list[str] = []  # functions of the script that are being followed
        self._followed: set[str] = set()
        self._guesses = 0  # branches around the present statement of which it is not known whether they are taken
        self.found: list[RawRequest] = []

    def run(self, tree: ast.Module) -> None:
        """Collect the requests of the whole text.

        Functions that are never called are followed afterwards. If nothing is retrieved, dicts that look like requests
        are taken.
        """
        with suppress(_Leave):
            self._statements(tree.body)
        for name, function in list(self._functions.items()):
            if not self.found and name not in self._followed:
                self._enter(function, {})
        if not self.found:
            self._bare_requests(tree)

    def refusal(self, error: NotLiteral) -> BadSelection:
        """Return the error for a value that cannot be known."""
        remedy = "Scripts are read, not run: write the value itself in its place."
        return self._source.error(f"{error.reason}.", self._source.place_of(error.node), remedy=remedy)

    # --- statements

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._budget.spend(statement)
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._functions[node.name] = node
            case ast.ClassDef():
                self._statements(node.body)
            case ast.Assign():
                self._calls_within(node.value)
                for target in node.targets:
                    self._assign(target, node.value)
            case ast.AnnAssign() if node.value is not None:
                self._calls_within(node.value)
                self._assign(node.target, node.value)
            case ast.AugAssign():
                changed = ast.BinOp(left=node.target, op=node.op, right=node.value)
                self._assign(node.target, ast.copy_location(changed, node))
            case ast.For() | ast.AsyncFor():
                self._loop(node)
            case ast.If():
                self._branches(node)
            case ast.Try():
                for part in (node.body, node.orelse, node.finalbody):
                    self._statements(part)
            case ast.With() | ast.AsyncWith() | ast.While():
                with suppress(_Leave):
                    self._statements(node.body)
            case ast.Continue() | ast.Break() | ast.Return():
                self._calls_within(node)
                if not self._guesses:
                    raise _Leave(type(node))
            case _:
                self._calls_within(node)

    def _branches(self, node: ast.If) -> None:
        try:
            known = bool(self._evaluator.value(node.test))
        except NotLiteral:  # such as `if not os.path.exists(target)`: both are possible
            self._guesses += 1
            self._statements(node.body)
            self._statements(node.orelse)
            self._guesses -= 1
        else:
            self._statements(node.body if known else node.orelse)

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        """Follow a loop for each of its values; once, with an unknown value, if they are not known."""
        cause: NotLiteral | None = None
        try:
            items = self._evaluator.items(node.iter)
        except NotLiteral as error:
            cause = error
            self._forget(node.target, cause)
            items = [None]
        for item in items:
            if cause is None:
                self._evaluator.assign(node.target, item)
            try:
                self._statements(node.body)
            except _Leave as leave:
                if leave.kind is ast.Return:
                    raise
                if leave.kind is ast.Break:
                    return
        self._statements(node.orelse)

    def _assign(self, target: ast.AST, value: ast.AST) -> None:
        try:
            found = self._evaluator.value(value)
        except NotLiteral as cause:
            self._forget(target, cause)
            return
        if isinstance(target, ast.Subscript):
            try:
                owner, key = self._evaluator.value(target.value), self._evaluator.value(target.slice)
            except NotLiteral:
                return
            if isinstance(owner, DictWithPlaces):
                owner.put(key, found, value)
            elif isinstance(owner, list) and type(key) is int and -len(owner) <= key < len(owner):
                owner[key] = found
            return
        try:
            self._evaluator.assign(target, found)
        except NotLiteral as cause:
            self._forget(target, cause)

    def _forget(self, target: ast.AST, cause: NotLiteral) -> None:
        """Mark all names in a target as unknown; also those of which a part is set."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self._names[node.id] = Unknown(cause.assigned_to(node.id))

    # --- calls

    def _calls_within(self, node: ast.AST) -> None:
        """Follow the calls in a statement or expression, the inner ones first."""
        for call in reversed([one for one in ast.walk(node) if isinstance(one, ast.Call)]):
            self._call(call)

    def _call(self, node: ast.Call) -> None:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in self._functions and isinstance(function, ast.Name):
            self._follow(self._functions[name], node)
        elif name in _RETRIEVE:
            self._retrieve(node)
        elif name in ("map", "imap", "imap_unordered") and len(node.args) == 2:
            self._map(*node.args)
        elif isinstance(function, ast.Attribute) and name in ("append", "extend", "update", "insert", "remove"):
            self._change(function, node)

    def _map(self, function: ast.expr, values: ast.expr) -> None:
        """Follow `pool.map(function, values)` for each of the values."""
        followed = self._functions.get(getattr(function, "id", ""))
        if followed is not None:
            for item in self._evaluator.items(values):
                parameters = [*followed.args.posonlyargs, *followed.args.args][:1]
                place = ast.copy_location(ast.Constant(item), values)
                self._enter(followed, {one.arg: place for one in parameters})

    def _change(self, function: ast.Attribute, node: ast.Call) -> None:
        """Follow `list.append(...)`, `dict.update(...)` and the like."""
        try:
            owner = self._evaluator.value(function.value)
        except NotLiteral:
            return
        try:
            values = [self._evaluator.value(argument) for argument in node.args]
            match function.attr, owner, values:
                case "append", list(), [value]:
                    owner.append(value)
                case "extend", list(), [list() as more]:
                    owner.extend(more)
                case "remove", list(), [value] if value in owner:
                    owner.remove(value)
                case "update", DictWithPlaces(), _:
                    for other, argument in zip(values, node.args, strict=True):
                        for key, value in dict(other).items():
                            owner.put(key, value, getattr(other, "nodes", {}).get(key, argument))
                    for keyword in node.keywords:
                        owner.put(keyword.arg, self._evaluator.value(keyword.value), keyword.value)
                case _:
                    raise NotLiteral(node, "this change is not supported")
        except (NotLiteral, TypeError, ValueError) as error:
            cause = error if isinstance(error, NotLiteral) else NotLiteral(node, "this change is not supported")
            self._forget(function.value, cause)

    def _follow(self, function: ast.FunctionDef | ast.AsyncFunctionDef, node: ast.Call) -> None:
        """Follow a call of a function of the script, with the arguments that are known."""
        if function.name in self._calls or len(self._calls) >= _MAX_CALLS:
            return
        parameters = [*function.args.posonlyargs, *function.args.args]
        given: dict[str, ast.expr] = {one.arg: value for one, value in zip(parameters, node.args, strict=False)}
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        self._enter(function, given)

    def _enter(self, function: ast.FunctionDef | ast.AsyncFunctionDef, given: Mapping[str, ast.expr]) -> None:
        """Follow the body of a function with these arguments; others have their default values, or are unknown."""
        self._followed.add(function.name)
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = dict(zip([one.arg for one in reversed(positional)], reversed(arguments.defaults), strict=False))
        defaults |= {
            one.arg: value for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
        }
        local: dict[str, Any] = {}
        for parameter in (*positional, *arguments.kwonlyargs):
            value = given.get(parameter.arg, defaults.get(parameter.arg))
            try:
                if value is None:
                    raise NotLiteral(parameter, f"“{parameter.arg}” is only known when the script runs")
                local[parameter.arg] = self._evaluator.value(value)
            except NotLiteral as cause:
                local[parameter.arg] = Unknown(cause.assigned_to(parameter.arg))
        before = dict(self._names)
        self._names.update(local)
        self._calls.append(function.name)
        guesses, self._guesses = self._guesses, 0
        with suppress(_Leave):
            self._statements(function.body)
        self._guesses = guesses
        self._calls.pop()
        self._names.clear()
        self._names.update(before)

    # --- requests

    def _retrieve(self, node: ast.Call) -> None:
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

    def _bare_requests(self, tree: ast.Module) -> None:
        """Collect dicts that look like requests: as the whole text, beside the name of a dataset, or assigned."""
        named = [value for value in self._names.values() if isinstance(value, str) and value.startswith("reanalysis-")]
        dataset = named[0] if len(named) == 1 else self._dataset
        for statement in tree.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Dict, ast.List, ast.Tuple)):
                self.found += requests_in(self._evaluator.value(statement.value), dataset, self._source)
        if not self.found:
            for value in self._names.values():
                if isinstance(value, DictWithPlaces) and _TYPICAL_KEYS & set(map(str, value)):
                    self._add(value, dataset, 0)
