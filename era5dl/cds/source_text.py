"""Errors in the text of a request, with the line and a caret below the place, as a compiler prints them."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from era5dl.errors import BadSelection

_WIDTH = 100  # characters of the line that are shown


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the text. line: from 1. column: of the character, from 0."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a request."""

    text: str

    def error(self, message: str, place: Place | None, *, remedy: str = "") -> BadSelection:
        """Return an error with this message and, if the place is known, its line and a caret."""
        if place is None:
            return BadSelection(message, remedy=remedy)
        return BadSelection(f"Line {place.line}: {message}{self._excerpt(place)}", remedy=remedy)

    def place_of(self, node: ast.AST) -> Place | None:
        """Return the place of a syntax node, whose column counts bytes of UTF-8."""
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            return None
        before = lines[line - 1].encode("utf-8", "surrogatepass")[:column]
        return Place(line, len(before.decode("utf-8", "replace")))

    def _excerpt(self, place: Place) -> str:
        lines = self.text.split("\n")
        if not 1 <= place.line <= len(lines):
            return ""
        line = "".join(character if character.isprintable() else " " for character in lines[place.line - 1])
        column = max(0, min(place.column, len(line)))
        start = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = line[start : start + _WIDTH]
        indent = len(shown) - len(shown.lstrip())
        return f"\n  {shown.strip()}\n  {' ' * max(0, column - start - indent)}^"
