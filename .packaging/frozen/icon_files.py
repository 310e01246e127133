"""Writes the icon of the program for frozen programs: era5dl.ico (Windows), era5dl.icns (macOS), era5dl.png (Linux)."""

import struct
from pathlib import Path

from era5dl.gui.theme.app_icon import app_icon

ICO_SIZES = (16, 24, 32, 48, 64, 128, 256)
ICNS_TYPES = {128: b"ic07", 256: b"ic08", 512: b"ic09"}


def write_icons(folder: Path) -> None:
    """Write the three files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {size: app_icon(size) for size in (*ICO_SIZES, 512)}
    (folder / "era5dl.png").write_bytes(images[256])
    (folder / "era5dl.ico").write_bytes(_ico({size: images[size] for size in ICO_SIZES}))
    entries = b"".join(
        kind + struct.pack(">I", 8 + len(images[size])) + images[size] for size, kind in ICNS_TYPES.items()
    )
    (folder / "era5dl.icns").write_bytes(b"icns" + struct.pack(">I", 8 + len(entries)) + entries)


def _ico(images: dict[int, bytes]) -> bytes:
    """Return an ICO file that contains PNG images. In its directory, the size 256 is written as 0."""
    offset = 6 + 16 * len(images)
    directory = struct.pack("<HHH", 0, 1, len(images))
    for size, image in images.items():
        directory += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(image), offset)
        offset += len(image)
    return directory + b"".join(images.values())
