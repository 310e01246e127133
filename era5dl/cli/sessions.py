"""sessions: what was begun on this computer, and how far it is."""

from __future__ import annotations

import argparse

from era5dl.cli.interrupts import Interrupts
from era5dl.cli.voice import Voice


def sessions(arguments: argparse.Namespace, voice: Voice, interrupts: Interrupts) -> int:
    """A line a session, the newest first. Asks no server and changes nothing."""
    raise NotImplementedError
