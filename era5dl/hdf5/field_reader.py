"""Field reader: reads the fields of a binary HDF5 structure one after the other, with bounds checks."""

from __future__ import annotations

from era5dl.hdf5.checksum import lookup3
from era5dl.hdf5.sparse_bytes import DamagedFile
from era5dl.hdf5.superblock import Superblock


class FieldReader:
    """Reads little-endian fields from `data`. Every method raises DamagedFile if the data end too early."""

    __slots__ = ("_data", "_length_width", "_offset_width", "at")

    def __init__(self, data: bytes, superblock: Superblock) -> None:
        self._data = data
        self._offset_width = superblock.offset_width
        self._length_width = superblock.length_width
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count < 0 or self.at + count > len(self._data):
            raise DamagedFile("a structure in it ends too early")
        start, self.at = self.at, self.at + count
        return self._data[start : self.at]

    def skip(self, count: int) -> None:
        """Skip `count` bytes."""
        self.take(count)

    def integer(self, width: int) -> int:
        """Return an unsigned integer of `width` bytes."""
        start, stop = self.at, self.at + width  # not through `take`: called very often
        if stop > len(self._data):
            raise DamagedFile("a structure in it ends too early")
        self.at = stop
        return int.from_bytes(self._data[start:stop], "little")

    def integers(self, count: int, width: int) -> tuple[int, ...]:
        """Return `count` unsigned integers of `width` bytes each."""
        return tuple(self.integer(width) for _ in range(count))

    def length(self) -> int:
        """Return a length ("L" in the specification)."""
        return self.integer(self._length_width)

    def address(self) -> int | None:
        """Return an address ("O" in the specification); None for the undefined address."""
        value = self.integer(self._offset_width)
        return None if value == (1 << 8 * self._offset_width) - 1 else value

    def defined_address(self) -> int:
        """Return an address. Raises DamagedFile for the undefined address."""
        value = self.address()
        if value is None:
            raise DamagedFile("an address in it is undefined")
        return value

    def signature(self, expected: bytes) -> None:
        """Read a signature of four bytes. Raises DamagedFile if it is not the expected one."""
        if self.take(4) != expected:
            raise DamagedFile(f"a structure in it ({expected.decode()}) is missing")

    @property
    def remaining(self) -> int:
        """The number of bytes that have not been read yet."""
        return len(self._data) - self.at


def verify_checksum(data: bytes) -> None:
    """Check that `data` ends with the checksum of the preceding bytes. Raises DamagedFile."""
    if len(data) < 4 or lookup3(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise DamagedFile("a checksum in its structure is wrong")
