"""Structure check of HDF5 (netCDF-4) files: compares the size of a file with the end address in its superblock.

It detects truncation in a millisecond and without a library, but no damage in the middle of a file.
Source: HDF5 File Format Specification, version 3.0, section II.A (superblock versions 0 to 3).
"""

from __future__ import annotations

from era5dl.proof.object_digest import Read

_HEAD = 96  # bytes; size of the longest superblock
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def end_of_file_address(head: bytes) -> int | None:
    """Return the file size stated by the superblock at the start of `head` (96 bytes suffice); None if not HDF5."""
    if not head.startswith(_SIGNATURE) or len(head) < 16:
        return None
    version = head[8]
    if version in (0, 1):
        width, at = head[13], 24 if version == 0 else 28
    elif version in (2, 3):
        width, at = head[9], 12
    else:
        return None
    at += 2 * width  # skips the base address, and the address of the free-space index or of the extension
    if width not in (2, 4, 8) or len(head) < at + width:
        return None
    return int.from_bytes(head[at : at + width], "little")


def structure_error(name: str, size: int, read: Read) -> str:
    """Return why a file of this name and size in bytes is not a complete netCDF-4 file; "" when there is no reason.

    read: reads from the file.
    """
    head = read(0, min(_HEAD, size))
    expected = end_of_file_address(head)
    if expected is None:
        return "it is not an HDF5 file" if name.endswith(".nc") and not head.startswith(b"CDF") else ""
    return "" if expected == size else f"it has {size} bytes, but {expected} according to its header"
