"""What md5_simd.c computes, where it was compiled: MD5 of several streams side by side, whole blocks of 64 bytes each.

It is believed only after it has shown that it comes to the same as hashlib.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

LANES = 8  # streams hashed side by side
BLOCK = 64  # bytes
LIBRARY = Path(__file__).with_name("md5-simd" + (".dll" if os.name == "nt" else ".so"))  # the build hook makes it


class Stream(ctypes.Structure):
    """`struct stream` of md5_simd.c: an MD5 so far, and the blocks that it is to go on with."""

    _fields_ = (("state", ctypes.c_uint32 * 4), ("data", ctypes.c_void_p), ("blocks", ctypes.c_size_t))

    def __init__(self) -> None:
        super().__init__((0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476))

    def take(self, data: memoryview | bytes) -> memoryview | bytes:
        """These whole blocks come next. What is returned has to be kept until they are hashed."""
        if isinstance(data, memoryview) and data.readonly:
            data = bytes(data)  # there is no other way to learn where it is
        if isinstance(data, bytes):
            self.data = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        else:
            self.data = ctypes.addressof(ctypes.c_char.from_buffer(data))
        self.blocks = len(data) // BLOCK
        return data

    def hexdigest(self) -> str:
        """The MD5, if the last block was padded."""
        return struct.pack("<4I", *self.state).hex()


Advance = Callable[[Sequence[Stream]], None]
"""Hash the blocks that these streams have taken. The interpreter's lock is let go meanwhile."""


def padding(length: int) -> bytes:
    """What MD5 puts behind so many bytes, to make whole blocks of them."""
    return b"\x80" + bytes(-(length + 9) % BLOCK) + struct.pack("<Q", 8 * length % 2**64)


def compiled(library: Path = LIBRARY) -> Advance | None:
    """What was made of md5_simd.c; None where nothing was, or it is wrong."""
    try:
        function = ctypes.CDLL(str(library)).md5_advance
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t), None

    def advance(streams: Sequence[Stream]) -> None:
        function((ctypes.c_void_p * len(streams))(*map(ctypes.addressof, streams)), len(streams))

    return advance if agrees(advance) else None


def agrees(advance: Advance) -> bool:
    """Whether it comes to the same as hashlib: with one stream, and with more than there are lanes."""
    for count in (1, LANES + 2):
        texts = [bytes(range(256)) * number for number in range(1, count + 1)]
        streams = [Stream() for _ in texts]
        kept = [stream.take(text + padding(len(text))) for stream, text in zip(streams, texts, strict=True)]
        advance(streams)
        del kept
        if [s.hexdigest() for s in streams] != [hashlib.md5(t, usedforsecurity=False).hexdigest() for t in texts]:
            return False
    return True
