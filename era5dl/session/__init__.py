"""Sessions: what is being fetched into which folder, how far it is, and who is at it."""

from era5dl.session.checkpoint import Checkpoint, Failure, Unfinished
from era5dl.session.index import folder_of, known_sessions
from era5dl.session.session import Session
from era5dl.session.summary import Standing, Summary, list_sessions

__all__ = [
    "Checkpoint",
    "Failure",
    "Session",
    "Standing",
    "Summary",
    "Unfinished",
    "folder_of",
    "known_sessions",
    "list_sessions",
]
