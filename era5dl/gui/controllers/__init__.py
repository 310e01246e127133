"""Controllers: connect pages, view models and the backend. All of their methods run on the Tk thread.

Each controller has the same shape:

- its constructor gets the pages, view models and services that it works with;
- `handle(message)` reacts to the backend messages that concern it, and ignores all others;
- `refresh()` shows what changes all the time;
- `retranslate()` shows again the texts that it has given to pages, after a change of language;
- its other public methods are actions of the user, or are called by a controller that got this one.
"""

from __future__ import annotations

from era5dl.gui.backend.messages import Message


class Controller:
    """Base of all controllers. A controller overrides what it needs."""

    def handle(self, message: Message) -> None:
        """React to a message from the backend."""

    def refresh(self) -> None:
        """Show current numbers. Called ten times a second or more often."""

    def retranslate(self) -> None:
        """Show texts again in the current language."""
