"""Maps of the fields in downloaded files, for the window and for `era5dl preview`.

`field_file` reads one field of a netCDF-4 file, `colormap` and `colour_scale` choose its colours, `map_layout` places
it on a map, `rendering` makes the pixels, and `picture` writes a PNG file. Reading and rendering need NumPy, pictures
need Pillow in addition (the extra "preview"). `coastlines` needs neither.
"""

from types import ModuleType

from era5dl.errors import UsageError

INSTALL = 'pip install "era5dl[preview]"'


def import_rendering() -> ModuleType:
    """Return `era5dl.preview.rendering`. Raises UsageError, with the install command, if NumPy is missing."""
    try:
        from era5dl.preview import rendering
    except ImportError:
        raise UsageError("Maps of files need NumPy, which is not installed.", remedy=INSTALL) from None
    return rendering


def import_picture() -> ModuleType:
    """Return `era5dl.preview.picture`. Raises UsageError, with the install command, if Pillow or NumPy is missing."""
    try:
        from era5dl.preview import picture
    except ImportError:
        raise UsageError("Pictures of maps need Pillow, which is not installed.", remedy=INSTALL) from None
    return picture
