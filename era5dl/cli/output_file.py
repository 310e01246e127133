"""Writes a result to a file that the user has named, and refuses to replace a file that is not such a result."""

from __future__ import annotations

from pathlib import Path

from era5dl.errors import UsageError
from era5dl.folder.atomic_write import write_atomically
from era5dl.folder.disk_errors import translate_folder_errors

_HEAD = 4096  # bytes in which a result has its mark


def write_output_file(path: Path, content: bytes, mark: bytes) -> None:
    """Write `content` to `path`. An existing file is replaced only if it is empty or contains `mark` near its begin.

    mark: text that each result of this kind contains. Raises UsageError for another file, such as a data file or a
    script of the user; FolderUnusable or another DiskError if the file cannot be written.
    """
    with translate_folder_errors(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", remedy="Give the name of a file.")
        if path.is_file():
            with path.open("rb") as existing:
                head = existing.read(_HEAD)
            if head and mark not in head:
                raise UsageError(
                    f"{path} is there, and is another file: it is not replaced.",
                    remedy="Choose another name, or move that file away.",
                )
        write_atomically(path, [content])
