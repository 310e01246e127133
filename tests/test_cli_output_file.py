"""Tests of results that are written to a file which the user names: no other file is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.cli.output_file import write_output_file
from era5dl.errors import FolderUnusable, UsageError

MARK = b"a result of era5dl"


@pytest.mark.parametrize(
    "before", [None, b"", b"#!/bin/sh\n# a result of era5dl: 3 files\n"], ids=["none", "empty", "own"]
)
def test_a_new_file_and_an_earlier_result_are_written(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "out.txt"
    if before is not None:
        path.write_bytes(before)
    write_output_file(path, b"new", MARK)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("before", [b"\x89HDF\r\n\x1a\n", b"import cdsapi\n", bytes(5000) + MARK])
def test_another_file_is_not_replaced(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "data.nc"
    path.write_bytes(before)
    with pytest.raises(UsageError, match="not replaced"):
        write_output_file(path, b"new", MARK)
    assert path.read_bytes() == before


def test_a_folder_and_a_missing_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write_output_file(tmp_path, b"new", MARK)
    with pytest.raises(FolderUnusable):
        write_output_file(tmp_path / "missing" / "out.txt", b"new", MARK)
