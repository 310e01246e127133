"""Maps object keys to file paths inside the download folder, and never outside it.

Keys come from a server or from a list of somebody else, so they are not trusted. The text is checked: no "..", no
absolute path, no control characters, no device names. Symbolic links in the path are checked at each use, since one may
have been added in the meantime.
"""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from era5dl.errors import UnsafeKey

OWN_FOLDER = ".era5dl"  # subfolder of the download folder for session files; no object can be saved there
_NAME_LIMIT = 255  # per name: bytes on Linux and macOS file systems, UTF-16 units on NTFS
_WINDOWS = os.name == "nt"
_FOLDS_CASE = _WINDOWS or sys.platform == "darwin"  # names that differ only in case are the same file
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
_LONG_PATH = 200  # longer paths get the prefix; Windows' limit is 260, or 248 for folders, and suffixes are added


class LinkLeadsOut(OSError):
    """A symbolic link in a path leads out of the download folder. `filename` is the path."""

    def __init__(self, root: str, folder: str) -> None:
        super().__init__(errno.ELOOP, f"a link leads out of {root}", folder)
        self.root = root


def safe_path(folder: Path, key: str, *, flat: bool = False, windows: bool = _WINDOWS) -> Path:
    """Return the path of the file for `key` in `folder`, in the subfolders of the key unless `flat`.

    Raises UnsafeKey, with the reason, if the key is not a possible file name on this system or leads out of the folder,
    also through a symbolic link. Creates nothing.
    """
    names = check_key(key, flat=flat, windows=windows)
    root = os.path.abspath(folder)  # noqa: PTH100 - does not resolve links: the folder itself may be one
    path = os.path.join(root, *names)  # noqa: PTH118
    refuse_link_out(root, os.path.dirname(path))  # noqa: PTH120
    return Path(long_path(path, windows=windows))


def check_key(key: str, *, flat: bool = False, windows: bool = _WINDOWS) -> tuple[str, ...]:
    """Return the path components of a key. Checks only the text. Raises UnsafeKey."""
    if not key:
        raise UnsafeKey("the key is empty")
    shown = ascii(key)[:200]
    if key.startswith("/"):
        raise UnsafeKey(f"{shown} is an absolute path")
    names = tuple(key.split("/"))
    if not names[-1]:
        raise UnsafeKey(f"{shown} is a folder, not a file")
    for name in names:
        reason = _name_fault(name, windows)
        if reason:
            raise UnsafeKey(f"{shown} is not a possible file name: {reason}")
    check_encoding(key)
    if flat:
        names = names[-1:]
    if _is_own_folder(names[0]):
        raise UnsafeKey(f"{shown} is in the folder reserved for session files")
    return names


def check_encoding(path: str) -> None:
    """Raise UnsafeKey if the path cannot be encoded in this system's encoding of file names."""
    if path.isascii():
        return
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise UnsafeKey(
            f"{path[:200]!a} is not a possible file name: the file system encoding is {sys.getfilesystemencoding()}",
            remedy="Set a UTF-8 locale (such as LC_ALL=C.UTF-8) or PYTHONUTF8=1, and run the command again.",
        ) from None


def refuse_link_out(root: str, folder: str) -> None:
    """Raise UnsafeKey if `folder`, with all links resolved, is not `root` or below it."""
    check_encoding(root)
    if not _WINDOWS and not _has_links(root, folder):
        return  # the usual case, with a fast check; only `realpath` resolves junctions of Windows
    real_root = os.path.realpath(root)
    real = os.path.realpath(folder)
    if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
        raise UnsafeKey(
            f"{folder} is a link that leads out of {root}", remedy="Remove the link, or download into another folder."
        )


def _has_links(root: str, folder: str) -> bool:
    """Return whether any component of `folder` below `root` is a link."""
    while len(folder) > len(root):
        if os.path.islink(folder):  # noqa: PTH114 - fast: called once per object
            return True
        folder = os.path.dirname(folder)  # noqa: PTH120
    return False


def name_conflicts(keys: Sequence[str], *, flat: bool = False, fold_case: bool = _FOLDS_CASE) -> dict[int, str]:
    """Return the keys that cannot be saved because of a conflict with an earlier key: the reason by the key's index.

    Two keys conflict if they map to the same file (with `flat`, or on case-insensitive file systems), or if one needs a
    folder with the name of the other's file.
    """
    files: dict[str, int] = {}
    folders: dict[str, int] = {}
    found: dict[int, str] = {}
    for index, key in enumerate(keys):
        name = key.rsplit("/", 1)[-1] if flat else key
        if fold_case:
            name = unicodedata.normalize("NFC", name).casefold()
        if name in files:
            found[index] = f"{keys[files[name]]!a} has the same file name"
        elif name in folders:
            found[index] = f"{keys[folders[name]]!a} needs a folder of this name"
        else:
            parent, _, _ = name.rpartition("/")
            in_the_way = _claim_folders(parent, index, files, folders)
            if in_the_way is None:
                files[name] = index
            else:
                found[index] = f"{keys[in_the_way]!a} is a file, but this key needs a folder of that name"
    return found


def _claim_folders(parent: str, index: int, files: dict[str, int], folders: dict[str, int]) -> int | None:
    """Record that key `index` needs the folder `parent` and its ancestors. If a key has a file with the name of one of
    them, return its index, else None."""
    needed = []
    while parent and parent not in folders:  # known folders have been checked, with their ancestors
        if parent in files:
            return files[parent]
        needed.append(parent)
        parent, _, _ = parent.rpartition("/")
    for name in needed:
        folders[name] = index
    return None


def long_path(path: str, *, windows: bool = _WINDOWS) -> str:
    r"""Return a long path with the prefix that Windows requires, \\?\C:\... or \\?\UNC\server\...; others unchanged."""
    if not windows or len(path) < _LONG_PATH or path.startswith("\\\\?\\"):
        return path
    path = path.replace("/", "\\")
    if path.startswith("\\\\"):
        return "\\\\?\\UNC\\" + path[2:]
    return "\\\\?\\" + path


def without_long_prefix(path: Path) -> str:
    """Return the path without the prefix that `long_path` adds on Windows."""
    text = os.fspath(path)
    if text.startswith("\\\\?\\UNC\\"):
        return "\\\\" + text[8:]
    return text.removeprefix("\\\\?\\")


def name_fits(name: str, *, windows: bool = _WINDOWS) -> bool:
    """Return whether a path component is short enough for the file systems of this system."""
    if windows:
        return len(name.encode("utf-16-le", "surrogatepass")) // 2 <= _NAME_LIMIT
    return len(name.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT


def _name_fault(name: str, windows: bool) -> str:
    """Return why a path component is not a possible file name; "" if it is."""
    if not name:
        return "it contains an empty folder name"
    if name in (".", ".."):
        return f"it contains {name!r}"
    if not _is_plain(name) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "it contains control characters"
    if not name_fits(name, windows=windows):
        return "a name in it is too long"
    if not windows:
        return ""
    if any(letter in '<>:"|?*\\' for letter in name):
        return 'Windows does not allow <>:"|?*\\ in names'
    if name[-1] in ". ":
        return "Windows does not allow names that end in a dot or a space"
    if name.split(".", 1)[0].rstrip(" ").upper() in _DEVICES:
        return f"{name} is a device name on Windows"
    return ""


def _is_plain(name: str) -> bool:
    """Return whether the name is printable ASCII, as nearly all names are. Then Unicode categories are not checked."""
    return name.isascii() and name.isprintable()


def _is_own_folder(name: str) -> bool:
    """Return whether this name may be another spelling of OWN_FOLDER: in upper case, or its short name on Windows.

    Characters of category Cf are removed, because some file systems of macOS ignore them in names.
    """
    if not _is_plain(name):
        name = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    bare = name.casefold().rstrip(". ")
    return bare == OWN_FOLDER or bare.startswith("era5dl~")
