"""Evaluator of Python expressions in requests: literals, ranges, comprehensions and formatted texts. It runs no code.

A script may write `[f"{day:02d}" for day in range(1, 32)]`, or `str(year)`, or add two lists. The value of such an
expression is computed here from its syntax tree, with the operations that requests need and no others: no attribute is
read, no module is imported, and the number of steps and the size of every value are limited.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Any

from era5dl.cds.script_functions import (
    FUNCTIONS,
    FUNCTIONS_OF_MODULES,
    OF_SCALARS,
    call_method,
    formatted,
    percent_format,
)
from era5dl.cds.script_values import (
    MAX_LENGTH,
    Budget,
    DictWithPlaces,
    NotLiteral,
    Unknown,
    check_scalars,
    merged_dicts,
    scalar,
)

_MAX_NUMBER = 10**15
_MAX_DEPTH = 60  # nested expressions
_CONSTANTS = {"true": True, "false": False, "null": None}  # JSON within Python
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


class Evaluator:
    """Evaluates expressions. names: the known variables, each with a value or Unknown; the caller may change it."""

    def __init__(self, names: dict[str, Any], budget: Budget) -> None:
        self.names = names
        self._budget = budget
        self._depth = 0

    def value(self, node: ast.AST) -> Any:
        """Return the value of an expression. Raises NotLiteral."""
        self._budget.spend(node)
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise NotLiteral(node, "this expression is not a literal")
        if self._depth >= _MAX_DEPTH:
            raise NotLiteral(node, f"more than {_MAX_DEPTH} expressions are nested")
        self._depth += 1
        try:
            return self._checked(node, method(node))
        except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, AttributeError) as error:
            raise NotLiteral(node, f"it cannot be evaluated ({type(error).__name__})") from None
        finally:
            self._depth -= 1

    def items(self, node: ast.AST) -> list[Any]:
        """Return the elements of an expression that is iterated over. Raises NotLiteral."""
        value = self.value(node)
        if isinstance(value, (str, list, tuple, dict)):
            self._budget.spend(node, len(value))
            return list(value)
        raise NotLiteral(node, "it is not a list")

    def _checked(self, node: ast.AST, value: Any) -> Any:
        """Return a value if it is small, and of a type that a request can have."""
        if isinstance(value, (str, list, tuple, dict)):
            if len(value) > MAX_LENGTH:
                raise NotLiteral(node, "it is too long")
            self._budget.spend(node, len(value) // 16)  # whatever is done with it next takes time
        elif isinstance(value, (bool, int, float, type(None))):
            if isinstance(value, int) and abs(value) > _MAX_NUMBER:
                raise NotLiteral(node, "the number is too large")
        else:
            raise NotLiteral(node, f"a value of the type {type(value).__name__} cannot be in a request")
        return value

    # --- literals and names

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            value = self.names[node.id]
            if isinstance(value, Unknown):
                raise value.cause.assigned_to(node.id)
            return value
        if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        raise NotLiteral(node, f"“{node.id}” has no value in this text")

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> list[Any]:
        found: list[Any] = []
        for element in node.elts:
            found += self.items(element.value) if isinstance(element, ast.Starred) else [self.value(element)]
        return found

    _tuple = _set = _list

    def _dict(self, node: ast.Dict) -> DictWithPlaces:
        found = DictWithPlaces()
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                other = self.value(value)
                found.update(other)
                found.nodes.update(getattr(other, "nodes", {}))
            else:
                found.put(self.value(key), self.value(value), value)
        return found

    # --- operators

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if type(node.op) not in _UNARY:
            raise NotLiteral(node, "this operator is not supported")
        return _UNARY[type(node.op)](self.value(node.operand))

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return percent_format(node, left, right)
        if isinstance(node.op, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            return merged_dicts(left, right)
        if isinstance(node.op, ast.Mult) and not (_is_number(left) and _is_number(right)):
            many, times = (left, right) if isinstance(right, int) else (right, left)
            if len(many) * times > MAX_LENGTH:
                raise NotLiteral(node, "it is too long")
            self._budget.spend(node, max(len(many) * times, 0))
        if type(node.op) not in _BINARY:
            raise NotLiteral(node, "this operator is not supported")
        return _BINARY[type(node.op)](left, right)

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for comparison, other in zip(node.ops, node.comparators, strict=True):
            right = self.value(other)
            if type(comparison) not in _COMPARE:
                raise NotLiteral(node, "this comparison is not supported")
            is_member = isinstance(comparison, (ast.In, ast.NotIn))
            if not _COMPARE[type(comparison)](scalar(left), right if is_member else scalar(right)):
                return False
            left = right
        return True

    def _boolop(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for operand in node.values:
            value = self.value(operand)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.slice, ast.Slice):
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            at: Any = slice(*(bound and self.value(bound) for bound in bounds))
        else:
            at = self.value(node.slice)
        return self.value(node.value)[at]

    def _namedexpr(self, node: ast.NamedExpr) -> Any:
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    # --- texts

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(str(self.value(part)) for part in node.values)

    def _formattedvalue(self, node: ast.FormattedValue) -> str:
        spec = "" if node.format_spec is None else self.value(node.format_spec)
        value = scalar(self.value(node.value))
        value = repr(value) if node.conversion == ord("r") else str(value) if node.conversion == ord("s") else value
        return formatted(value, spec)

    # --- comprehensions

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> list[Any]:
        return [self.value(node.elt) for _ in self._bindings(node.generators)]

    _generatorexp = _setcomp = _listcomp

    def _dictcomp(self, node: ast.DictComp) -> dict[Any, Any]:
        return {self.value(node.key): self.value(node.value) for _ in self._bindings(node.generators)}

    def _bindings(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """Bind the names of a comprehension to each combination of values."""
        before = dict(self.names)
        try:
            yield from self._bind(generators)
        finally:
            self.names.clear()
            self.names.update(before)

    def _bind(self, generators: list[ast.comprehension]) -> Iterator[None]:
        if not generators:
            yield
            return
        first = generators[0]
        for item in self.items(first.iter):
            self._budget.spend(first.target)
            self.assign(first.target, item)
            if all(self.value(test) for test in first.ifs):
                yield from self._bind(generators[1:])

    def assign(self, target: ast.AST, value: Any) -> None:
        """Bind a name, or several names to the elements of a list. Raises NotLiteral."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (list, tuple)):
            if len(target.elts) != len(value):
                raise NotLiteral(target, "the numbers of names and values differ")
            for one, part in zip(target.elts, value, strict=True):
                self.assign(one, part)
        else:
            raise NotLiteral(target, "this assignment is not supported")

    # --- calls

    def _call(self, node: ast.Call) -> Any:
        name = _called_name(node.func)
        if isinstance(node.func, ast.Attribute) and name not in FUNCTIONS_OF_MODULES:
            return self._method(node, node.func)
        if name == "dict":
            found = DictWithPlaces(*map(self.value, node.args))
            for keyword in node.keywords:
                if keyword.arg is None:
                    found.update(self.value(keyword.value))
                else:
                    found.put(keyword.arg, self.value(keyword.value), keyword.value)
            return found
        function = FUNCTIONS.get(name)
        if function is None or name in self.names or node.keywords:
            raise NotLiteral(node, f"the result of “{name or 'this call'}” is only known when the script runs")
        if name == "map":
            return self._map(node)
        arguments = [self.value(argument) for argument in node.args]
        if name in OF_SCALARS:
            for argument in arguments:
                check_scalars(argument)
        for argument in arguments:
            self._budget.spend(node, len(argument) if isinstance(argument, (str, list, tuple, dict)) else 1)
        result = function(*arguments)
        if isinstance(result, (range, zip, enumerate, reversed, set)):
            if isinstance(result, range) and len(result) > MAX_LENGTH:
                raise NotLiteral(node, "it is too long")
            result = [list(one) if isinstance(one, tuple) else one for one in result]
        return result

    def _map(self, node: ast.Call) -> list[Any]:
        function, values = node.args
        if not isinstance(function, ast.Name) or function.id not in ("str", "int", "float"):
            raise NotLiteral(node, "only str, int and float can be mapped")
        return [FUNCTIONS[function.id](scalar(value)) for value in self.items(values)]

    def _method(self, node: ast.Call, function: ast.Attribute) -> Any:
        owner = self.value(function.value)
        arguments = [self.value(argument) for argument in node.args]
        named = {keyword.arg or "": self.value(keyword.value) for keyword in node.keywords}
        return call_method(node, owner, function.attr, arguments, named)


def _called_name(function: ast.AST) -> str:
    """Return the name of a called function: "range" of range(3), "arange" of np.arange(3)."""
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
