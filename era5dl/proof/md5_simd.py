"""ctypes binding of md5_simd.c: MD5 of several streams in parallel SIMD lanes, in whole blocks of 64 bytes.

The library is used only after its results have been compared with hashlib's.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

LANES = 8  # streams hashed in parallel
BLOCK = 64  # bytes
LIBRARY = Path(__file__).with_name("md5-simd" + (".dll" if os.name == "nt" else ".so"))  # made by the build hook


class Stream(ctypes.Structure):
    """`struct stream` of md5_simd.c: the state of one MD5, and the next blocks to hash."""

    _fields_ = (("state", ctypes.c_uint32 * 4), ("data", ctypes.c_void_p), ("blocks", ctypes.c_size_t))

    def __init__(self) -> None:
        super().__init__((0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476))

    def set_input(self, data: memoryview | bytes) -> memoryview | bytes:
        """Set the whole blocks to hash next. The caller keeps the returned buffer alive until they are hashed."""
        if isinstance(data, memoryview) and data.readonly:
            data = bytes(data)  # ctypes does not give the address of a read-only buffer
        if isinstance(data, bytes):
            self.data = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        else:
            self.data = ctypes.addressof(ctypes.c_char.from_buffer(data))
        self.blocks = len(data) // BLOCK
        return data

    def hexdigest(self) -> str:
        """Return the MD5 as hex. Valid only after the padding has been hashed."""
        return struct.pack("<4I", *self.state).hex()


Advance = Callable[[Sequence[Stream]], None]
"""Function that hashes the input of these streams with the GIL released."""


def padding(length: int) -> bytes:
    """Return the bytes that MD5 appends to a message of `length` bytes, which fill its last block."""
    return b"\x80" + bytes(-(length + 9) % BLOCK) + struct.pack("<Q", 8 * length % 2**64)


def load_library(library: Path = LIBRARY) -> Advance | None:
    """Load the compiled md5_simd.c; return None if there is none, or if its results are wrong."""
    try:
        function = ctypes.CDLL(str(library)).md5_advance
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t), None

    def advance(streams: Sequence[Stream]) -> None:
        function((ctypes.c_void_p * len(streams))(*map(ctypes.addressof, streams)), len(streams))

    return advance if agrees_with_hashlib(advance) else None


def agrees_with_hashlib(advance: Advance) -> bool:
    """Whether `advance` computes the same MD5s as hashlib, for one stream and for more streams than lanes."""
    for count in (1, LANES + 2):
        texts = [bytes(range(256)) * number for number in range(1, count + 1)]
        streams = [Stream() for _ in texts]
        kept = [stream.set_input(text + padding(len(text))) for stream, text in zip(streams, texts, strict=True)]
        advance(streams)
        del kept
        if [s.hexdigest() for s in streams] != [hashlib.md5(t, usedforsecurity=False).hexdigest() for t in texts]:
            return False
    return True
