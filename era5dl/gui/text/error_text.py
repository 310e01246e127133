"""Texts for errors: for each class of `era5dl.errors`, what happened and what the user can do. No Tk in here.

A test ensures that every class has its text. Hints refer to buttons and pages of the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from era5dl import errors
from era5dl.engine.events import ONLY_HELD
from era5dl.errors import Era5Error
from era5dl.gui.text.i18n import N_, translate


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, and what the user can do about it."""

    sentence: str
    hint: str

    @property
    def text(self) -> str:
        """The sentence and the hint."""
        return f"{self.sentence} {self.hint}"


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
        N_("Nothing to do: the file waits its time. Where many have to, fewer requests are sent for a while."),
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
    errors.Contradiction: (
        N_("The server says one thing about the size or version of this file, and then another."),
        N_(
            "It is tried again by itself. Most likely several servers or caches answer in turn and do not agree: "
            "if the file still fails, retry it some hours later."
        ),
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
            "try another network, and have this computer's memory checked. "
            "Only if the server is a mirror whose ETags are no MD5s, say so in the settings."
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
    errors.WillNotFit: (
        N_("What is still to come does not fit on the disk."),
        N_("Make room, choose a folder on another disk, or fewer files or dates; then begin again."),
    ),
    errors.FileTooLarge: (
        N_("The file is larger than the disk's file system or your limit takes."),
        N_("Choose a folder on another disk; FAT32, for one, takes no file above 4 GB."),
    ),
    errors.FolderUnusable: (
        N_("The folder cannot be written to."),
        N_("Check that it still exists, that its disk is connected and that you may write there."),
    ),
    errors.DiskAway: (
        N_("The disk that holds the folder is away, or was for a moment."),
        N_("Connect it again and the download goes on; what may have been lost is read again or fetched again."),
    ),
    errors.FolderVanished: (
        N_("The folder was deleted or moved away."),
        N_("Put it back and the download goes on. If it is elsewhere now, end the download and resume it there."),
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
    errors.ClaimedElsewhere: (
        N_("Another session is downloading this file into the same folder."),
        N_("Nothing to do: when the file is complete it is checked and taken over."),
    ),
    errors.SessionDamaged: (
        N_("The record of this session cannot be read."),
        N_("Start the same download into the same folder: complete files are not downloaded again."),
    ),
    errors.OtherEndpoint: (
        N_("This session comes from another server than the one in the settings."),
        N_("Resume it only if you trust that server, or whoever gave you the folder."),
    ),
    errors.SessionNotFound: (
        N_("There is no session in this folder."),
        N_("Choose the folder that a download went to, or start a new download."),
    ),
    errors.OutOfThreads: (
        N_("The system does not let this program run more threads."),
        N_("Choose fewer workers, or close other programs. On Linux and macOS “ulimit -u” raises the limit."),
    ),
    errors.Stopped: (N_("Stopped by you."), N_("Press Resume to go on; everything that has come is kept.")),
}

_REASONS = {ONLY_HELD: N_("Only held files are left.")}  # reasons that are not errors
KINDS = {known.__name__: known for known in _ERRORS}


def explain(error: Era5Error | type[Era5Error] | str) -> Explanation:
    """Explain an error, given as an exception, its class, or the name of its class ("DiskFull")."""
    if isinstance(error, str):
        return explain(KINDS.get(error, Era5Error))
    kind = error if isinstance(error, type) else type(error)
    sentence, hint = next(_ERRORS[known] for known in kind.__mro__ if known in _ERRORS)
    return Explanation(translate(sentence), translate(hint))


def explain_reason(kind: str, reason: str, remedy: str = "") -> Explanation:
    """Explain the reason of an event by the kind of its error; an unknown kind keeps its English reason and remedy."""
    return explain(kind) if kind in KINDS else Explanation(translate(_REASONS.get(reason, reason)), remedy)
