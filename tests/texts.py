"""Collects the texts of the window from its source, and updates the Chinese catalogue:

    python -m tests.texts > new.json       list the texts without a translation: {"Pause": "", ...}
    (fill in the Chinese)
    python -m tests.texts new.json         add them to the catalogue; prints nothing when nothing is missing

A plural is listed by its English singular, a text with a context as "context|text". Each run adds new texts of
era5dl/gui to the .po, removes those that are no longer used (and reports them), keeps everything else, and compiles
the .mo. To correct a translation, edit the .po, then run the tool. It takes a lock, so that two runs do not interfere.
The exit code is 1 while translations are missing.

Rules for the source, enforced by tests/test_gui_i18n.py: the texts given to _(), ngettext(), pgettext() and N_() are
literals. Values are {names} that are filled in from keywords of the same names. The name _ is used for nothing else in
such a module.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from era5dl.catalog import presets, variables

ROOT = Path(__file__).parents[1]
GUI = ROOT / "era5dl" / "gui"
CATALOGUE = GUI / "text" / "locale" / "zh_CN" / "LC_MESSAGES" / "era5dl.po"

LITERALS = {"_": 1, "N_": 1, "ngettext": 2, "pgettext": 2}  # number of leading arguments that are literals
SHOWN = {
    "text",
    "label",
    "title",
    "message",
    "detail",
    "placeholder",
    "tooltip",
    "heading",
}  # keywords whose values are visible texts
_OWN = {"i18n.py"}  # where these functions are defined


@dataclass(frozen=True)
class Text:
    """One text of the catalogue. `where`: the file in which it was found first, or the name of the variable."""

    singular: str
    plural: str | None = None
    context: str | None = None
    where: str = field(default="", compare=False)

    @property
    def id(self) -> str | tuple[str, str]:
        """The key in Babel's catalogue."""
        return (self.singular, self.plural) if self.plural else self.singular

    @property
    def name(self) -> str:
        """The key in the JSON file of this tool."""
        return f"{self.context}|{self.singular}" if self.context else self.singular


# --- texts of the source


def sources() -> list[Path]:
    """Return the modules that may contain texts."""
    return [path for path in sorted(GUI.rglob("*.py")) if path.name not in _OWN and "locale" not in path.parts]


def texts_of(path: Path) -> tuple[list[Text], list[str]]:
    """Return the texts of a module, and its violations of the rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    where = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    found: list[Text] = []
    wrong: list[str] = []
    for node in sorted(ast.walk(tree), key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))):
        texts, complaint = _read(node, where)
        found += texts
        if complaint:
            wrong.append(f"{where}:{getattr(node, 'lineno', '?')}: {complaint}")
    if _imports_underscore(tree):
        wrong += [f"{where}:{line}: _ is gettext's here; name an unused value otherwise" for line in _stolen(tree)]
    return found, wrong


def _read(node: ast.AST, where: str) -> tuple[list[Text], str]:
    try:
        return _texts_in(node, where), ""
    except ValueError as error:
        return [], str(error)


def _texts_in(node: ast.AST, where: str) -> list[Text]:
    if isinstance(node, ast.ImportFrom) and node.module == "era5dl.gui.text.i18n":
        if any(name.asname and name.name in {*LITERALS, "translate"} for name in node.names):
            raise ValueError("import gettext's functions under their own names, or they are not found")
        return []
    if not isinstance(node, ast.Call):
        return []
    name = _called(node)
    if name == "translate" and node.args and isinstance(node.args[0], ast.Constant):
        raise ValueError("translate() is for texts out of tables; give a literal to _()")
    if name not in LITERALS:
        _check_shown(node)
        return []
    literals = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    if len(node.args[: LITERALS[name]]) != LITERALS[name] or len(literals) < LITERALS[name]:
        raise ValueError(f"{name}() takes literals only: values go in as {{name}} and keywords, never by an f-string")
    if not literals[0]:
        raise ValueError("the empty text is the catalogue's head")
    if name == "N_":
        return [Text(literals[0], where=where)]
    _check_values(node, name, literals)
    if name == "ngettext":
        return [Text(literals[0], plural=literals[1], where=where)]
    if name == "pgettext":
        return [Text(literals[1], context=literals[0], where=where)]
    return [Text(literals[0], where=where)]


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _check_values(call: ast.Call, name: str, literals: list[str]) -> None:
    """Raise ValueError unless the keywords match the placeholders."""
    given = {keyword.arg for keyword in call.keywords}
    if None in given:
        raise ValueError("no ** here: the placeholders are to be seen")
    wanted = set().union(*(placeholders(text) for text in literals[-LITERALS[name] if name != "pgettext" else -1 :]))
    if name == "ngettext":
        wanted.discard("n")
    if wanted != given:
        raise ValueError(f"placeholders {sorted(wanted)} are filled with {sorted(map(str, given))}")


def _check_shown(call: ast.Call) -> None:
    """Raise ValueError if a literal with letters is shown without translation."""
    shown = [keyword.value for keyword in call.keywords if keyword.arg in SHOWN]
    if isinstance(call.func, ast.Attribute) and call.func.attr == "title":  # of a window
        shown += call.args
    words = [re.sub("#[0-9A-Fa-f]+", "", word) for value in shown for word in _bare(value)]  # a colour is not a text
    if any(re.search(r"[^\W\d_]{2}", word) for word in words):
        raise ValueError("a bare text for the screen: use _(); what is the same in all languages stands in a constant")


def _bare(value: ast.AST) -> Iterator[str]:
    """Yield the literals of an expression that are not passed to a function."""
    match value:
        case ast.Constant(value=str(word)):
            yield word
        case ast.JoinedStr(values=parts):
            for part in parts:
                yield from _bare(part)
        case ast.BinOp(left=first, right=second) | ast.IfExp(body=first, orelse=second):
            yield from _bare(first)
            yield from _bare(second)


def placeholders(text: str) -> set[str]:
    """Return the names in braces. Raises ValueError for any other use of braces."""
    names = {name for _literal, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"placeholders are plain names in braces: {text!r}")
    return names


def _imports_underscore(tree: ast.Module) -> bool:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any(name.name == "_" for node in imports for name in node.names)


def _stolen(tree: ast.Module) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.arg) and node.arg == "_")
    ]


# --- texts of ERA5's catalogue


def catalogue_texts() -> list[Text]:
    """Return the names of variables and the texts of presets, which are data and not literals in the source."""
    found = [Text(v.long_name, context="variable", where=v.name) for v in variables()]
    for preset in presets():
        found += [Text(text, context="preset", where=preset.name) for text in (preset.description, preset.note) if text]
    return found


def all_texts() -> tuple[dict[Text, None], list[str]]:
    """Return every text once, in the order of the catalogue, and all violations of the rules."""
    found: dict[Text, None] = {}
    wrong: list[str] = []
    for path in sources():
        texts, errors_by_file = texts_of(path)
        found.update(dict.fromkeys(text for text in texts if text not in found))
        wrong += errors_by_file
    by_key: dict[tuple[str, str | None], Text] = {}
    for text in found:
        other = by_key.setdefault((text.singular, text.context), text)
        if other != text:
            wrong.append(f"{text.where}: {text.singular!r} has the plurals {text.plural!r} and {other.plural!r}")
    found.update(dict.fromkeys(catalogue_texts()))
    return found, wrong


# --- the catalogue


def read_catalogue() -> Catalog:
    """Read the .po with Babel."""
    return read_po(BytesIO(CATALOGUE.read_bytes()), locale="zh_CN", abort_invalid=True)


def translation(message: Message | None) -> str:
    """Return the Chinese translation of an entry (one form for all numbers); "" for none."""
    if message is None or message.fuzzy:
        return ""
    return message.string if isinstance(message.string, str) else message.string[0]


def refresh(news: dict[str, str]) -> dict[str, str]:
    """Update the .po with new translations. Return what is still missing, as {text: ""}."""
    texts, wrong = all_texts()
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    old = read_catalogue()
    new = Catalog(locale="zh_CN")
    missing = {}
    for text in texts:
        before = old.get(text.id, text.context) or old.get(text.singular, text.context)
        translated = news.pop(text.name, "") or translation(before)
        comments = before.user_comments if before else []
        new.add(
            text.id,
            (translated,) if text.plural else translated,
            locations=[(text.where, None)] if text.context not in ("variable", "preset") else [],
            auto_comments=[text.where] if text.context in ("variable", "preset") else [],
            user_comments=comments,
            context=text.context,
        )
        if not translated:
            missing[text.name] = ""
    for message in old:
        if message.id and new.get(message.id, message.context) is None:
            print(f"dropped: {message.id!r}: {translation(message)}", file=sys.stderr)
    for name in news:
        print(f"not a text of the window: {name!r}", file=sys.stderr)
    _write(new)
    return missing


def _write(catalog: Catalog) -> None:
    """Replace the entries in one step; the header of the file stays as it is."""
    head = CATALOGUE.read_text(encoding="utf-8").partition("\n\n")[0]
    body = BytesIO()
    write_po(body, catalog, width=0, omit_header=True)
    fresh = CATALOGUE.with_suffix(".new")
    fresh.write_text(f"{head}\n\n{body.getvalue().decode()}", encoding="utf-8", newline="\n")
    fresh.replace(CATALOGUE)
    compile_catalogue()


def compile_catalogue() -> None:
    """Write the .mo that the window reads, beside the .po."""
    compiled = CATALOGUE.with_suffix(".mo")
    fresh = compiled.with_suffix(f".{os.getpid()}")
    with fresh.open("wb") as file:
        write_mo(file, read_catalogue())
    fresh.replace(compiled)


def compile_if_stale() -> None:
    """Do that if the .po is newer."""
    compiled = CATALOGUE.with_suffix(".mo")
    if not compiled.exists() or compiled.stat().st_mtime < CATALOGUE.stat().st_mtime:
        compile_catalogue()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs of this tool waiting, where the system can lock files."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(CATALOGUE.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main(files: list[str]) -> int:
    news: dict[str, str] = {}
    for file in files:
        news |= json.loads(Path(file).read_text(encoding="utf-8"))
    with _alone():
        missing = refresh(news)
    if missing:
        print(json.dumps(missing, ensure_ascii=False, indent=1))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
