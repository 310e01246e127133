"""Texts for the states of the files of an archive, and the reasons. No Tk in here."""

from __future__ import annotations

from era5dl.archive.states import AuditedFile, Cause, State
from era5dl.catalog import Variable, find_variable
from era5dl.errors import Era5Error
from era5dl.gui.text import key_text, status_text
from era5dl.gui.text.i18n import N_, Term, _, ngettext, translate

_STATES = {
    State.PROVEN: Term(N_("Proven"), N_("There, unchanged since its MD5 was that of the server.")),
    State.UNPROVEN: Term(N_("Not proven"), N_("There, and nothing is known to be wrong.")),
    State.NOT_ASKED: Term(N_("Not asked for"), N_("No session has asked for it.")),
    State.NOT_PUBLISHED: Term(N_("Not yet published"), N_("It was not on the server yet, and may appear later.")),
    State.NOT_IN_BUCKET: Term(N_("Not on the server"), N_("The server does not have this file.")),
    State.REPLACED: Term(N_("Replaced"), N_("There, but the server has a newer version.")),
    State.PARTIAL: Term(N_("Incomplete"), N_("There, without some of the wanted hours, levels or area.")),
    State.MISSING: Term(N_("Missing"), N_("Not there.")),
    State.FAILED: Term(N_("Failed"), N_("Not there, because of an error.")),
    State.TRUNCATED: Term(N_("Damaged"), N_("There, but its size is wrong, or it cannot be read.")),
}
_CAUSES = {
    Cause.NONE: "",
    Cause.NO_MD5: N_("Its size and structure are right; there is no MD5 to compare with."),
    Cause.NOT_COMPARED: N_("No session has compared it with the server."),
    Cause.CHANGED: N_("Modified, or copied, after it was verified."),
    Cause.UNREADABLE: N_("It cannot be read."),
    Cause.STRUCTURE: N_("It is not a complete netCDF file."),
    Cause.NEWER: N_("The server has a newer version."),
    Cause.PLACES: N_("It has other levels or another area."),
    Cause.GONE: N_("It was complete, and is gone."),
    Cause.STARTED: N_("Some of it is downloaded."),
    Cause.NOT_STARTED: N_("Not downloaded yet."),
    Cause.NO_SESSION: N_("No session has asked for it."),
    Cause.GAP: N_("Files before and after it are there."),
    Cause.ERROR: N_("The last attempt has failed."),
    Cause.RECENT: N_("Newer than all files that are known here."),
}


def state(of: State) -> Term:
    """Return the name of a state and a sentence that explains it."""
    return _STATES[of].translated()


def reason(of: AuditedFile) -> str:
    """Return why a file has its state; "" if it is proven."""
    if of.cause is Cause.SIZE:
        return _("It has {size:,} bytes instead of {expected:,}.", size=of.size, expected=of.expected)
    if of.cause is Cause.HOURS:
        return ngettext("{n:,} hour is missing.", "{n:,} hours are missing.", len(of.lacking))
    if of.cause is Cause.ABSENT:
        return status_text.missing_file(of.detail).hint
    return translate(_CAUSES[of.cause])


def count(of: State, number: int) -> str:
    """Return the number of files of a state: "Proven: 12"."""
    return _("{state}: {n:,}", state=state(of).name, n=number)


def variable(name: str) -> str:
    """Return the name of a variable such as "an.sfc/2t" for a row; one that is not in the catalogue as it is."""
    known = _known(name)
    return key_text.variable_name(known) if known else name


def month(of: str) -> str:
    """Return a month such as "202003": "Mar 2020"; for files without times what they are."""
    if not of:
        return _("All dates")
    return _("{month} {year}", month=translate(key_text.MONTHS[int(of[4:6]) - 1]), year=int(of[:4]))


def _known(name: str) -> Variable | None:
    try:
        return find_variable(name)
    except Era5Error:
        return None
