"""Reader of scripts that retrieve data from the CDS: follows their statements, and collects the requests.

The statements are followed in order: assignments, changes of dicts and lists, loops over known values, and calls of
functions that the script defines. Each `retrieve` (or `submit`) call gives a request. Nothing is executed. What cannot
be known without running the script is an error only if a request needs it; it names the place.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from era5dl.cds.collect import RETRIEVE, RequestCollector
from era5dl.cds.evaluate import Evaluator
from era5dl.cds.script_values import Budget, DictWithPlaces, NotLiteral, Unknown, copy_values
from era5dl.cds.source_text import SourceText
from era5dl.errors import BadSelection

_MAX_CALLS = 8  # nested calls of functions of the script
_CHANGES = {
    "append",
    "extend",
    "update",
    "insert",
    "remove",
    "pop",
    "popitem",
    "clear",
    "setdefault",
    "sort",
    "reverse",
}
_STEPS_OF_A_ROUND = 50  # so that a loop without end is given up within a second
_UNSET = object()


class _Leave(Exception):
    """A `continue`, `break` or `return` of the script."""

    def __init__(self, kind: type[ast.stmt]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


class ScriptReader:
    """Follows the statements of a script, and collects its requests in `found`."""

    def __init__(self, source: SourceText, dataset: str) -> None:
        self._source = source
        self._names: dict[str, Any] = {}
        self._budget = Budget()
        self._evaluator = Evaluator(self._names, self._budget)
        self._functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self._calls: list[str] = []  # functions of the script that are being followed
        self._followed: set[str] = set()
        self._is_leaving_guessed = False  # a loop may have ended here: in a branch of which it is not known
        self._guesses = 0  # branches around the present statement of which it is not known whether they are taken
        self._collector = RequestCollector(source, dataset, self._evaluator)
        self.found = self._collector.found

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
            self._collector.collect_dicts(tree)

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
            case ast.AugAssign() if self._changes_in_place(node):
                pass
            case ast.AugAssign():
                changed = ast.BinOp(left=node.target, op=node.op, right=node.value)
                self._assign(node.target, ast.copy_location(changed, node))
            case ast.For() | ast.AsyncFor():
                self._loop(node)
            case ast.If():
                self._branches(node)
            case ast.Try():
                for part in (node.body, node.orelse):
                    self._statements(part)
                for handler in node.handlers:  # they may have run instead, or not
                    self._forget_assigned(handler.body, NotLiteral(handler, "it depends on an error of the script"))
                self._statements(node.finalbody)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._calls_within(item.context_expr)
                    if item.optional_vars is not None:
                        self._forget(item.optional_vars, NotLiteral(item.context_expr, "it is not followed"))
                self._statements(node.body)
            case ast.While():
                self._while(node)
            case ast.Continue() | ast.Break() | ast.Return():
                self._calls_within(node)
                if not self._guesses:
                    raise _Leave(type(node))
                self._is_leaving_guessed = True
            case ast.Delete():
                for target in node.targets:
                    self._delete(target)
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    if (name := alias.asname or alias.name) in self._names:
                        self._names[name] = Unknown(NotLiteral(node, f"“{name}” is a module here"))
            case _:
                if not isinstance(node, ast.Expr):  # such as match: what it assigns is not followed
                    self._forget_assigned([node], NotLiteral(node, "this statement is not followed"))
                self._calls_within(node)
                for one in ast.walk(node):
                    if isinstance(one, ast.NamedExpr):
                        self._assign(one.target, one.value)

    def _branches(self, node: ast.If) -> None:
        try:
            known = bool(self._evaluator.value(node.test))
        except NotLiteral as cause:  # such as `if not os.path.exists(target)`: both are possible
            self._guess(node, cause)
        else:
            self._statements(node.body if known else node.orelse)

    def _guess(self, node: ast.If, cause: NotLiteral) -> None:
        """Follow both branches. Afterwards a variable is known only if it has the same value after both."""
        self._budget.spend(node, sum(len(one) for one in self._names.values() if isinstance(one, (dict, list))))
        before = copy_values(self._names)
        self._guesses += 1
        self._statements(node.body)
        after_body = dict(self._names)
        self._names.clear()
        self._names.update(before)
        self._statements(node.orelse)
        self._guesses -= 1
        for name in {*after_body, *self._names}:
            value, other = after_body.get(name, _UNSET), self._names.get(name, _UNSET)
            same = value is other or (type(value) is type(other) and value == other)
            self._names[name] = value if same else Unknown(NotLiteral(node.test, cause.reason).assigned_to(name))

    def _while(self, node: ast.While) -> None:
        """Follow a loop while its test holds; once, if that is not known."""
        while True:
            self._budget.spend(node, _STEPS_OF_A_ROUND)
            try:
                known = bool(self._evaluator.value(node.test))
            except NotLiteral as cause:
                self._forget_assigned(node.body, cause)
                known, is_last = True, True
            else:
                is_last = False
            if not known:
                self._statements(node.orelse)
                return
            requests, self._is_leaving_guessed = len(self.found), False
            try:
                self._statements(node.body)
            except _Leave as leave:
                if leave.kind is ast.Return:
                    raise
                if leave.kind is ast.Break:
                    return
            if self._is_leaving_guessed:
                if len(self.found) > requests:
                    raise NotLiteral(node, "how often this loop runs is only known when the script runs")
                self._forget_assigned(node.body, NotLiteral(node, "how often this loop runs is not known"))
                return
            if is_last:
                return

    def _changes_in_place(self, node: ast.AugAssign) -> bool:
        """Follow `list += list` and `dict |= dict`, which change the object. Return whether it was one of these."""
        try:
            owner, more = self._evaluator.value(node.target), self._evaluator.value(node.value)
        except NotLiteral:
            return False
        match owner, node.op, more:
            case list(), ast.Add(), list():
                owner.extend(more)
            case DictWithPlaces(), ast.BitOr(), dict():
                owner.update(more)
                owner.nodes.update(getattr(more, "nodes", {}))
            case _:
                return False
        return True

    def _delete(self, target: ast.expr) -> None:
        """Follow `del name`, `del dict[key]` and `del list[number]`."""
        if isinstance(target, ast.Name):
            self._names.pop(target.id, None)
            return
        try:
            if not isinstance(target, ast.Subscript):
                raise NotLiteral(target, "this deletion is not followed")
            owner, key = self._evaluator.value(target.value), self._evaluator.value(target.slice)
            del owner[key]
        except NotLiteral as cause:
            self._forget(target, cause)
        except (TypeError, LookupError):
            self._forget(target, NotLiteral(target, "this deletion is not possible"))

    def _forget_assigned(self, body: Sequence[ast.stmt], cause: NotLiteral) -> None:
        """Mark all variables that these statements change as unknown."""
        for statement in body:
            for node in ast.walk(statement):
                if isinstance(node, (ast.Name, ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
                    self._forget(node.value if isinstance(node, ast.Subscript) else node, cause)

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        """Follow a loop for each of its values; once, with an unknown value, if they are not known."""
        cause: NotLiteral | None = None
        try:
            items = self._evaluator.items(node.iter)
        except NotLiteral as error:
            cause = error
            self._forget_assigned(node.body, cause)  # as after any number of rounds
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
            except NotLiteral as cause:
                self._forget(target.value, cause)
                return
            if isinstance(owner, DictWithPlaces):
                owner.put(key, found, value)
            elif isinstance(owner, list) and type(key) is int and -len(owner) <= key < len(owner):
                owner[key] = found
            else:
                self._forget(target.value, NotLiteral(target, "this assignment is not followed"))
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
        elif name in RETRIEVE:
            self._collector.retrieve(node)
        elif name in ("map", "imap", "imap_unordered") and len(node.args) == 2:
            self._map(*node.args)
        elif isinstance(function, ast.Attribute) and name in _CHANGES:
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
                case "pop", DictWithPlaces(), [key] | [key, _]:
                    owner.pop(key, None)
                case "sort", list(), [] if not node.keywords:
                    owner.sort()
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
        shared = {
            name for one in ast.walk(function) if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names
        }
        before |= {name: value for name, value in self._names.items() if name in shared}
        self._names.clear()
        self._names.update(before)
