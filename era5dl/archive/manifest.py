"""Makes the manifest of an archive, and compares the files with it.

What sessions have recorded is taken from them: nothing is read for it. SHA-256 is computed on request, and carried over
from the manifest before for files with the same size, time and version, so that only new files are read. What has been
computed is saved every half minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from era5dl import __version__
from era5dl.archive.audit import audit_scan
from era5dl.archive.digests import FileDigests, read_digests
from era5dl.archive.manifest_format import (
    MANIFEST_NAME,
    Manifest,
    ManifestEntry,
    read_manifest,
    require_manifest,
    write_manifest,
)
from era5dl.archive.scan import scan_folder
from era5dl.archive.session_records import FileStatus, SessionRecords
from era5dl.archive.states import AuditedFile, Cause, State
from era5dl.errors import DiskError, UnsafeKey, UsageError
from era5dl.proof.etag import etag_md5
from era5dl.session.part_digests import PartDigests
from era5dl.subset.description import attribute_form

_WORKERS = min(4, os.cpu_count() or 1)
_SAVE_INTERVAL = 30.0  # seconds
Progress = Callable[[int, int], None]
"""Called with the number of bytes that were read, and of all bytes to read."""


class Match(str, Enum):
    """The result of the comparison of a file with the manifest."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    UNREADABLE = "unreadable"
    NO_DIGEST = "no-digest"  # it has the right size; the manifest has nothing else to compare with


@dataclass(frozen=True, slots=True)
class Compared:
    """A file that was compared with the manifest. reason: what is wrong."""

    entry: ManifestEntry
    match: Match
    reason: str = ""


def make_manifest(
    folder: Path,
    *,
    sha256: bool = False,
    progress: Progress = lambda _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Manifest, list[Compared]]:
    """Write the manifest of a folder and return it, with the files whose bytes are no longer those of their ETag.

    sha256: read the files whose SHA-256 is not known. Raises UsageError if there are no ERA5 files,
    DiskErrors, Stopped.
    """
    scan = scan_folder(folder, stopped)
    audit = audit_scan(scan, stopped=stopped)
    path = scan.folder / MANIFEST_NAME
    there = [file for file in audit.files if file.path is not None]
    if not there:
        raise UsageError(f"There are no ERA5 files in {scan.folder}.", remedy="Give the folder of an archive.")
    before = _known_digests(path)
    maker = _Maker(scan.folder, scan.records)
    entries = [_with_known(maker.entry(file), before) for file in there]
    manifest = Manifest(time.time(), f"era5dl {__version__}", maker.sessions(), tuple(entries))
    if not sha256:
        write_manifest(path, manifest)
        return manifest, []
    return _with_sums(scan.folder, manifest, progress, stopped)


def compare(
    folder: Path,
    *,
    progress: Progress = lambda _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Compared]:
    """Read the files of a folder and compare them with its manifest, and yield each result.

    Raises UsageError if there is no manifest or it is damaged, Stopped.
    """
    root = folder.absolute()
    require_manifest(root / MANIFEST_NAME)
    manifest = read_manifest(root / MANIFEST_NAME)

    def read(entry: ManifestEntry) -> FileDigests:
        return _read(root, entry, sha256=bool(entry.sha256), stopped=stopped)

    for entry, result in _in_parallel(manifest.files, read, progress):
        yield _compared(entry, result)


def _compared(entry: ManifestEntry, result: FileDigests | Exception) -> Compared:
    if isinstance(result, FileNotFoundError) or (isinstance(result, DiskError) and _is_absent(result)):
        return Compared(entry, Match.GONE, "it is not there any more")
    if isinstance(result, Exception):
        return Compared(entry, Match.UNREADABLE, str(result))
    if result.size != entry.size:
        return Compared(entry, Match.CHANGED, f"it has {result.size:,} bytes, but had {entry.size:,}")
    if entry.sha256:
        same, reason = result.sha256 == entry.sha256, "its SHA-256 is another one"
    elif entry.md5:
        same, reason = result.md5 == entry.md5, "its MD5 is another one"
    elif result.matches_etag is not None:
        same, reason = result.matches_etag, "it has not the MD5 of its ETag"
    else:
        reason = "its size is the same; there is no MD5 or SHA-256 to compare with"
        return Compared(entry, Match.NO_DIGEST, reason)
    return Compared(entry, Match.SAME) if same else Compared(entry, Match.CHANGED, reason)


def _is_absent(error: DiskError) -> bool:
    return isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError))


def _read(root: Path, entry: ManifestEntry, *, sha256: bool, stopped: Callable[[], bool]) -> FileDigests:
    """Read what is needed to compare a file: nothing but its size if there is no digest."""
    etag = entry.etag if entry.proof == FileStatus.VERIFIED.value else ""
    path = root / entry.path
    return read_digests(root, path, etag=etag, sha256=sha256, md5=bool(entry.md5), stopped=stopped)


def _with_sums(
    root: Path, manifest: Manifest, progress: Progress, stopped: Callable[[], bool]
) -> tuple[Manifest, list[Compared]]:
    """Compute the SHA-256 of the files that have none, and save the manifest from time to time."""
    entries = {entry.path: entry for entry in manifest.files}
    wrong: list[Compared] = []

    def read(entry: ManifestEntry) -> FileDigests:
        return _read(root, entry, sha256=True, stopped=stopped)

    def save() -> Manifest:
        current = replace(manifest, files=tuple(entries.values()))
        write_manifest(root / MANIFEST_NAME, current)
        return current

    next_save = time.monotonic() + _SAVE_INTERVAL
    todo = [entry for entry in manifest.files if not entry.sha256]
    try:
        for entry, result in _in_parallel(todo, read, progress):
            compared = _compared(replace(entry, sha256=""), result)
            if isinstance(result, FileDigests) and compared.match in (Match.SAME, Match.NO_DIGEST):
                entries[entry.path] = replace(entry, sha256=result.sha256)
            else:  # a sum of wrong bytes would make them look right
                entries[entry.path] = replace(entry, proof="")
                wrong.append(compared)
            if time.monotonic() >= next_save:
                save()
                next_save = time.monotonic() + _SAVE_INTERVAL
    finally:
        current = save()
    return current, wrong


def _in_parallel(
    entries: Sequence[ManifestEntry], read: Callable[[ManifestEntry], FileDigests], progress: Progress
) -> Iterator[tuple[ManifestEntry, FileDigests | Exception]]:
    """Read files in several threads, and yield what was found, or the error of a file, as they are finished."""
    total, done = sum(entry.size for entry in entries), 0
    queue = iter(entries)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="era5dl-digests") as pool:
        running: dict[Future[FileDigests], ManifestEntry] = {}
        while True:
            while len(running) < 2 * _WORKERS and (entry := next(queue, None)) is not None:
                running[pool.submit(read, entry)] = entry
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                entry = running.pop(future)
                done += entry.size
                progress(done, total)
                error = future.exception()
                if error is None:
                    yield entry, future.result()
                elif isinstance(error, (DiskError, UnsafeKey)):
                    yield entry, error
                else:
                    raise error


class _Maker:
    """Makes entries of what the audit has found."""

    def __init__(self, root: Path, records: SessionRecords) -> None:
        self._root, self._records = root, records
        self._digests: dict[str, PartDigests] = {}

    def entry(self, file: AuditedFile) -> ManifestEntry:
        assert file.path is not None
        version = file.version
        proof = file.status.value if file.status and file.status.is_finished and _is_proven(file) else ""
        form = attribute_form(file.subset) if file.subset is not None else {"unknown": True}
        return ManifestEntry(
            path=file.path.relative_to(self._root).as_posix(),
            key=file.key,
            size=file.size,
            modified=file.path.stat().st_mtime_ns,
            object_size=version.size if version else 0,
            etag=version.etag if version else "",
            last_modified=version.last_modified if version else 0,
            md5=self._md5(file, proof),
            proof=proof,
            when=file.when if proof else 0.0,
            session=file.session,
            subset=form or None,
        )

    def _md5(self, file: AuditedFile, proof: str) -> str:
        """Return the MD5 of the bytes that the session has written; "" if it is not known."""
        if file.version is None:
            return ""
        if proof == FileStatus.VERIFIED.value:
            found = etag_md5(file.version.etag)
            return found.md5 if found and found.parts is None else ""
        if proof == FileStatus.CHECKED_PART.value:
            if file.session not in self._digests:
                self._digests[file.session] = PartDigests.of_session(self._root, file.session)
            record = self._records.files[file.name]
            found_md5s = self._digests[file.session].find(replace(file.version, key=record.place))
            return found_md5s[0] if len(found_md5s) == 1 else ""
        return ""

    def sessions(self) -> tuple[Mapping[str, Any], ...]:
        """Return what the manifest says about the sessions."""
        return tuple(
            {
                "id": summary.id,
                "title": info.title,
                "bucket": info.bucket,
                "endpoint_url": info.endpoint_url,
                "created": summary.created,
                "updated": summary.updated,
                "request": dict(info.request),
            }
            for summary in self._records.sessions
            if (info := self._records.infos.get(summary.id))
        )


def _is_proven(file: AuditedFile) -> bool:
    """Whether the file is that which its session has finished."""
    return file.state is State.REPLACED or (file.state.is_there and file.cause in (Cause.NONE, Cause.NO_MD5))


def _known_digests(path: Path) -> dict[str, ManifestEntry]:
    """Return the entries of an earlier manifest; none if it cannot be used."""
    try:
        return {entry.path: entry for entry in read_manifest(path).files} if path.exists() else {}
    except (UsageError, DiskError):
        return {}


def _with_known(entry: ManifestEntry, before: Mapping[str, ManifestEntry]) -> ManifestEntry:
    """Return the entry with the SHA-256 of an earlier manifest, if the file has not changed since."""
    known = before.get(entry.path)
    if known is None or (known.size, known.modified, known.etag) != (entry.size, entry.modified, entry.etag):
        return entry
    return replace(entry, sha256=known.sha256)
