"""Texts of the window for errors: what happened and what the user can do, for each class of `era5dl.errors`. No Tk.

The English texts for CLI, JSON and log are in `era5dl.bucket.error_mapping` and `era5dl.errors`.

A test ensures that each class has a text. Hints refer to buttons and pages of the window.
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


_RETRIED = N_("Nothing to do. It is retried automatically, and the data received so far are kept.")

_ERRORS: Mapping[type[Era5Error], tuple[str, str]] = {
    errors.Era5Error: (
        N_("An unexpected error occurred."),
        N_("Retry. If it happens again, save a support report on the Diagnostics page for the person who helps you."),
    ),
    errors.UsageError: (N_("The request is not valid."), N_("Check your input and try again.")),
    errors.UnknownName: (
        N_("There is no product or variable with this name."),
        N_("Select it from the list, or search for part of its name."),
    ),
    errors.AmbiguousName: (
        N_("More than one variable has this name."),
        N_("Select the one you mean from the list; the product before the name tells them apart."),
    ),
    errors.BadSelection: (
        N_("The selection of variables and dates is not valid."),
        N_(
            "Choose at least one variable, and dates within the years that the product covers. The start must "
            "not be after the end."
        ),
    ),
    errors.UnsafeKey: (
        N_("This file cannot be saved in the chosen folder."),
        N_(
            "Its name is not allowed on this disk, or something with the same name is in the way. Move that "
            "away, or choose another folder. Other files are not affected."
        ),
    ),
    errors.BucketError: (
        N_("A request to the server failed."),
        N_("Retry the file. If it fails again, run the network test on the Diagnostics page."),
    ),
    errors.Interrupted: (N_("The connection was lost before the file was complete."), _RETRIED),
    errors.StaleConnection: (N_("The server closed an idle connection."), _RETRIED),
    errors.BadResponse: (
        N_("The response is not the requested file."),
        N_(
            "A login page or a proxy is probably intercepting the connection. Open any web page in a browser, "
            "log in to the network if asked, then retry."
        ),
    ),
    errors.ServerBusy: (
        N_("The server asks to slow down."),
        N_(
            "Nothing to do. The file waits as long as the server asks; if many have to wait, fewer requests are "
            "sent for a while."
        ),
    ),
    errors.ServerFault: (
        N_("The server reports an internal error."),
        N_("It is retried automatically. If the file still fails, retry it in a few hours."),
    ),
    errors.Unreachable: (
        N_("The server cannot be reached."),
        N_(
            "Check the network connection, and the proxy in the settings. The download resumes automatically "
            "when the network is back."
        ),
    ),
    errors.Untrusted: (
        N_("The server's certificate is not trusted."),
        N_(
            "Check the date and time of this computer. If the network has a login page, log in first. If your "
            "institution inspects encrypted traffic, ask its IT department for the CA file and select it in the "
            "settings."
        ),
    ),
    errors.ObjectChanged: (
        N_("The file was replaced on the server during the download."),
        N_("The new version is downloaded from the beginning. If the file fails, retry it later."),
    ),
    errors.Contradiction: (
        N_("The server gives contradictory answers about the size or version of this file."),
        N_(
            "It is retried automatically. Several servers or caches with different contents are probably "
            "answering in turn. If the file still fails, retry it in a few hours."
        ),
    ),
    errors.NotFound: (
        N_("The server does not have this file."),
        N_("Recent months may not be published yet; try again in a few weeks. Otherwise leave it out."),
    ),
    errors.Denied: (
        N_("The server denies access to this file."),
        N_("Retry it later. If all files are denied, a firewall may be the cause: run the network test."),
    ),
    errors.Refused: (
        N_("The server rejects this request."),
        N_("Retrying will not help. Check the endpoint and bucket in the settings."),
    ),
    errors.BucketRefused: (
        N_("The server, or a proxy in front of it, rejects every request."),
        N_("Check the bucket, region and endpoint in the settings, and the proxy with its user name and password."),
    ),
    errors.OutOfSockets: (
        N_("The system does not allow this program to open more connections."),
        N_("Use fewer workers, or close other programs. On Linux and macOS, “ulimit -n” raises the limit."),
    ),
    errors.ProofError: (
        N_("The received data do not match the file on the server."),
        N_(
            "Retry the file. If it happens again, the data are being altered on the way: try another network, "
            "and have the memory of this computer checked. If the server is a mirror whose ETags are not MD5s, "
            "turn on “ETags are not MD5s” in the settings."
        ),
    ),
    errors.DiskError: (
        N_("The disk cannot be written to or read from."),
        N_("Check that the disk is connected and healthy, or choose a folder on another disk."),
    ),
    errors.DiskFull: (
        N_("The disk is full."),
        N_("Free some space; the download resumes automatically. Nothing downloaded so far is lost."),
    ),
    errors.WillNotFit: (
        N_("The remaining files do not fit on the disk."),
        N_("Free some space, choose a folder on another disk, or select fewer variables or dates; then start again."),
    ),
    errors.FileTooLarge: (
        N_("The file is larger than the file system or your quota allows."),
        N_("Choose a folder on another disk. FAT32, for example, does not support files over 4 GB."),
    ),
    errors.FileInUse: (
        N_("Another program has the file open."),
        N_("Close the file in that program (MATLAB, Panoply, a backup). The download of this file then finishes."),
    ),
    errors.FolderUnusable: (
        N_("The folder cannot be written to."),
        N_("Check that it still exists, that its disk is connected, and that you have write permission."),
    ),
    errors.DiskAway: (
        N_("The disk with the folder is disconnected, or was for a moment."),
        N_("Reconnect it, and the download resumes. Data that may have been lost are read or downloaded again."),
    ),
    errors.FolderVanished: (
        N_("The folder was deleted or moved."),
        N_(
            "Put it back, and the download resumes. If it is somewhere else now, stop the download and resume it there."
        ),
    ),
    errors.PartLost: (
        N_("The unfinished file was moved or deleted during the download."),
        N_("It is downloaded again from the beginning. Do not touch the .part files until the download has ended."),
    ),
    errors.SessionError: (
        N_("This session cannot be used."),
        N_("Start the same download into the same folder. Complete files are not downloaded again."),
    ),
    errors.SessionBusy: (
        N_("Another program is using this session."),
        N_("Let it finish, or stop it there first. It may be another window of this program."),
    ),
    errors.BlocksBusy: (
        N_("Computers of a cluster are downloading parts of this session."),
        N_("Let them finish, or cancel their job first."),
    ),
    errors.ClaimedElsewhere: (
        N_("Another session is downloading this file into the same folder."),
        N_("Nothing to do. When the file is complete, it is checked and used here as well."),
    ),
    errors.SessionDamaged: (
        N_("The saved state of this session cannot be read."),
        N_("Start the same download into the same folder. Complete files are not downloaded again."),
    ),
    errors.OtherEndpoint: (
        N_("This session comes from a different server than the one in the settings."),
        N_("Resume it only if you trust that server, or the person who gave you the folder."),
    ),
    errors.SessionNotFound: (
        N_("There is no session in this folder."),
        N_("Choose the folder of an earlier download, or start a new one."),
    ),
    errors.ClusterError: (
        N_("The computers of the cluster cannot be used."),
        N_("Look at the logs of the cluster, or download on this computer alone."),
    ),
    errors.NodeUnfit: (
        N_("The download folder is not visible on a computer of the cluster."),
        N_("Mount the shared folder there, or leave that computer out."),
    ),
    errors.NoWorkers: (N_("The cluster has no worker."), N_("Start workers, and try again.")),
    errors.WorkersLost: (
        N_("Workers of the cluster ended again and again."),
        N_("Look at their logs: limits of memory or time end workers. Then start the same download again."),
    ),
    errors.VersionDiffers: (
        N_("Computers of the cluster have another version of this program."),
        N_("Install the same version on all of them."),
    ),
    errors.OutOfThreads: (
        N_("The system does not allow this program to start more threads."),
        N_("Use fewer workers, or close other programs. On Linux and macOS, “ulimit -u” raises the limit."),
    ),
    errors.Stopped: (N_("Stopped by you."), N_("Click Resume to continue. Everything downloaded so far is kept.")),
}

_REASONS = {ONLY_HELD: N_("Only held files remain.")}  # reasons that are not errors
KINDS = {known.__name__: known for known in _ERRORS}


def explain(error: Era5Error | type[Era5Error] | str) -> Explanation:
    """Explain an error, given as an exception, a class, or the name of a class ("DiskFull")."""
    if isinstance(error, str):
        return explain(KINDS.get(error, Era5Error))
    kind = error if isinstance(error, type) else type(error)
    sentence, hint = next(_ERRORS[known] for known in kind.__mro__ if known in _ERRORS)
    return Explanation(translate(sentence), translate(hint))


def explain_reason(kind: str, reason: str, remedy: str = "") -> Explanation:
    """Explain the reason of an event by the kind of its error. For an unknown kind, reason and remedy stay English."""
    return explain(kind) if kind in KINDS else Explanation(translate(_REASONS.get(reason, reason)), remedy)
