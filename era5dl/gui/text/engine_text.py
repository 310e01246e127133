"""What the window says about facts of the engine: one table for each kind of fact, no Tk.

The engine speaks in values and, for logs and the command line, in English sentences with keys and numbers in them. A
person at the window gets the words of these tables, in their language, and can ask for the engine's own sentence as a
detail. Hints speak of the window's buttons and pages, not of options of the command line. The table of
errors is long and stands in `era5dl.gui.text.error_text`; `words.explain` is the door to it.
"""

from __future__ import annotations

from typing import NamedTuple

from era5dl import formatting
from era5dl.catalog import Cadence, Preset, Product, Variable
from era5dl.engine.counters import FileState
from era5dl.engine.events import Outcome, State, StateChanged
from era5dl.engine.prepare import OPAQUE, UNKNOWN_PARTS, UNVERIFIED
from era5dl.engine.unverified_files import EARLIER
from era5dl.engine.verification import UNMATCHED
from era5dl.gui.text.error_text import Explanation as Explanation
from era5dl.gui.text.error_text import explain as explain
from era5dl.gui.text.error_text import told as told
from era5dl.gui.text.i18n import LANGUAGES, N_, _, ngettext, translate
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED
from era5dl.session.summary import SessionStatus


class Words(NamedTuple):
    """A short name for a column or a heading, and a sentence that explains it or says what happens next."""

    name: str
    hint: str


# --- a run, a file, a session

_STATES = {
    State.READY: Words(N_("Ready"), N_("Press Start to begin.")),
    State.RUNNING: Words(N_("Downloading"), N_("You may leave; every file is checked as it arrives.")),
    State.PAUSED: Words(N_("Paused"), N_("Press Resume to go on; everything that has come is kept.")),
    State.WAITING_FOR_NETWORK: Words(
        N_("Waiting for the network"),
        N_("Nothing is lost, nothing fails meanwhile. The download goes on by itself when the server answers again."),
    ),
    State.WAITING_FOR_DISK: Words(
        N_("Waiting for the disk"),
        N_("Connect it again, or put the folder back. The download goes on by itself when files can be written."),
    ),
    State.WAITING_FOR_ROOM: Words(
        N_("Waiting for room on the disk"),
        N_("Make room. The download goes on by itself when files can be written."),
    ),
    State.WAITING_FOR_TRUST: Words(
        N_("Waiting for a trusted certificate"),
        N_(
            "Check this computer's date and time, and log in if the network has a login page. "
            "The download goes on by itself when the certificate is right."
        ),
    ),
    State.WAITING_TO_RETRY: Words(
        N_("Waiting to try failed files again"),
        N_("All else is done. Some files failed for reasons that time may heal; they are tried again in a moment."),
    ),
    State.WAITING_FOR_SESSION: Words(
        N_("Waiting for another session"),
        N_(
            "All that is left is being downloaded into this folder by another session. "
            "Its files are checked and taken over as they come; if it ends early, the download goes on here."
        ),
    ),
    State.STOPPING: Words(N_("Stopping"), N_("What has come is being saved.")),
    State.ENDED: Words(N_("Ended"), N_("Nothing is being downloaded any more.")),
}

_OUTCOMES = {
    Outcome.VERIFIED: Words(N_("Verified"), N_("Proven byte by byte: its MD5 is the one the server gives.")),
    Outcome.CHECKED: Words(
        N_("Checked"),
        N_("Size, byte ranges and file structure are right. The server gives no MD5 that could prove more."),
    ),
    Outcome.FAILED: Words(N_("Failed"), N_("This file is not here. See the reason, then retry it.")),
}

_FILE_STATES = {
    FileState.WAITING: Words(N_("Queued"), N_("Its turn will come.")),
    FileState.ACTIVE: Words(N_("In transfer"), N_("Its bytes are coming in.")),
    FileState.VERIFIED: _OUTCOMES[Outcome.VERIFIED],
    FileState.CHECKED: _OUTCOMES[Outcome.CHECKED],
    FileState.FAILED: _OUTCOMES[Outcome.FAILED],
    FileState.HELD: Words(N_("Held"), N_("Paused by you until you release it; what has come of it is kept.")),
}

_PROVING = Words(N_("Verifying"), N_("All its bytes are here; their MD5 is being computed."))

_STANDINGS = {
    SessionStatus.INTERRUPTED: Words(N_("Interrupted"), N_("Press Resume to go on where it was.")),
    SessionStatus.DONE: Words(N_("Done"), N_("Nothing is left to download.")),
    SessionStatus.RUNNING: Words(N_("Running"), N_("This or another program is downloading it now.")),
    SessionStatus.FOLDER_MISSING: Words(
        N_("Folder missing"), N_("Connect the disk it is on, or choose the folder if it was moved.")
    ),
    SessionStatus.DAMAGED: Words(
        N_("Damaged"),
        N_("Its record cannot be read. Start the same download into the same folder: complete files are kept."),
    ),
}

_MISSING = {
    NOT_YET_PUBLISHED: Words(
        N_("Not yet published"), N_("ERA5 reaches this bucket some months late. Try again in a few weeks.")
    ),
    ABSENT: Words(N_("Not on the server"), N_("The server has no such file, though it has its neighbours in time.")),
}


_UNPROVEN = {
    UNVERIFIED: N_("Verification was switched off."),
    OPAQUE: N_("The server's ETag is not an MD5."),
    UNKNOWN_PARTS: N_("The server does not tell into which parts its MD5 was cut."),
    UNMATCHED: N_("The server's ETag looks like an MD5 but is not the MD5 of these bytes."),
    EARLIER: N_("They were checked in an earlier run."),
}


def state(of: State) -> Words:
    """What a run is doing, and what happens next."""
    return _said(_STATES[of])


def why(event: StateChanged) -> str:
    """What is behind a state, as a sentence; "" where its own words say all: a retry round, another session."""
    if event.state in (State.WAITING_TO_RETRY, State.WAITING_FOR_SESSION):
        return ""
    return told(event.kind, event.reason).sentence


def outcome(of: Outcome) -> Words:
    """How far a file is proven."""
    return _said(_OUTCOMES[of])


def file_state(of: FileState, *, proving: bool = False) -> Words:
    """How a file of the queue stands. proving: `ActiveFile.proving`."""
    return _said(_PROVING if proving else _FILE_STATES[of])


def unproven(reason: str) -> str:
    """Why no more could be proven of a checked file: `FileDone.reason`."""
    known, _semicolon, complaint = reason.partition("; ")
    sentence = translate(_UNPROVEN[known]) if known in _UNPROVEN else known
    if not complaint:
        return sentence
    return _("{sentence} The file itself says: {complaint}", sentence=sentence, complaint=complaint)


def standing(of: SessionStatus) -> Words:
    """How a session stands, and what can be done with it."""
    return _said(_STANDINGS[of])


def missing(reason: str) -> Words:
    """Why a file of the plan is not there: `Missing.reason`."""
    return _said(_MISSING.get(reason, _MISSING[ABSENT]))


# --- the catalogue

_PRODUCTS = {
    "an.pl": Words(N_("Pressure levels"), N_("Analysis on 37 pressure levels from 1000 to 1 hPa, hourly.")),
    "an.sfc": Words(N_("Surface"), N_("Analysis at the surface and on single levels, hourly.")),
    "an.vinteg": Words(N_("Vertical integrals"), N_("Column totals, energy and water vapour fluxes, hourly.")),
    "fc.sfc.accumu": Words(
        N_("Accumulations"), N_("Precipitation, radiation, runoff: the sum over each hour, from short forecasts.")
    ),
    "fc.sfc.instan": Words(
        N_("Instantaneous forecasts"), N_("Gusts, rain rates, cloud base: values at each hour, from short forecasts.")
    ),
    "fc.sfc.meanflux": Words(
        N_("Mean rates and fluxes"), N_("The mean over each hour, in W/m² or kg/m²/s, from short forecasts.")
    ),
    "fc.sfc.minmax": Words(
        N_("Minima and maxima"), N_("Lowest and highest values of each hour, gusts included, from short forecasts.")
    ),
    "invariant": Words(
        N_("Invariant fields"), N_("Orography, land-sea mask, vegetation, soil and lakes: one file for all dates.")
    ),
}

_CADENCES = {
    Cadence.DAY: N_("one file a day"),
    Cadence.MONTH: N_("one file a month"),
    Cadence.HALF_MONTH: N_("two files a month"),
    Cadence.FIXED: N_("one file for all dates"),
}


def product(of: Product) -> Words:
    """A product's name and the one line about it."""
    return _said(_PRODUCTS[of.name])


def cadence(of: Cadence) -> str:
    """Into which files a product is cut: "one file a day"."""
    return translate(_CADENCES[of])


def variable(of: Variable) -> str:
    """A variable's long name in the window's language."""
    return translate(of.long_name, context="variable")


def variable_names(of: Variable) -> tuple[str, ...]:
    """A variable's long name in every language there is, for the search."""
    return tuple(dict.fromkeys(translate(of.long_name, context="variable", language=known) for known in LANGUAGES))


def preset(of: Preset) -> Words:
    """What a preset is for, and what has to be known about it (may be empty)."""
    return Words(translate(of.description, context="preset"), of.note and translate(of.note, context="preset"))


# --- numbers


def duration(seconds: float) -> str:
    """ "0:42", "1:02:03", "3 days 04:05:06" """
    days, rest = divmod(max(0, round(seconds)), 86400)
    if not days:
        return formatting.duration(rest)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return ngettext("{n:,} day {clock}", "{n:,} days {clock}", days, clock=clock)


def _said(words: Words) -> Words:
    return Words(translate(words.name), translate(words.hint))
