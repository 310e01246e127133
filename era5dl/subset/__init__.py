"""Subsets of files: hours, levels, an area or points of ERA5 files, as small netCDF-4 files of their own.

Only the HDF5 chunks that contain selected elements are needed. `selection` is what the user asks for, `estimate`
predicts the amount of data, `geometry` and `ranges` compute the byte ranges from the index of a file. These need only
the standard library; `decode` and `write`, which write the file from the fetched chunks, need NumPy and h5py (the extra
"subset"). `fetch` does all of this for one object, without the engine.

`merge` and the modules named after it join downloaded files of one variable in time; `find_parts` finds such files.
"""
