"""Values in scripts: what is known of variables, the limits of their sizes, and dicts that know where values stand."""

from __future__ import annotations

import ast
from typing import Any

MAX_STEPS = 500_000  # operations and elements of one script
MAX_LENGTH = 100_000  # characters of a text, elements of a list


class NotLiteral(Exception):
    """The value of an expression is only known when the script runs.

    node: the part that is to blame. variable: the first one that has its value; "" if it has not been assigned.
    """

    def __init__(self, node: ast.AST, reason: str, *, variable: str = "") -> None:
        super().__init__(reason)
        self.node, self.reason, self.variable = node, reason, variable

    def assigned_to(self, variable: str) -> NotLiteral:
        """Return the same about a variable, for uses of it: the place to correct is where it gets its value."""
        first = self.variable or variable
        return NotLiteral(self.node, f"the value of “{first}” is only known when the script runs", variable=first)


class Unknown:
    """The value of a variable that cannot be evaluated."""

    def __init__(self, cause: NotLiteral) -> None:
        self.cause = cause


class Budget:
    """Counts the steps of one script. Raises NotLiteral when there are too many."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def spend(self, node: ast.AST, steps: int = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise NotLiteral(node, f"it takes more than {MAX_STEPS:,} steps")


class DictWithPlaces(dict[Any, Any]):
    """A dict that knows the syntax nodes of its values, for errors. nodes: by key."""

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.nodes: dict[Any, ast.AST] = dict(values[0].nodes) if values and isinstance(values[0], type(self)) else {}

    def put(self, key: Any, value: Any, node: ast.AST) -> None:
        """Set a value, and remember where it is."""
        self[key] = value
        self.nodes[key] = node


def copy_values(names: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of variables with their dicts and lists; two variables with the same list have the same copy."""
    copies: dict[int, Any] = {}

    def copied(value: Any) -> Any:
        if id(value) in copies or not isinstance(value, (dict, list)):
            return copies.get(id(value), value)
        made: Any = DictWithPlaces() if isinstance(value, dict) else []
        copies[id(value)] = made
        if isinstance(value, dict):
            made.update((key, copied(one)) for key, one in value.items())
            made.nodes.update(getattr(value, "nodes", {}))
        else:
            made.extend(map(copied, value))
        return made

    return {name: copied(value) for name, value in names.items()}


def merged_dicts(left: dict[Any, Any], right: dict[Any, Any]) -> DictWithPlaces:
    merged = DictWithPlaces(left)
    merged.update(right)
    merged.nodes.update(getattr(right, "nodes", {}))
    return merged


def scalar(value: Any) -> Any:
    """Return a text, number or None. Raises TypeError for others: lists within lists can be of any size."""
    if not isinstance(value, (str, int, float, type(None))):
        raise TypeError
    return value


def check_scalars(value: Any) -> None:
    for one in value if isinstance(value, (list, tuple, dict)) else [value]:
        scalar(one)


def flatten(value: Any) -> list[Any]:
    """Return the elements of nested lists. Raises ValueError if there are too many."""
    found: list[Any] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, (list, tuple, set, frozenset, range)):
            todo += reversed(list(one))
        else:
            found.append(one)
        if len(found) + len(todo) > MAX_LENGTH:
            raise ValueError("too many values")
    return found
