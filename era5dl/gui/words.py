"""What the window says about facts of the engine: one table for each kind of fact, no Tk.

The engine speaks in values and, for logs and the command line, in English sentences with keys and numbers in them. A
person at the window gets the words of these tables, in their language, and can ask for the engine's own sentence as a
detail. Hints speak of the window's buttons and pages, not of options of the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from era5dl import errors, text
from era5dl.catalog import Cadence, Preset, Product, Variable
from era5dl.engine.events import Outcome, State
from era5dl.engine.ledger import FileState
from era5dl.engine.opening import OPAQUE, UNKNOWN_PARTS, UNVERIFIED
from era5dl.engine.proving import AGREEMENT, GUESSED
from era5dl.errors import Era5Error
from era5dl.gui.i18n import LANGUAGES, N_, _, ngettext, translate
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED
from era5dl.session.summary import Standing


class Words(NamedTuple):
    """A short name for a column or a heading, and a sentence that explains it or says what happens next."""

    name: str
    hint: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, and what a person can do about it."""

    sentence: str
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
        N_("Make room, or connect the disk again. The download goes on by itself when files can be written."),
    ),
    State.WAITING_FOR_TRUST: Words(
        N_("Waiting for a trusted certificate"),
        N_(
            "Check this computer's date and time, and log in if the network has a login page. "
            "The download goes on by itself when the certificate is right."
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
}

_PROVING = Words(N_("Verifying"), N_("All its bytes are here; their MD5 is being computed."))

_STANDINGS = {
    Standing.INTERRUPTED: Words(N_("Interrupted"), N_("Press Resume to go on where it was.")),
    Standing.DONE: Words(N_("Done"), N_("Nothing is left to download.")),
    Standing.RUNNING: Words(N_("Running"), N_("This or another program is downloading it now.")),
    Standing.FOLDER_MISSING: Words(
        N_("Folder missing"), N_("Connect the disk it is on, or choose the folder if it was moved.")
    ),
    Standing.DAMAGED: Words(
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
    OPAQUE: N_("The server's ETag for it is not an MD5."),
    UNKNOWN_PARTS: N_("The server does not tell into which parts its MD5 was cut."),
    GUESSED: N_("The server does not tell into which parts its MD5 was cut, and no usual size fits."),
    AGREEMENT: N_("Two downloads gave the same bytes, but the server's ETag is not their MD5."),
}


def state(of: State) -> Words:
    """What a run is doing, and what happens next."""
    return _said(_STATES[of])


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


def standing(of: Standing) -> Words:
    """How a session stands, and what can be done with it."""
    return _said(_STANDINGS[of])


def missing(reason: str) -> Words:
    """Why a file of the plan is not there: `Missing.reason`."""
    return _said(_MISSING.get(reason, _MISSING[ABSENT]))


# --- errors

_RETRIED = N_("Nothing to do: it is tried again by itself, and what has come is kept.")

_ERRORS: Mapping[type[Era5Error], tuple[str, str]] = {
    errors.Era5Error: (
        N_("Something unexpected went wrong."),
        N_("Retry. If it happens again, save a support report on the Diagnostics page for whoever helps you."),
    ),
    errors.UsageError: (N_("This cannot be done as it was asked for."), N_("Check what was entered and try again.")),
    errors.UnknownName: (
        N_("There is no product or variable of this name."),
        N_("Pick it from the list, or search for a part of its name."),
    ),
    errors.AmbiguousName: (
        N_("More than one variable has this name."),
        N_("Pick the one you mean from the list; the product in front of the name tells them apart."),
    ),
    errors.BadSelection: (
        N_("These variables and dates do not make a selection."),
        N_("Choose at least one variable, and dates within the years the product covers, the first before the last."),
    ),
    errors.UnsafeKey: (
        N_("This file cannot be saved in the chosen folder."),
        N_(
            "Its name is not possible on this disk, or something with the same name is in the way. "
            "Move that, or choose another folder. The other files are not affected."
        ),
    ),
    errors.BucketError: (
        N_("A request to the server failed."),
        N_("Retry the file. If it fails again, run the network test on the Diagnostics page."),
    ),
    errors.Interrupted: (N_("The connection broke before the whole file had come."), _RETRIED),
    errors.StaleConnection: (N_("The server had closed an idle connection."), _RETRIED),
    errors.BadResponse: (
        N_("The answer is not the file that was asked for."),
        N_(
            "A login page or a proxy probably stands between this computer and the server. "
            "Open any web page in a browser and log in to the network if it asks you to, then retry."
        ),
    ),
    errors.ServerBusy: (
        N_("The server asks to slow down."),
        N_("Nothing to do: for a while fewer requests are sent. If it goes on, choose fewer workers."),
    ),
    errors.ServerFault: (
        N_("The server has a fault of its own."),
        N_("It is tried again by itself. If the file still fails, retry it some hours later."),
    ),
    errors.Unreachable: (
        N_("The server cannot be reached."),
        N_(
            "Check the network connection, and the proxy in the settings. "
            "The download goes on by itself when the network is back."
        ),
    ),
    errors.Untrusted: (
        N_("The server's certificate is not trusted."),
        N_(
            "Check this computer's date and time. If the network has a login page, log in first. "
            "If your institute inspects encrypted traffic, ask its IT for the CA file and choose it in the settings."
        ),
    ),
    errors.ObjectChanged: (
        N_("The file was replaced on the server while it was being downloaded."),
        N_("The new version is downloaded from the beginning. If the file fails, retry it later."),
    ),
    errors.NotFound: (
        N_("The server does not have this file."),
        N_("Recent months may not be published yet: try again in a few weeks. Otherwise leave it out."),
    ),
    errors.Denied: (
        N_("The server does not give this file away."),
        N_("Retry it later. If all files are denied, a firewall may be the cause: run the network test."),
    ),
    errors.Refused: (
        N_("The server refuses this request."),
        N_("Asking again will not help. Check endpoint and bucket in the settings."),
    ),
    errors.BucketRefused: (
        N_("The server, or the proxy before it, refuses every request."),
        N_("Check bucket, region and endpoint in the settings, and the proxy with its user name and password."),
    ),
    errors.OutOfSockets: (
        N_("The system does not let this program open more connections."),
        N_("Choose fewer workers, or close other programs. On Linux and macOS “ulimit -n” raises the limit."),
    ),
    errors.ProofError: (
        N_("The bytes that came are not those of the server's file."),
        N_(
            "Retry the file. If it happens again, something alters the data on its way: "
            "try another network, and have the memory and the disk of this computer checked."
        ),
    ),
    errors.DiskError: (
        N_("The disk does not take or give the data."),
        N_("Check that the disk is connected and healthy, or choose a folder on another one."),
    ),
    errors.DiskFull: (
        N_("There is no room left on the disk."),
        N_("Make room; the download goes on by itself. Nothing that has come is lost."),
    ),
    errors.FolderUnusable: (
        N_("The folder cannot be written to."),
        N_("Check that it still exists, that its disk is connected and that you may write there."),
    ),
    errors.PartLost: (
        N_("The unfinished file was moved or deleted while it was being downloaded."),
        N_("It is downloaded again from the beginning. Leave the .part files alone until the download has ended."),
    ),
    errors.SessionError: (
        N_("This session cannot be used."),
        N_("Start the same download into the same folder: complete files are not downloaded again."),
    ),
    errors.SessionBusy: (
        N_("Another program is working on this session."),
        N_("Let it finish, or stop it there first. It may be another window of this program."),
    ),
    errors.SessionDamaged: (
        N_("The record of this session cannot be read."),
        N_("Start the same download into the same folder: complete files are not downloaded again."),
    ),
    errors.SessionNotFound: (
        N_("There is no session in this folder."),
        N_("Choose the folder that a download went to, or start a new download."),
    ),
    errors.Stopped: (N_("Stopped by you."), N_("Press Resume to go on; everything that has come is kept.")),
}


def explain(error: Era5Error | type[Era5Error] | str) -> Explanation:
    """An error in words for a person: an error, its class or the name of its class ("DiskFull")."""
    if isinstance(error, str):
        kind = next((known for known in _ERRORS if known.__name__ == error), Era5Error)
    else:
        kind = error if isinstance(error, type) else type(error)
    sentence, hint = next(_ERRORS[known] for known in kind.__mro__ if known in _ERRORS)
    return Explanation(translate(sentence), translate(hint))


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
        return text.duration(rest)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return ngettext("{n:,} day {clock}", "{n:,} days {clock}", days, clock=clock)


def _said(words: Words) -> Words:
    return Words(translate(words.name), translate(words.hint))
