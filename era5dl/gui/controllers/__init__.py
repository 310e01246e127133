"""Controllers: connect pages, view models and the backend. All of their methods run on the Tk thread.

Each controller has the same shape:

- its constructor receives the pages, view models and services that it uses;
- `handle(message)` reacts to the backend messages that concern it, and ignores all others;
- `refresh()` shows values that change all the time, such as the progress;
- `retranslate()` sets the texts that it has passed to pages again, after a change of language;
- its other public methods are actions of the user, or are called by other controllers.
"""

from __future__ import annotations

from era5dl.gui.backend.messages import Message


class Controller:
    """Base class of all controllers. Each overrides the methods that it needs."""

    def handle(self, message: Message) -> None:
        """React to a message from the backend."""

    def refresh(self) -> None:
        """Show current values. Called at least ten times a second."""

    def retranslate(self) -> None:
        """Show texts again in the current language."""
