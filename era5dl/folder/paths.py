"""From an object's key to a file inside the chosen folder, and never outside it.

A key is text from a server or from a list somebody sent: it is checked as text first (no "..", nothing absolute, no
control characters, no name that means a device), and the folders on its way are resolved each time it is used, so
that a link planted meanwhile leads nowhere either.
"""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from era5dl.errors import UnsafeKey

OWN_FOLDER = ".era5dl"  # in the chosen folder: sessions live there, no object does
_NAME_LIMIT = 255  # bytes of one name on the file systems of Linux and macOS; UTF-16 units on NTFS
_WINDOWS = os.name == "nt"
_FOLDS_CASE = _WINDOWS or sys.platform == "darwin"  # "A" and "a" are one file there
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
_LONG_PATH = 200  # from here on Windows needs the prefix; its limit is 260, folders 248, and suffixes are added


class LinkLeadsOut(OSError):
    """A link on the way to a file leads out of the chosen folder. `filename` is that way."""

    def __init__(self, root: str, folder: str) -> None:
        super().__init__(errno.ELOOP, f"a link leads out of {root}", folder)
        self.root = root


def safe_path(folder: Path, key: str, *, flat: bool = False, windows: bool = _WINDOWS) -> Path:
    """The file for `key` under `folder`: at its own folders, or `flat` beside all others.

    Raises UnsafeKey, with the reason, when the key cannot be a file here or would leave the folder, also through a
    link that exists at this moment. Nothing is created.
    """
    names = check_key(key, flat=flat, windows=windows)
    root = os.path.abspath(folder)  # noqa: PTH100 - resolves no link; the folder itself may be one
    path = os.path.join(root, *names)  # noqa: PTH118
    refuse_way_out(root, os.path.dirname(path))  # noqa: PTH120
    return Path(long_path(path, windows=windows))


def check_key(key: str, *, flat: bool = False, windows: bool = _WINDOWS) -> tuple[str, ...]:
    """The names a key's path consists of. Raises UnsafeKey. Looks at the text only."""
    if not key:
        raise UnsafeKey("an empty key names no file")
    shown = ascii(key)[:200]
    if key.startswith("/"):
        raise UnsafeKey(f"{shown} is an absolute path")
    names = tuple(key.split("/"))
    if not names[-1]:
        raise UnsafeKey(f"{shown} names a folder, not a file")
    for name in names:
        reason = _fault(name, windows)
        if reason:
            raise UnsafeKey(f"{shown} cannot be a file: {reason}")
    check_encoding(key)
    if flat:
        names = names[-1:]
    if _is_own_folder(names[0]):
        raise UnsafeKey(f"{shown} would write into the folder where sessions are kept")
    return names


def check_encoding(path: str) -> None:
    """Raise UnsafeKey when this system's encoding of file names has no bytes for this one."""
    if path.isascii():
        return
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise UnsafeKey(
            f"{path[:200]!a} cannot be a file: file names are written in {sys.getfilesystemencoding()} here",
            remedy="Set a UTF-8 locale (such as LC_ALL=C.UTF-8) or PYTHONUTF8=1, and run it again.",
        ) from None


def refuse_way_out(root: str, folder: str) -> None:
    """Raise UnsafeKey when `folder`, all links on its way followed, is not under `root`."""
    check_encoding(root)
    if not _WINDOWS and not _has_links(root, folder):
        return  # mostly so, and cheaply seen; Windows has junctions, too, which only `realpath` sees
    real_root = os.path.realpath(root)
    real = os.path.realpath(folder)
    if real != real_root and not real.startswith(real_root.rstrip(os.sep) + os.sep):
        raise UnsafeKey(
            f"{folder} is a link that leads out of {root}", remedy="Remove the link, or download into another folder."
        )


def _has_links(root: str, folder: str) -> bool:
    """Whether anything below `root` on the way down to `folder` is a link."""
    while len(folder) > len(root):
        if os.path.islink(folder):  # noqa: PTH114 - once an object, for thousands of them
            return True
        folder = os.path.dirname(folder)  # noqa: PTH120
    return False


def clashes(keys: Sequence[str], *, flat: bool = False, fold_case: bool = _FOLDS_CASE) -> dict[int, str]:
    """The keys that cannot be a file because an earlier key of the list needs that name: place in the list -> reason.

    Two keys clash when they are the same file (with `flat`, or where case makes no difference), or when one is a
    file where the other needs a folder. The first one wins.
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
                found[index] = f"{keys[in_the_way]!a} is a file where this one needs a folder"
    return found


def _claim_folders(parent: str, index: int, files: dict[str, int], folders: dict[str, int]) -> int | None:
    """Note that `index` needs the folder `parent` and those above it; or tell which key is a file there."""
    needed = []
    while parent and parent not in folders:  # known folders were checked, with all above them
        if parent in files:
            return files[parent]
        needed.append(parent)
        parent, _, _ = parent.rpartition("/")
    for name in needed:
        folders[name] = index
    return None


def long_path(path: str, *, windows: bool = _WINDOWS) -> str:
    r"""An absolute path as Windows takes it beyond 260 characters: \\?\C:\... or \\?\UNC\server\...; else as it is."""
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
    """Whether one name of a path is short enough for the file systems of this system."""
    if windows:
        return len(name.encode("utf-16-le", "surrogatepass")) // 2 <= _NAME_LIMIT
    return len(name.encode("utf-8", "surrogatepass")) <= _NAME_LIMIT


def _fault(name: str, windows: bool) -> str:
    """Why one name of a key cannot be a name on disk; "" when it can."""
    if not name:
        return "it has an empty folder name"
    if name in (".", ".."):
        return f"it has {name!r} among its folders"
    if not _is_plain(name) and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "it has control characters"
    if not name_fits(name, windows=windows):
        return "a name in it is too long"
    if not windows:
        return ""
    if any(letter in '<>:"|?*\\' for letter in name):
        return 'Windows allows none of <>:"|?*\\ in a name'
    if name[-1] in ". ":
        return "Windows takes no name that ends in a dot or a space"
    if name.split(".", 1)[0].rstrip(" ").upper() in _DEVICES:
        return f"{name} is a device on Windows"
    return ""


def _is_plain(name: str) -> bool:
    """Whether it has nothing but visible ASCII and spaces, as nearly all names: no need to look at each letter."""
    return name.isascii() and name.isprintable()


def _is_own_folder(name: str) -> bool:
    """Whether this name could reach our own folder: whatever its case, and as the short name Windows gives it.

    Letters of category Cf are left out because some file systems of macOS ignore them in names.
    """
    if not _is_plain(name):
        name = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    bare = name.casefold().rstrip(". ")
    return bare == OWN_FOLDER or bare.startswith("era5dl~")
