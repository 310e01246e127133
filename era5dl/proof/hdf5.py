"""Is an HDF5 (netCDF-4) file as long as it says it is? Its superblock keeps the address of its end.

Finds truncation in a millisecond and without a library; a hole in the middle it cannot see.
Source: HDF5 File Format Specification, version 3.0, section II.A (superblock versions 0 to 3).
"""

from __future__ import annotations

from era5dl.proof.object_digest import Read

_HEAD = 96  # bytes; the longest superblock
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def end_of_file_address(head: bytes) -> int | None:
    """The length in bytes that the superblock at the start of `head` (96 bytes suffice) claims; None if not HDF5."""
    if not head.startswith(_SIGNATURE) or len(head) < 16:
        return None
    version = head[8]
    if version in (0, 1):
        width, at = head[13], 24 if version == 0 else 28
    elif version in (2, 3):
        width, at = head[9], 12
    else:
        return None
    at += 2 * width  # after the base address, and the free-space index or the extension's address
    if width not in (2, 4, 8) or len(head) < at + width:
        return None
    return int.from_bytes(head[at : at + width], "little")


def complaint(name: str, size: int, read: Read) -> str:
    """What speaks against a file of this name and size in bytes being a whole netCDF-4 file; "" when nothing does.

    read: gives its bytes.
    """
    head = read(0, min(_HEAD, size))
    claimed = end_of_file_address(head)
    if claimed is None:
        return "it is not an HDF5 file" if name.endswith(".nc") and not head.startswith(b"CDF") else ""
    return "" if claimed == size else f"it has {size} bytes and says that it should have {claimed}"
