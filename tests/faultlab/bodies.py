"""Response bodies as streams that are read once: from memory, from another server, truncated or corrupted."""

from __future__ import annotations

from abc import ABC, abstractmethod

BLOCK = 1 << 18  # bytes read or sent at once; a connection never buffers more of a body


class Stream(ABC):
    """A stream of bytes. `len()` is the number of remaining bytes; `bytes()` reads all of them."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of remaining bytes."""

    @abstractmethod
    def read(self, most: int) -> bytes | memoryview:
        """Return the next bytes: at least one, at most `most`; none at the end. Valid until the next call."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Discard the remaining bytes. May be called more than once."""

    def __bytes__(self) -> bytes:
        return b"".join(iter(lambda: bytes(self.read(BLOCK)), b""))


Body = bytes | memoryview | Stream


def streamed(body: Body) -> Stream:
    """Return any body as a stream."""
    return body if isinstance(body, Stream) else Held(body)


class Held(Stream):
    """Stream of bytes in memory, which are not copied."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def read(self, most: int) -> bytes | memoryview:
        piece, self._data = self._data[:most], self._data[most:]
        return piece


class First(Stream):
    """The first `count` bytes of another stream. `close` closes that stream, too."""

    def __init__(self, stream: Stream, count: int) -> None:
        self._stream, self._left = stream, min(count, len(stream))

    def __len__(self) -> int:
        return self._left

    def read(self, most: int) -> bytes | memoryview:
        if not self._left:
            return b""
        piece = self._stream.read(min(most, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._stream.close()


class Spoilt(Stream):
    """Another stream with the bytes [at, at + count) changed: XORed with `mask`, or all zero if it is None."""

    def __init__(self, stream: Stream, at: int, count: int = 1, mask: int | None = 1) -> None:
        self._stream, self._start, self._stop, self._mask = stream, at, at + count, mask
        self._read = 0

    def __len__(self) -> int:
        return len(self._stream)

    def read(self, most: int) -> bytes | memoryview:
        piece = self._stream.read(most)
        began, self._read = self._read, self._read + len(piece)
        start, stop = max(self._start - began, 0), min(self._stop - began, len(piece))
        if start >= stop:
            return piece
        spoilt = bytearray(piece)
        spoilt[start:stop] = bytes(stop - start if self._mask is None else (b ^ self._mask for b in spoilt[start:stop]))
        return bytes(spoilt)

    def close(self) -> None:
        self._stream.close()
