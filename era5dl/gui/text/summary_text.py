"""The one message at the end of a run, in words. No widget, no action: only what is said."""

from __future__ import annotations

from collections.abc import Sequence

from era5dl.engine.events import RunEnded
from era5dl.engine.snapshot import Snapshot
from era5dl.engine.unverified_files import CheckedGroup
from era5dl.formatting import size, speed
from era5dl.gui.text import engine_text
from era5dl.gui.text.i18n import _, ngettext

MOST_REASONS, MOST_NAMES = 2, 3  # of files that are checked and not verified, in the message at the end


def early(ended: RunEnded) -> str:
    """Something ended it before its time."""
    said = engine_text.told(ended.kind, f"{ended.error}.", ended.remedy)
    return f"{said.sentence} {said.hint}".rstrip()


def stopped(last: Snapshot) -> str:
    """The user stopped it before it was through."""
    percent = f"{last.done_bytes * 100 // last.total_bytes} %" if last.total_bytes else "100 %"
    return _("Stopped at {percent}. Everything that has come is kept.", percent=percent)


def with_failures(ended: RunEnded, failed: int) -> str:
    """It is through, but for these files."""
    text = ngettext("{n:,} file failed; it is shown in red.", "{n:,} files failed; they are shown in red.", failed)
    return f"{_proven(ended)} {text}"


def complete(ended: RunEnded, last: Snapshot, missing: int) -> str:
    """All that the server has is here. missing: files that it does not have."""
    said = [_proven(ended)]
    if last.fetched_bytes and last.elapsed > 0:
        took, rate = engine_text.duration(last.elapsed), speed(last.fetched_bytes / last.elapsed)
        said.append(_("{bytes} in {time}, {speed}.", bytes=size(last.fetched_bytes), time=took, speed=rate))
    if missing:
        said.append(ngettext("{n:,} is not on the server.", "{n:,} are not on the server.", missing))
    return " ".join(said)


def unverified(groups: Sequence[CheckedGroup]) -> str:
    """Which files are checked and not verified, and why; "" when there are none."""
    said = [not_verified(group.reason, group.keys, len(group.keys)) for group in groups[:MOST_REASONS]]
    if rest := sum(len(group.keys) for group in groups[MOST_REASONS:]):
        said.append(ngettext("{n:,} more for other reasons.", "{n:,} more for other reasons.", rest))
    return " ".join(said)


def not_verified(reason: str, keys: Sequence[str], number: int) -> str:
    """`number` files that are checked and not verified, some of which have these keys."""
    names = [key.rpartition("/")[2] for key in keys[:MOST_NAMES]]
    why = engine_text.unproven(reason)
    if not names:
        return ngettext(
            "{n:,} file is checked, not verified. {reason}",
            "{n:,} files are checked, not verified. {reason}",
            number,
            reason=why,
        )
    return ngettext(
        "{n:,} file is checked, not verified ({names}). {reason}",
        "{n:,} files are checked, not verified ({names}). {reason}",
        number,
        names=", ".join(names) + (" …" if number > len(names) else ""),
        reason=why,
    )


def _proven(ended: RunEnded) -> str:
    """How many files are here, and how far they are proven."""
    proven = ngettext("{n:,} file is here and verified.", "{n:,} files are here and verified.", ended.verified)
    if not ended.checked:
        return proven
    checked = ngettext("{n:,} file is here and checked.", "{n:,} files are here and checked.", ended.checked)
    return f"{proven} {checked}" if ended.verified else checked
