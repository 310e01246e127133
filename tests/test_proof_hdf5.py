"""Tests of the HDF5 structure check: real files of both superblock formats, whole, truncated and padded."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.hdf5.superblock import end_of_file_address
from era5dl.proof import hdf5

LIBVERS = {"earliest": 0, "v108": 2, "latest": 3}  # h5py's name -> version of the superblock it writes


@pytest.fixture(params=LIBVERS)
def netcdf4(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A real file with data, in each format version of HDF5."""
    path = tmp_path / "t2m.nc"
    libver = request.param
    with h5py.File(path, "w", libver=libver if libver == "earliest" else (libver, libver)) as file:
        file.create_dataset("t2m", data=numpy.arange(5000, dtype="f4"), chunks=(500,), compression="gzip")
        file.attrs["title"] = "a test"
    assert path.read_bytes()[8] == LIBVERS[libver]
    return path


def error_of(path: Path, size: int) -> str:
    data = path.read_bytes()
    return hdf5.structure_error(path.name, size, lambda offset, length: data[offset : offset + length])


def test_a_complete_file_states_its_size(netcdf4: Path) -> None:
    size = netcdf4.stat().st_size
    assert end_of_file_address(netcdf4.read_bytes()[:96]) == size
    assert error_of(netcdf4, size) == ""


def test_a_truncated_file_is_detected(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    for length in (len(data) - 1, len(data) // 2, 100):
        netcdf4.write_bytes(data[:length])
        assert error_of(netcdf4, length) == f"it has {length} bytes, but {len(data)} according to its header"


def test_a_padded_file_is_detected(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    netcdf4.write_bytes(data + bytes(1000))
    assert str(len(data)) in error_of(netcdf4, len(data) + 1000)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version_of_the_superblock(version: int) -> None:
    # HDF5 File Format Specification 3.0, II.A: versions 0 and 1 name the sizes of their numbers in bytes 13 and 14 and
    # begin the addresses at 24, version 1 after four bytes more; versions 2 and 3 have them in 9 and 10, and at 12.
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(88))
    head[8] = version
    head[13 if version < 2 else 9] = 8
    at = {0: 24, 1: 28, 2: 12, 3: 12}[version]
    head[at + 16 : at + 24] = (123_456_789_012).to_bytes(8, "little")
    assert end_of_file_address(bytes(head)) == 123_456_789_012


@pytest.mark.parametrize("width", [2, 4, 8])
def test_addresses_of_less_than_eight_bytes(width: int) -> None:
    head = bytearray(b"\x89HDF\r\n\x1a\n\x02" + bytes(87))
    head[9] = width
    head[12 + 2 * width : 12 + 3 * width] = (54_321).to_bytes(width, "little")
    assert end_of_file_address(bytes(head)) == 54_321


def test_an_incomplete_superblock_states_no_size(netcdf4: Path) -> None:
    head = netcdf4.read_bytes()[:96]
    claims = {end_of_file_address(head[:length]) for length in range(len(head) + 1)}
    assert claims == {None, netcdf4.stat().st_size}


@given(st.binary(max_size=100))
def test_a_damaged_superblock_never_raises(tail: bytes) -> None:
    for head in (tail, b"\x89HDF\r\n\x1a\n" + tail):
        claimed = end_of_file_address(head)
        assert claimed is None or claimed >= 0


@pytest.mark.parametrize("first", [b"CDF\x01", b"CDF\x02", b"CDF\x05"])
def test_classic_netcdf_files_are_not_checked(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "classic.nc"
    path.write_bytes(first + bytes(200))
    assert end_of_file_address(path.read_bytes()) is None
    assert error_of(path, 204) == ""


def test_a_file_named_nc_has_to_be_netcdf(tmp_path: Path) -> None:
    path = tmp_path / "login.nc"
    path.write_bytes(b"<html>Welcome to the network</html>")
    assert error_of(path, 35) == "it is not an HDF5 file"
    assert error_of(path.rename(tmp_path / "readme.txt"), 35) == ""


def test_an_empty_file_is_not_netcdf(tmp_path: Path) -> None:
    path = tmp_path / "empty.nc"
    path.touch()
    assert error_of(path, 0) == "it is not an HDF5 file"


def test_an_hdf5_file_is_checked_whatever_its_name(netcdf4: Path) -> None:
    other = netcdf4.rename(netcdf4.with_suffix(".part"))
    data = other.read_bytes()
    other.write_bytes(data[:-1])
    assert error_of(other, len(data) - 1) != ""
