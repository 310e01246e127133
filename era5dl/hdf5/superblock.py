"""HDF5 superblock, versions 0 to 3: size of the file, address of the root group, widths of addresses and lengths.

Source: HDF5 File Format Specification 3.0, section II.A.
"""

from __future__ import annotations

from dataclasses import dataclass

from era5dl.hdf5.checksum import lookup3
from era5dl.hdf5.sparse_bytes import DamagedFile, SparseBytes, UnsupportedLayout

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_SIZE = 96  # bytes of the longest superblock


@dataclass(frozen=True, slots=True)
class Superblock:
    """end: address of the end of the file. root: address of the root group's object header.

    offset_width, length_width: bytes of an address and of a length ("size of offsets", "size of lengths").
    """

    offset_width: int
    length_width: int
    end: int
    root: int


def end_of_file_address(head: bytes) -> int | None:
    """Return the file size stated by the superblock at the start of `head` (96 bytes suffice); None if not HDF5."""
    addresses = _addresses(head)
    if addresses is None:
        return None
    width, at = addresses
    at += 2 * width  # skips the base address, and the address of the free-space index or of the extension
    if width not in (2, 4, 8) or len(head) < at + width:
        return None
    return int.from_bytes(head[at : at + width], "little")


def read_superblock(source: SparseBytes) -> Superblock:
    """Return the superblock. Raises DamagedFile, UnsupportedLayout and MissingBytes."""
    head = source.read_structure(0, min(MAX_SIZE, source.size))
    end = end_of_file_address(head)
    addresses = _addresses(head)
    if end is None or addresses is None:
        if head.startswith(SIGNATURE) and len(head) > 8 and head[8] > 3:
            raise UnsupportedLayout(f"superblock version {head[8]}")
        raise DamagedFile("it is not an HDF5 file")
    width, at = addresses
    old = head[8] < 2
    length_width = head[14 if old else 10]
    if not {width, length_width} <= {4, 8}:
        raise UnsupportedLayout("addresses or lengths of unusual width")
    if old:
        at_root = at + 5 * width  # skips four addresses and the name offset of the root's symbol table entry
    else:
        at_root = at + 3 * width
        checked = at + 4 * width
        if lookup3(head[:checked]) != int.from_bytes(head[checked : checked + 4], "little"):
            raise DamagedFile("the checksum of its superblock is wrong")
    if len(head) < at_root + width:
        raise DamagedFile("its superblock is truncated")
    if any(head[at : at + width]):
        raise UnsupportedLayout("a base address other than 0")
    return Superblock(width, length_width, end, int.from_bytes(head[at_root : at_root + width], "little"))


def _addresses(head: bytes) -> tuple[int, int] | None:
    """Return the width of an address and the offset of the first one; None if not HDF5."""
    if not head.startswith(SIGNATURE) or len(head) < 16:
        return None
    version = head[8]
    if version in (0, 1):
        return head[13], 24 if version == 0 else 28
    return (head[9], 12) if version in (2, 3) else None
