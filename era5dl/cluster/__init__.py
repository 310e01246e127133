"""One download on several computers with a shared folder: Dask, SLURM and other batch systems. See `session.blocks`."""

from types import ModuleType

from era5dl.errors import UsageError

INSTALL = 'pip install "era5dl[dask]"'


def import_dask() -> ModuleType:
    """Return `era5dl.cluster.on_dask`. Raises UsageError, with the install command, if Dask is missing."""
    try:
        from era5dl.cluster import on_dask
    except ImportError:
        raise UsageError("Dask (distributed) is not installed.", remedy=INSTALL) from None
    return on_dask
