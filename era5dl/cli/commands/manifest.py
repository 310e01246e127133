"""Command `manifest`: writes the manifest of an archive, or compares the files with it. It sends no requests."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from era5dl.archive.manifest import Compared, Match, compare, make_manifest
from era5dl.archive.manifest_format import MANIFEST_NAME, SUMS_NAME, write_sums
from era5dl.cli.exit_codes import ExitCode
from era5dl.cli.interrupts import Interrupts
from era5dl.cli.output import Output
from era5dl.cli.run_session import MAX_LISTED
from era5dl.errors import UsageError
from era5dl.formatting import format_count, format_size

_INTERVAL = 5.0  # seconds between two messages
_WRONG = (Match.CHANGED, Match.GONE, Match.UNREADABLE)


def manifest(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    """Write or check the manifest. Returns the exit code: 1 if any file is not as it was."""
    if arguments.check and (arguments.sha256 or arguments.sha256sums):
        raise UsageError("--check does not write sums.", remedy="Run the command twice: first --check, then --sha256.")
    return _check(arguments, output, interrupts) if arguments.check else _write(arguments, output, interrupts)


def _write(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    sums = arguments.sha256 or arguments.sha256sums
    progress = _Progress(output)
    made, wrong = interrupts.run_in_background(
        lambda: make_manifest(
            arguments.folder, sha256=sums, progress=progress.update, stopped=interrupts.requested.is_set
        ),
        progress.report,
    )
    folder = arguments.folder.absolute()
    for one in wrong:
        _report(one, output)
    known = sum(bool(file.sha256) for file in made.files)
    proofs = Counter(file.proof or "not proven" for file in made.files)
    size = sum(file.size for file in made.files)
    described = ", ".join(f"{count:,} {proof}" for proof, count in proofs.most_common())
    output.result(
        f"{folder / MANIFEST_NAME}: {format_count(len(made.files), 'file')}, {format_size(size)}: {described}"
    )
    if arguments.sha256sums:
        write_sums(folder / SUMS_NAME, made.files)
        output.result(f"{folder / SUMS_NAME}: {format_count(known, 'file')}; check with: sha256sum --check {SUMS_NAME}")
    output.record(
        "manifest",
        path=folder / MANIFEST_NAME,
        files=len(made.files),
        bytes=size,
        sha256=known,
        proofs={name if name != "not proven" else "": count for name, count in proofs.items()},
        sums=folder / SUMS_NAME if arguments.sha256sums else None,
    )
    return ExitCode.INCOMPLETE if wrong else ExitCode.OK


def _check(arguments: argparse.Namespace, output: Output, interrupts: Interrupts) -> int:
    progress = _Progress(output)
    results = interrupts.run_in_background(
        lambda: list(
            compare(arguments.folder, progress=progress.update, stopped=interrupts.requested.is_set),
        ),
        progress.report,
    )
    counts = Counter(one.match for one in results)
    listed = 0
    for one in results:
        if one.match is not Match.SAME:
            listed += 1
        _report(one, output, is_listed=one.match is not Match.SAME and listed <= MAX_LISTED)
    if listed > MAX_LISTED:
        output.result(f"... and {listed - MAX_LISTED:,} more; --json lists them all")
    described = ", ".join(f"{counts[match]:,} {match.value}" for match in Match if counts[match]) or "nothing"
    output.notice(f"{format_count(len(results), 'file')} of the manifest: {described}")
    output.record("manifest-check", files=len(results), **{m.value.replace("-", "_"): counts[m] for m in Match})
    return ExitCode.INCOMPLETE if any(counts[match] for match in _WRONG) else ExitCode.OK


def _report(one: Compared, output: Output, *, is_listed: bool = True) -> None:
    output.record("compared", path=one.entry.path, key=one.entry.key, match=one.match.value, reason=one.reason)
    if is_listed:
        output.result(f"{one.match.value}: {one.entry.path}: {one.reason}")


class _Progress:
    """Prints how much was read, every five seconds."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._done = self._total = 0
        self._next = time.monotonic() + _INTERVAL

    def update(self, done: int, total: int) -> None:
        """Called by the thread that reads."""
        self._done, self._total = done, total

    def report(self) -> None:
        """Called by the thread that waits."""
        if self._total and time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._output.info(f"Read {format_size(self._done)} of {format_size(self._total)}")
