"""Subsets of files: hours, levels, an area or points of ERA5 files, as the byte ranges of the HDF5 chunks they need.

`selection` is what the user asks for, `estimate` says about how much that is, `geometry` and `ranges` turn the index of
a file into byte ranges. These need the standard library only.
"""
