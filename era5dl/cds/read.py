"""Parser of CDS requests: takes them out of JSON, a Python dict or a whole script, which is never executed."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Mapping
from typing import Any

from era5dl.cds.raw_request import RawRequest, requests_in
from era5dl.cds.script import ScriptReader
from era5dl.cds.script_values import NotLiteral
from era5dl.cds.source_text import Place, SourceText
from era5dl.errors import BadSelection

MAX_TEXT = 1 << 20  # characters
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " "})
_HINT = "Paste a request of the Climate Data Store: JSON, a Python dict, or a script with client.retrieve(...)."


def read_requests(given: str | Mapping[str, Any] | list[Any], dataset: str = "") -> tuple[RawRequest, ...]:
    """Return all requests of a text, a dict or a list of them, at least one.

    dataset: of requests that do not name one. Raises BadSelection, with line and caret for a text.
    """
    if not isinstance(given, str):
        found = requests_in(given, dataset)
    else:
        if len(given) > MAX_TEXT:
            message = f"The text has {len(given):,} characters, and at most {MAX_TEXT:,} are read."
            raise BadSelection(message, remedy=_HINT)
        found = _from_text(_clean(given), dataset)
    if not found:
        raise BadSelection("There is no CDS request in this text.", remedy=_HINT)
    return tuple(found)


def _clean(text: str) -> str:
    """Return a text without what surrounds code in notebooks, on web pages and in terminals. Lines stay where they are.

    A byte order mark, lines with ``` (Markdown), those that begin with % or ! (notebooks), and prompts.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if any(line.startswith((">>> ", "In [")) for line in lines):
        lines = [re.sub(r"^(>>> ?|\.\.\. ?|In \[\d*\]: ?|   \.\.\.: ?)", "", line) for line in lines]
    lines = ["" if re.match(r"\s*(```|%%?[a-zA-Z]|![a-zA-Z])", line) else line for line in lines]
    return textwrap.dedent("\n".join(lines)).replace("\t", "    ")


def _from_text(text: str, dataset: str) -> list[RawRequest]:
    if not text.strip():
        raise BadSelection("The text is empty.", remedy=_HINT)
    text = _code_of_notebook(text)
    source = SourceText(text)
    try:
        tree = _parse(text)
    except SyntaxError as error:
        try:
            return requests_in(json.loads(text), dataset)
        except (ValueError, RecursionError):
            pass
        place = Place(error.lineno, (error.offset or 1) - 1) if error.lineno else None
        message = f"This is neither Python nor JSON: {error.msg}"
        raise source.error(message, place, remedy="Correct this place, or paste the whole request again.") from None
    except (ValueError, RecursionError, MemoryError):
        message = "This text cannot be read: it has characters that no request has, or is nested too deeply."
        raise BadSelection(message, remedy=_HINT) from None
    walker = ScriptReader(source, dataset)
    try:
        walker.run(tree)
    except NotLiteral as error:
        raise walker.refusal(error) from None
    except RecursionError:
        raise BadSelection("This text is nested too deeply.", remedy=_HINT) from None
    return walker.found


def _code_of_notebook(text: str) -> str:
    """Return the code of a Jupyter notebook (JSON with cells); any other text as it is."""
    if not text.lstrip().startswith("{") or '"cells"' not in text:
        return text
    try:
        cells = json.loads(text)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return _clean("\n".join(source if isinstance(source, str) else "".join(source) for source in sources))
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _parse(text: str) -> ast.Module:
    """Return the syntax tree. Typographic quotes are taken for plain ones if it has none otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning for "\d" in a text
        try:
            return ast.parse(text)
        except SyntaxError as error:
            if text == (plain := text.translate(_QUOTES)):
                raise
            try:
                return ast.parse(plain)
            except SyntaxError:
                raise error from None
