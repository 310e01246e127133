"""Translation of the window's texts with gettext, and switching the language while the window is open.

    _("Pause")                                           a text
    _("Sorted by {column}", column=name)                 values are filled in after translation: no f-strings
    ngettext("{n:,} file", "{n:,} files", count)         `n` is always one of the values
    pgettext("verb", "Open")                             where one English word has two meanings
    TITLES = {Page.LOG: N_("Log")}; translate(TITLES[page])    texts in a table

    follow(ttk.Button(page), text=lambda: _("Pause"))             set now, and again after each switch
    follow(notebook, lambda: notebook.tab(0, text=_("Log")))      for texts that are not options of a widget

A test collects these literals from the source, and fails if one has no translation. `python -m tests.texts` updates the
catalogue, and explains how to add a translation. The build compiles it (.packaging/wheel.py).

Everything here belongs to the Tk thread. No Tk in here: a widget is anything with `configure` and `bind`.
"""

from __future__ import annotations

import gettext
import logging
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "zh_CN": "简体中文"}  # each by its own name, so that users find their language again
LOCALE = Path(__file__).with_name("locale")

_log = logging.getLogger(__name__)


class _Widget(Protocol):
    def configure(self) -> Any: ...
    def bind(self, sequence: str, func: Any, add: Any) -> Any: ...


W = TypeVar("W", bound=_Widget)

_language = ENGLISH
_texts = gettext.NullTranslations()
_followers: dict[object, Callable[[], object]] = {}


class Term(NamedTuple):
    """A short name for a column or a heading, and a sentence that explains it."""

    name: str
    hint: str

    def translated(self) -> Term:
        """Return both texts translated. The originals are marked with N_."""
        return Term(translate(self.name), translate(self.hint))


# --- texts


def _(text: str, /, **values: object) -> str:
    """Translate a text, and fill in its {values}. For literals only."""
    return _filled(_texts.gettext(text), text, values)


def ngettext(one: str, many: str, n: int, /, **values: object) -> str:
    """Translate a text in the form for the number `n`, which is also the value {n}. For literals only."""
    return _filled(_texts.ngettext(one, many, n), one if n == 1 else many, {"n": n, **values})


def pgettext(context: str, text: str, /, **values: object) -> str:
    """Translate a text in the meaning it has in this context. For literals only."""
    return _filled(_texts.pgettext(context, text), text, values)


def N_(text: str, /) -> str:
    """Mark a literal in a table, which `translate` translates later; it is returned unchanged."""
    return text


def translate(text: str, /, *, context: str = "", language: str | None = None, **values: object) -> str:
    """Translate a text that is not a literal: one from a table, marked with N_, or a name from the ERA5 catalogue.

    language: instead of the current one, for example to search in all languages.
    """
    if not text:
        return ""  # gettext would return the header of the catalogue
    texts = _texts if language is None else _catalogue(language)
    return _filled(texts.pgettext(context, text) if context else texts.gettext(text), text, values)


def all_translations() -> list[str]:
    """Return every translation of every language."""
    return [
        text
        for known in LANGUAGES
        for text in getattr(_catalogue(known), "_catalog", {}).values()  # gettext has no public way to list them
        if isinstance(text, str)
    ]


def _filled(text: str, english: str, values: Mapping[str, object]) -> str:
    """Fill in the values. If a placeholder of the translation is wrong, fall back to the English text."""
    if not values:
        return text
    try:
        return text.format_map(values)
    except (LookupError, ValueError, AttributeError):
        return english.format_map(values)


# --- switching


def language() -> str:
    """Return the current language, a key of LANGUAGES."""
    return _language


def switch(to: str) -> None:
    """Switch the window to a language; an unknown one means English.

    All followers are called even if some of them fail. Then the first exception is raised.
    """
    global _language, _texts
    _language = to if to in LANGUAGES else ENGLISH
    _texts = _catalogue(_language)
    errors = [error for apply in list(_followers.values()) if (error := _error_of(apply))]
    if errors:
        raise errors[0]


def _error_of(apply: Callable[[], object]) -> Exception | None:
    try:
        apply()
    except Exception as error:  # noqa: BLE001 - raised by `switch`
        return error
    return None


def on_switch(apply: Callable[[], object]) -> Callable[[], None]:
    """Call `apply` after each switch. Return a function that ends this."""
    token = object()
    _followers[token] = apply

    def end() -> None:
        _followers.pop(token, None)

    return end


def follow(widget: W, apply: Callable[[], object] | None = None, /, **options: Callable[[], str]) -> W:
    """Set the texts of a widget now and after each switch, until it is destroyed. Return the widget.

    options: widget options, each with a function that returns the text. apply: sets texts in any other way.
    """

    def set_texts() -> None:
        if options:
            widget.configure(**{name: text() for name, text in options.items()})
        if apply is not None:
            apply()

    set_texts()
    end = on_switch(set_texts)

    def destroyed(event: Any) -> None:
        if event.widget is widget:  # a window also receives this event for its children
            end()

    widget.bind("<Destroy>", destroyed, add="+")
    return widget


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    """Load the translations into a language; without a readable file, texts stay English."""
    try:
        with (LOCALE / language / "LC_MESSAGES" / "era5dl.mo").open("rb") as file:
            return gettext.GNUTranslations(file)
    except (OSError, ValueError, struct.error) as error:
        if language != ENGLISH:
            _log.warning("no texts in %s: %s", language, error)
        return gettext.NullTranslations()
