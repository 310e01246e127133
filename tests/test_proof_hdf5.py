"""Tests of the HDF5 structure check: real files of both superblock formats, whole, truncated and padded."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.proof import hdf5
from era5dl.proof.hdf5 import end_of_file_address

LIBVERS = {"earliest": 0, "v108": 2, "latest": 3}  # what h5py calls it -> version of the superblock it writes


@pytest.fixture(params=LIBVERS)
def netcdf4(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A real file with data in it, in each of the formats that HDF5 has had."""
    path = tmp_path / "t2m.nc"
    libver = request.param
    with h5py.File(path, "w", libver=libver if libver == "earliest" else (libver, libver)) as file:
        file.create_dataset("t2m", data=numpy.arange(5000, dtype="f4"), chunks=(500,), compression="gzip")
        file.attrs["title"] = "a test"
    assert path.read_bytes()[8] == LIBVERS[libver]
    return path


def complaint(path: Path, size: int) -> str:
    data = path.read_bytes()
    return hdf5.structure_error(path.name, size, lambda offset, length: data[offset : offset + length])


def test_a_whole_file_claims_its_length(netcdf4: Path) -> None:
    size = netcdf4.stat().st_size
    assert end_of_file_address(netcdf4.read_bytes()[:96]) == size
    assert complaint(netcdf4, size) == ""


def test_a_truncated_file_is_noticed(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    for length in (len(data) - 1, len(data) // 2, 100):
        netcdf4.write_bytes(data[:length])
        assert complaint(netcdf4, length) == f"it has {length} bytes and says that it should have {len(data)}"


def test_a_padded_file_is_noticed(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    netcdf4.write_bytes(data + bytes(1000))
    assert str(len(data)) in complaint(netcdf4, len(data) + 1000)


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
def test_addresses_may_be_narrow(width: int) -> None:
    head = bytearray(b"\x89HDF\r\n\x1a\n\x02" + bytes(87))
    head[9] = width
    head[12 + 2 * width : 12 + 3 * width] = (54_321).to_bytes(width, "little")
    assert end_of_file_address(bytes(head)) == 54_321


def test_a_superblock_that_is_not_all_there_claims_nothing(netcdf4: Path) -> None:
    head = netcdf4.read_bytes()[:96]
    claims = {end_of_file_address(head[:length]) for length in range(len(head) + 1)}
    assert claims == {None, netcdf4.stat().st_size}


@given(st.binary(max_size=100))
def test_a_damaged_superblock_never_raises(tail: bytes) -> None:
    for head in (tail, b"\x89HDF\r\n\x1a\n" + tail):
        claimed = end_of_file_address(head)
        assert claimed is None or claimed >= 0


@pytest.mark.parametrize("first", [b"CDF\x01", b"CDF\x02", b"CDF\x05"])
def test_netcdf_classic_is_left_alone(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "classic.nc"
    path.write_bytes(first + bytes(200))
    assert end_of_file_address(path.read_bytes()) is None
    assert complaint(path, 204) == ""


def test_what_is_called_nc_should_be_netcdf(tmp_path: Path) -> None:
    path = tmp_path / "login.nc"
    path.write_bytes(b"<html>Welcome to the network</html>")
    assert complaint(path, 35) == "it is not an HDF5 file"
    assert complaint(path.rename(tmp_path / "readme.txt"), 35) == ""


def test_an_empty_file_is_no_netcdf(tmp_path: Path) -> None:
    path = tmp_path / "empty.nc"
    path.touch()
    assert complaint(path, 0) == "it is not an HDF5 file"


def test_a_file_that_looks_like_hdf5_is_judged_whatever_its_name(netcdf4: Path) -> None:
    other = netcdf4.rename(netcdf4.with_suffix(".part"))
    data = other.read_bytes()
    other.write_bytes(data[:-1])
    assert complaint(other, len(data) - 1) != ""
