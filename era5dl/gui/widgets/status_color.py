"""What a state means, as a colour and a shape: for table rows and pills, always beside the word."""

from __future__ import annotations

from enum import Enum


class Tone(Enum):
    """(icon, colour of the palette for icon and text, colour of a progress bar)"""

    WAITING = ("waiting", "muted", "control")
    ACTIVE = ("active", "accent", "accent")
    PAUSED = ("paused", "muted", "control")
    DONE = ("done", "ok", "ok")
    WARNING = ("warning", "warn", "warn")
    FAILED = ("failed", "danger", "danger")

    @property
    def icon(self) -> str:
        """A name of `icons.NAMES`."""
        return self.value[0]

    @property
    def colour(self) -> str:
        """A field of the palette for the icon and the word."""
        return self.value[1]

    @property
    def bar(self) -> str:
        """A field of the palette for a progress bar."""
        return self.value[2]
