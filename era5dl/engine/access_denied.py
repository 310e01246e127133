"""Interprets 403 responses: is one object denied, the whole bucket, or is the refusal temporary?

Firewalls, proxies and servers under load say 403, too, and do not mean it.

    refused, and since then                                              -> what it is
    other objects are answered, this one never                           the object's: it fails after a few attempts
    an object that was refused has been answered later                   passing: the same budget as other faults
    many objects, no answer to anything and no byte for some seconds     the bucket's: the run ends

While many objects are refused and nothing is answered, no object is blamed: either it will be the bucket, or answers
will come. Plain state, changed only under the engine's lock, with the time passed in.
"""

from __future__ import annotations

MANY = 5  # different objects
SILENCE = 2.0  # seconds


class Refusals:
    """The refusals of one run. passing: an object has been answered after it was refused."""

    def __init__(self) -> None:
        self.passing = False
        self._unanswered: set[int] = set()  # objects refused since anything was answered
        self._count = 0  # refusals since then
        self._since = 0.0  # the first of them, monotonic
        self._refused: set[int] = set()  # objects refused, and not answered since

    def refused(self, index: int, now: float) -> None:
        """This object was refused."""
        if not self._unanswered:
            self._since = now
        self._unanswered.add(index)
        self._refused.add(index)
        self._count += 1

    def answered(self, index: int) -> None:
        """Bytes of this object come."""
        self._unanswered.clear()
        self._count = 0
        if index in self._refused:
            self._refused.discard(index)
            self.passing = True

    @property
    def many(self) -> bool:
        """Many objects have been refused since anything was answered."""
        return len(self._unanswered) >= MANY

    def all_refused(self, now: float, last_byte: float) -> bool:
        """Whether it is the bucket that refuses. last_byte: when one last came, over whatever connection, monotonic."""
        return self.many and self._count >= 2 * MANY and now - max(self._since, last_byte) >= SILENCE
