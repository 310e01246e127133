"""Detects the language of the operating system's user interface on Linux, macOS and Windows."""

from __future__ import annotations

import locale
import os
import plistlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.parsers.expat import ExpatError

from era5dl.gui.text.i18n import ENGLISH


def system_language(
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    windows: Callable[[], Sequence[str]] | None = None,
    mac: Callable[[], Sequence[str]] | None = None,
) -> str:
    """Return the language of the user interface of this system if it is supported, else English.

    The variable LANGUAGE takes precedence on all systems, because it is only set on purpose. The other variables are
    ignored on Windows and macOS, where shells derive them from the region, or use a constant.
    """
    if environ.get("LANGUAGE"):
        return first_supported(environ["LANGUAGE"].split(":"))
    if platform == "win32":
        return first_supported((windows or windows_languages)())
    if platform == "darwin":
        return first_supported((mac or mac_languages)())
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(variable):
            return first_supported([environ[variable]])
    return ENGLISH


def first_supported(names: Sequence[str]) -> str:
    """Return the first supported language, else English. "zh_CN.UTF-8", "zh-Hans-SG" and "zh" all mean zh_CN.

    Traditional Chinese is not supported: its readers may not want simplified characters.
    """
    for name in names:
        parts = name.split(".")[0].split("@")[0].replace("-", "_").lower().split("_")
        if parts[0] == "en":
            return ENGLISH
        if parts[0] == "zh" and ("hans" in parts or not {"hant", "tw", "hk", "mo"} & set(parts)):
            return "zh_CN"
    return ENGLISH


def windows_languages(user_language: Callable[[], int] | None = None) -> list[str]:
    """Return the language from GetUserDefaultUILanguage as a name such as "zh_CN"."""
    if user_language is None:
        import ctypes

        user_language = ctypes.windll.kernel32.GetUserDefaultUILanguage  # type: ignore[attr-defined,unused-ignore]
    return [locale.windows_locale.get(user_language(), "")]


def mac_languages(preferences: Path | None = None) -> list[str]:
    """Return AppleLanguages from the user's preferences: languages in order of preference, such as "zh-Hans-CN"."""
    path = preferences or Path.home() / "Library/Preferences/.GlobalPreferences.plist"
    try:
        names = plistlib.loads(path.read_bytes()).get("AppleLanguages", [])
    except (OSError, ValueError, AttributeError, ExpatError):  # InvalidFileException is a ValueError
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
