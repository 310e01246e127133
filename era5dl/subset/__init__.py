"""Subsets of files: hours, levels, an area or points of ERA5 files, as small netCDF-4 files of their own.

Only the HDF5 chunks that contain selected elements are needed. `selection` is what the user asks for, `estimate` says
about how much that is, `geometry` and `ranges` turn the index of a file into byte ranges. These need the standard
library only; `decode` and `write`, which make the file from the fetched chunks, need NumPy and h5py (the extra
"subset"). `fetch` does all of it for one object, without the engine.
"""
