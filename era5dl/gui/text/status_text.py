"""Texts for states and reasons that the engine reports: runs, files, sessions, missing files. No Tk in here.

The engine reports values, plus English sentences for logs and the command line. The window shows the texts of these
tables in the user's language. Hints refer to buttons and pages of the window, not to command-line options.
"""

from __future__ import annotations

from era5dl import formatting
from era5dl.engine.concurrency import Reason
from era5dl.engine.events import Outcome, State, StateChanged
from era5dl.engine.prepare import NO_MD5, UNKNOWN_PART_SIZE, VERIFICATION_OFF
from era5dl.engine.progress import FileState
from era5dl.engine.reporting import CHECKED_EARLIER
from era5dl.engine.verification import ETAG_MISMATCH
from era5dl.gui.text import error_text
from era5dl.gui.text.i18n import N_, Term, _, ngettext, translate
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED
from era5dl.session.summary import SessionStatus

# --- runs, files, sessions

_STATES = {
    State.READY: Term(N_("Ready"), N_("Click Start download to begin.")),
    State.RUNNING: Term(N_("Downloading"), N_("You can leave it running; every file is checked as it arrives.")),
    State.PAUSED: Term(N_("Paused"), N_("Click Resume to continue. Everything downloaded so far is kept.")),
    State.WAITING_FOR_NETWORK: Term(
        N_("Waiting for the network"),
        N_(
            "Nothing is lost, and no file fails because of this. The download resumes automatically when the "
            "server responds again."
        ),
    ),
    State.WAITING_FOR_DISK: Term(
        N_("Waiting for the disk"),
        N_("Reconnect it, or put the folder back. The download resumes automatically when files can be written."),
    ),
    State.WAITING_FOR_ROOM: Term(
        N_("Waiting for disk space"),
        N_("Free some space. The download resumes automatically when files can be written."),
    ),
    State.WAITING_FOR_TRUST: Term(
        N_("Waiting for a trusted certificate"),
        N_(
            "Check the date and time of this computer, and log in if the network has a login page. The download "
            "resumes automatically when the certificate is trusted."
        ),
    ),
    State.WAITING_TO_RETRY: Term(
        N_("Waiting to retry failed files"),
        N_("Everything else is done. Some files failed for reasons that may pass; they are retried in a moment."),
    ),
    State.WAITING_FOR_SESSION: Term(
        N_("Waiting for another session"),
        N_(
            "All remaining files are being downloaded into this folder by another session. They are checked and "
            "used here as they are completed. If that session ends early, the download continues here."
        ),
    ),
    State.STOPPING: Term(N_("Stopping"), N_("Saving the data received so far.")),
    State.ENDED: Term(N_("Ended"), N_("The download has ended.")),
}

_OUTCOMES = {
    Outcome.VERIFIED: Term(N_("Verified"), N_("Its MD5 matches the server's: every byte is correct.")),
    Outcome.CHECKED: Term(
        N_("Checked"),
        N_("Size, byte ranges and file structure are correct. The server provides no MD5 for a full verification."),
    ),
    Outcome.CHECKED_PART: Term(
        N_("Subset checked"),
        N_(
            "Only the selected subset was downloaded. Version, structure and the checksum of every block of data are "
            "correct."
        ),
    ),
    Outcome.FAILED: Term(N_("Failed"), N_("This file was not downloaded. See the reason, then retry it.")),
}

_FILE_STATES = {
    FileState.WAITING: Term(N_("Queued"), N_("Waiting to be downloaded.")),
    FileState.ACTIVE: Term(N_("Downloading"), N_("Receiving data.")),
    FileState.VERIFIED: _OUTCOMES[Outcome.VERIFIED],
    FileState.CHECKED: _OUTCOMES[Outcome.CHECKED],
    FileState.CHECKED_PART: _OUTCOMES[Outcome.CHECKED_PART],
    FileState.FAILED: _OUTCOMES[Outcome.FAILED],
    FileState.HELD: Term(N_("Held"), N_("Paused until you release it. The data received so far are kept.")),
}

_VERIFYING = Term(N_("Verifying"), N_("All data have been received; the MD5 is being computed."))

_SESSION_STATUSES = {
    SessionStatus.INTERRUPTED: Term(N_("Interrupted"), N_("Click Resume to continue where it stopped.")),
    SessionStatus.DONE: Term(N_("Done"), N_("All files have been downloaded.")),
    SessionStatus.RUNNING: Term(N_("Running"), N_("It is being downloaded now, by this or another program.")),
    SessionStatus.FOLDER_MISSING: Term(
        N_("Folder missing"), N_("Connect its disk, or choose the folder again if it was moved.")
    ),
    SessionStatus.DAMAGED: Term(
        N_("Damaged"),
        N_("Its saved state cannot be read. Start the same download into the same folder. Complete files are kept."),
    ),
}

_MISSING = {
    NOT_YET_PUBLISHED: Term(
        N_("Not yet published"),
        N_("ERA5 data reach this bucket with a delay of some months. Try again in a few weeks."),
    ),
    ABSENT: Term(
        N_("Not on the server"), N_("The server does not have this file, although it has those before and after it.")
    ),
}


_NOT_VERIFIED = {
    VERIFICATION_OFF: N_("Verification was turned off."),
    NO_MD5: N_("The server's ETag is not an MD5."),
    UNKNOWN_PART_SIZE: N_("The server does not reveal the part sizes behind its MD5."),
    ETAG_MISMATCH: N_("The server's ETag looks like an MD5, but is not the MD5 of these data."),
    CHECKED_EARLIER: N_("Checked in an earlier run."),
}


_WORKERS_REASONS = {
    Reason.MEASURING.value: N_("Now it is being measured whether more are faster."),
    Reason.NO_GAIN.value: N_("More bring no more speed."),
    Reason.CEILING.value: N_("That is its maximum."),
    Reason.REFUSED.value: N_("The server refuses more."),
    Reason.RATE_LIMIT.value: N_("The rate limit is reached, so more would not help."),
    Reason.CPU.value: N_("The processor is busy, so more would not help."),
    Reason.NOT_RUNNING.value: N_("Nothing is being downloaded at the moment."),
}


def state(of: State) -> Term:
    """Return the activity of a run in this state, and what happens next."""
    return _STATES[of].translated()


def state_reason(event: StateChanged) -> str:
    """Return the reason for the state of a run, as a sentence; "" if the text of the state contains it."""
    if event.state in (State.WAITING_TO_RETRY, State.WAITING_FOR_SESSION):
        return ""
    return error_text.explain_reason(event.kind, event.reason).sentence


def outcome(of: Outcome) -> Term:
    """Return how far a finished file has been verified."""
    return _OUTCOMES[of].translated()


def file_state(of: FileState, *, proving: bool = False) -> Term:
    """Return the state of a file in the queue. proving: `ActiveFile.proving`."""
    return (_VERIFYING if proving else _FILE_STATES[of]).translated()


def not_verified_reason(reason: str) -> str:
    """Return why a file is checked but not verified, from `FileDone.reason`."""
    known, _semicolon, defect = reason.partition("; ")
    sentence = translate(_NOT_VERIFIED[known]) if known in _NOT_VERIFIED else known
    if not defect:
        return sentence
    return _("{sentence} Problem in the file: {complaint}", sentence=sentence, complaint=defect)


def session_status(of: SessionStatus) -> Term:
    """Return the status of a session, and what the user can do with it."""
    return _SESSION_STATUSES[of].translated()


def missing_file(reason: str) -> Term:
    """Return why a planned file is not on the server, from `Missing.reason`."""
    return _MISSING.get(reason, _MISSING[ABSENT]).translated()


# --- numbers


def workers_reason(workers: int, reason: str) -> str:
    """Return why so many workers were chosen automatically, from `Snapshot.workers_reason`."""
    number = ngettext("Auto uses {n:,} connection.", "Auto uses {n:,} connections.", workers)
    return f"{number} {translate(_WORKERS_REASONS.get(reason, N_('This was found by measuring.')))}"


def duration(seconds: float) -> str:
    """Format a duration: "0:42", "1:02:03", "3 days 04:05:06"."""
    days, rest = divmod(max(0, round(seconds)), 86400)
    if not days:
        return formatting.format_duration(rest)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return ngettext("{n:,} day {clock}", "{n:,} days {clock}", days, clock=clock)
