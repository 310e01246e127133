"""Texts that summarise a finished run: how it ended, what was downloaded, what could not be verified. No Tk in here."""

from __future__ import annotations

from collections.abc import Sequence

from era5dl.engine.events import RunEnded
from era5dl.engine.progress import Snapshot
from era5dl.engine.reporting import CheckedGroup
from era5dl.formatting import format_size, format_speed
from era5dl.gui.text import error_text, key_text, status_text
from era5dl.gui.text.i18n import _, ngettext

MAX_REASONS, MAX_NAMES = 2, 3  # shown for files that are not verified


def ended_early(ended: RunEnded) -> str:
    """Return the summary of a run that an error ended."""
    explanation = error_text.explain_reason(ended.kind, f"{ended.error}.", ended.remedy)
    return f"{explanation.sentence} {explanation.hint}".rstrip()


def stopped(last: Snapshot) -> str:
    """Return the summary of a run that the user stopped."""
    percent = f"{last.done_bytes * 100 // last.total_bytes} %" if last.total_bytes else "100 %"
    return _("Stopped at {percent}. Everything downloaded so far is kept.", percent=percent)


def completed_with_failures(ended: RunEnded, failed: int) -> str:
    """Return the summary of a run with failures. failed: number of files shown as failed, also from earlier runs."""
    text = ngettext("{n:,} file failed; it is shown in red.", "{n:,} files failed; they are shown in red.", failed)
    return f"{_complete_files(ended)} {text}"


def completed(ended: RunEnded, last: Snapshot, missing: int) -> str:
    """Return the summary of a run without failures. missing: number of planned files that the server does not have."""
    sentences = [_complete_files(ended)]
    if last.fetched_bytes and last.elapsed > 0:
        took, rate = status_text.duration(last.elapsed), format_speed(last.fetched_bytes / last.elapsed)
        sentences.append(_("{bytes} in {time}, {speed}.", bytes=format_size(last.fetched_bytes), time=took, speed=rate))
    if last.written_bytes < last.total_bytes:  # a subset takes less than was downloaded for it
        sentences.append(_("{size} on disk.", size=format_size(last.written_bytes)))
    if missing:
        sentences.append(ngettext("{n:,} file is not on the server.", "{n:,} files are not on the server.", missing))
    return " ".join(sentences)


def not_verified_files(groups: Sequence[CheckedGroup]) -> str:
    """Return which files are checked but not verified, and why; "" if there are none."""
    sentences = [not_verified_group(group.reason, group.keys, len(group.keys)) for group in groups[:MAX_REASONS]]
    if rest := sum(len(group.keys) for group in groups[MAX_REASONS:]):
        sentences.append(ngettext("{n:,} more for other reasons.", "{n:,} more for other reasons.", rest))
    return " ".join(sentences)


def not_verified_group(reason: str, keys: Sequence[str], number: int) -> str:
    """Describe `number` files that are checked but not verified for the same reason. keys: some of their keys."""
    names = [key_text.name(key) for key in keys[:MAX_NAMES]]
    why = status_text.not_verified_reason(reason)
    if not names:
        return ngettext(
            "{n:,} file is checked but not verified. {reason}",
            "{n:,} files are checked but not verified. {reason}",
            number,
            reason=why,
        )
    return ngettext(
        "{n:,} file is checked but not verified ({names}). {reason}",
        "{n:,} files are checked but not verified ({names}). {reason}",
        number,
        names="; ".join(names) + (" …" if number > len(names) else ""),
        reason=why,
    )


def _complete_files(ended: RunEnded) -> str:
    """Return how many files are complete, and how far they have been verified."""
    sentences = []
    if ended.verified or not (ended.checked or ended.checked_part):
        proven = ngettext("{n:,} file downloaded and verified.", "{n:,} files downloaded and verified.", ended.verified)
        sentences.append(proven)
    if ended.checked:
        checked = ngettext("{n:,} file downloaded and checked.", "{n:,} files downloaded and checked.", ended.checked)
        sentences.append(checked)
    if ended.checked_part:
        part = ngettext(
            "{n:,} subset of a file downloaded and checked.",
            "{n:,} subsets of files downloaded and checked.",
            ended.checked_part,
        )
        sentences.append(part)
    return " ".join(sentences)
