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
import locale
import logging
import os
import plistlib
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from xml.parsers.expat import ExpatError

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "zh_CN": "简体中文"}  # each by its own name: one must find back
LOCALE = Path(__file__).with_name("locale")

_log = logging.getLogger(__name__)


class _Widget(Protocol):
    def configure(self) -> Any: ...
    def bind(self, sequence: str, func: Any, add: Any) -> Any: ...


W = TypeVar("W", bound=_Widget)

_now = ENGLISH
_texts = gettext.NullTranslations()
_followers: dict[object, Callable[[], object]] = {}


class Term(NamedTuple):
    """A short name for a column or a heading, and a sentence that explains it or says what happens next."""

    name: str
    hint: str

    def translated(self) -> Term:
        """Translate both; in tables they are marked with N_."""
        return Term(translate(self.name), translate(self.hint))


# --- texts


def _(text: str, /, **values: object) -> str:
    """The text in the language of the window, with its {values} filled in. Only for literals."""
    return _filled(_texts.gettext(text), text, values)


def ngettext(one: str, many: str, n: int, /, **values: object) -> str:
    """The form that fits `n`, which is the value {n}. Only for literals."""
    return _filled(_texts.ngettext(one, many, n), one if n == 1 else many, {"n": n, **values})


def pgettext(context: str, text: str, /, **values: object) -> str:
    """The text as it is meant in this context. Only for literals."""
    return _filled(_texts.pgettext(context, text), text, values)


def N_(text: str, /) -> str:
    """The text as it is: marks a literal of a table, which `translate` is asked for later."""
    return text


def translate(text: str, /, *, context: str = "", language: str | None = None, **values: object) -> str:
    """A text that is no literal: out of a table marked with N_, or a name of ERA5's catalogue.

    language: another one than the window's, for instance to search in all of them.
    """
    if not text:
        return ""  # gettext's answer to that is the header of the catalogue
    texts = _texts if language is None else _catalogue(language)
    return _filled(texts.pgettext(context, text) if context else texts.gettext(text), text, values)


def all_texts() -> list[str]:
    """Every translation there is, of all languages."""
    return [
        said
        for known in LANGUAGES
        for said in getattr(_catalogue(known), "_catalog", {}).values()  # gettext has no way to list them
        if isinstance(said, str)
    ]


def _filled(text: str, english: str, values: Mapping[str, object]) -> str:
    """A translation with a wrong placeholder must not break the window: then the English text stands."""
    if not values:
        return text
    try:
        return text.format_map(values)
    except (LookupError, ValueError, AttributeError):
        return english.format_map(values)


# --- the switch


def language() -> str:
    """The language of the window now: a key of LANGUAGES."""
    return _now


def switch(to: str) -> None:
    """Show everything in this language from now on; an unknown one is English.

    Everybody who follows is called, also when one of them fails; then the first failure is raised.
    """
    global _now, _texts
    _now = to if to in LANGUAGES else ENGLISH
    _texts = _catalogue(_now)
    failures = [failure for apply in list(_followers.values()) if (failure := _failure_of(apply))]
    if failures:
        raise failures[0]


def _failure_of(apply: Callable[[], object]) -> Exception | None:
    try:
        apply()
    except Exception as failure:  # noqa: BLE001 - raised by `switch`
        return failure
    return None


def on_switch(apply: Callable[[], object]) -> Callable[[], None]:
    """Call `apply` after each switch. The function returned ends that."""
    token = object()
    _followers[token] = apply

    def end() -> None:
        _followers.pop(token, None)

    return end


def follow(widget: W, apply: Callable[[], object] | None = None, /, **options: Callable[[], str]) -> W:
    """Set the texts of a widget now and after each switch, until it is destroyed. Returns the widget.

    options: by their names, each a function that gives the text. apply: any other way to set texts.
    """

    def set_texts() -> None:
        if options:
            widget.configure(**{name: text() for name, text in options.items()})
        if apply is not None:
            apply()

    set_texts()
    end = on_switch(set_texts)

    def destroyed(event: Any) -> None:
        if event.widget is widget:  # a window hears of its children's end, too
            end()

    widget.bind("<Destroy>", destroyed, add="+")
    return widget


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    """The translations into this language; none, which is English, if there are none or they cannot be read."""
    try:
        with (LOCALE / language / "LC_MESSAGES" / "era5dl.mo").open("rb") as file:
            return gettext.GNUTranslations(file)
    except (OSError, ValueError, struct.error) as error:
        if language != ENGLISH:
            _log.warning("no texts in %s: %s", language, error)
        return gettext.NullTranslations()


# --- the language of the system


def system_language(
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    windows: Callable[[], Sequence[str]] | None = None,
    mac: Callable[[], Sequence[str]] | None = None,
) -> str:
    """The language this person's system speaks, if we speak it, too; else English.

    LANGUAGE is believed everywhere: nobody sets it by accident.  The other variables are not believed on Windows and
    macOS, where shells set them from the region or to a constant.
    """
    if environ.get("LANGUAGE"):
        return best(environ["LANGUAGE"].split(":"))
    if platform == "win32":
        return best((windows or windows_languages)())
    if platform == "darwin":
        return best((mac or mac_languages)())
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return best([environ[name]])
    return ENGLISH


def best(wishes: Sequence[str]) -> str:
    """The first of these languages that we speak; else English. "zh_CN.UTF-8", "zh-Hans-SG" and "zh" are one.

    Traditional Chinese is another script: who wants that is not given simplified characters unasked.
    """
    for wish in wishes:
        parts = wish.split(".")[0].split("@")[0].replace("-", "_").lower().split("_")
        if parts[0] == "en":
            return ENGLISH
        if parts[0] == "zh" and ("hans" in parts or not {"hant", "tw", "hk", "mo"} & set(parts)):
            return "zh_CN"
    return ENGLISH


def windows_languages(user_language: Callable[[], int] | None = None) -> list[str]:
    """What GetUserDefaultUILanguage says, as a name such as "zh_CN"."""
    if user_language is None:
        import ctypes

        user_language = ctypes.windll.kernel32.GetUserDefaultUILanguage  # type: ignore[attr-defined,unused-ignore]
    return [locale.windows_locale.get(user_language(), "")]


def mac_languages(preferences: Path | None = None) -> list[str]:
    """AppleLanguages of the user's preferences: the languages in the order wished for, such as "zh-Hans-CN"."""
    path = preferences or Path.home() / "Library/Preferences/.GlobalPreferences.plist"
    try:
        wishes = plistlib.loads(path.read_bytes()).get("AppleLanguages", [])
    except (OSError, ValueError, AttributeError, ExpatError):  # InvalidFileException is a ValueError
        return []
    return [wish for wish in wishes if isinstance(wish, str)] if isinstance(wishes, list) else []
