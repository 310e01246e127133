"""Sessions on disk: the plan of a download, its progress, and the program that is working on it."""

from era5dl.session.checkpoint import Checkpoint, FailedObject, UnfinishedObject
from era5dl.session.index import folder_of, known_sessions
from era5dl.session.session import Session
from era5dl.session.summary import SessionStatus, SessionSummary, list_sessions

__all__ = [
    "Checkpoint",
    "FailedObject",
    "Session",
    "SessionStatus",
    "SessionSummary",
    "UnfinishedObject",
    "folder_of",
    "known_sessions",
    "list_sessions",
]
