"""New file under a temporary name that gets its final name only when it is complete and synced.

For files whose content is made by this program. `PartFile` is for downloaded bytes, which a later run continues with;
a NewFile that does not get its final name is deleted.
"""

from __future__ import annotations

import contextlib
import os
from io import FileIO
from pathlib import Path
from types import TracebackType

from era5dl.errors import PartLost
from era5dl.folder.atomic_write import make_folders, rename, sync_folder
from era5dl.folder.confined_path import ConfinedPath, is_same_file

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class NewFile:
    """Context manager for one new file. raw: the open file, to be read and written.

    The file is created exclusively, so that nothing is written through a link with this name; a file that an
    interrupted run has left there is deleted before. Methods raise OSErrors.
    """

    raw: FileIO

    def __init__(self, path: Path | ConfinedPath) -> None:
        self._path = ConfinedPath.from_path(path)
        self._status: os.stat_result | None = None  # of the file when it was closed by `commit`

    def __enter__(self) -> NewFile:
        if not self._path.is_nested:
            make_folders(Path(self._path).parent)
        self._path.unlink(missing_ok=True)
        self.raw = FileIO(self._path.create(_FLAGS), "r+b")
        return self

    def commit(self, final: Path | ConfinedPath) -> os.stat_result:
        """Sync the file, close it and rename it to `final` in the same folder, replacing any existing file.

        Return the status of the file.
        Raises PartLost if the file with the temporary name is another one.
        """
        target = final if isinstance(final, ConfinedPath) else self._path.sibling(final.name)
        os.fsync(self.raw.fileno())
        ours = self._status = os.fstat(self.raw.fileno())
        self.raw.close()  # on Windows an open file cannot be renamed
        if not is_same_file(ours, self._path.lstat()):
            raise PartLost(f"{self._path} was replaced by another file")
        rename(self._path, target)
        now = target.lstat()
        if not is_same_file(ours, now):
            target.unlink(missing_ok=True)
            raise PartLost(f"{self._path} was replaced by another file")
        sync_folder(target)
        return now

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        ours = self._status if self.raw.closed else os.fstat(self.raw.fileno())
        self.raw.close()
        with contextlib.suppress(OSError):
            if ours is not None and is_same_file(ours, self._path.lstat()):  # else it is that of the next run
                self._path.unlink()
