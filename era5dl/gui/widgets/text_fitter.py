"""Measures texts in pixels, and shortens them with an ellipsis to a given width. No Tk in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

ELLIPSIS = "…"
_CACHE_SIZE = 4000


class TextFitter:
    """Shortens texts of one font, and caches the results.

    The width of a text is computed as the sum of its characters, each of which is measured once. Measuring whole texts
    with Tk would take longer than the rest of drawing a table: each call releases the GIL, and the Tk thread has to
    wait for it. With kerning a text may be a pixel or two narrower than computed.
    """

    def __init__(self, measure: Callable[[str], int]) -> None:
        """measure: returns the width of a text in pixels, such as `tkinter.font.Font.measure`."""
        self._widths = _CharacterWidths(measure)
        self._cache: dict[tuple[str, int, bool], str] = {}

    def fit(self, text: str, width: int, *, middle: bool = False) -> str:
        """Return the text, shortened to at most `width` pixels. middle: remove its middle instead of its end."""
        if not text:
            return text
        key = (text, width, middle)
        fitted = self._cache.get(key)
        if fitted is None:
            if len(self._cache) > _CACHE_SIZE:
                self._cache.clear()
            fitted = self._cache[key] = self._shorten(text, width, middle)
        return fitted

    def widest(self, texts: Iterable[str]) -> int:
        """Return the width of the widest text, in pixels."""
        return max(map(self.measure, texts), default=0)

    def measure(self, text: str) -> int:
        """Return the width of a text, in pixels."""
        return sum(map(self._widths.__getitem__, text))

    def _shorten(self, text: str, width: int, middle: bool) -> str:
        if self.measure(text) <= width:
            return text
        least, most = 0, len(text) - 1  # characters kept
        while least < most:
            kept = (least + most + 1) // 2
            if self.measure(_with_ellipsis(text, kept, middle)) <= width:
                least = kept
            else:
                most = kept - 1
        return _with_ellipsis(text, least, middle)


class _CharacterWidths(dict[str, int]):
    """Width of each character in pixels, measured on first use."""

    def __init__(self, measure: Callable[[str], int]) -> None:
        super().__init__()
        self._measure = measure

    def __missing__(self, character: str) -> int:
        width = self[character] = self._measure(character)
        return width


def _with_ellipsis(text: str, kept: int, middle: bool) -> str:
    if not middle:
        return text[:kept] + ELLIPSIS
    front = kept - kept // 2
    return text[:front] + ELLIPSIS + text[len(text) - (kept - front) :]
