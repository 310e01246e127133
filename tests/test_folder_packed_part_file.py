"""Tests of packed part files: object offsets outside, positions without holes on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from era5dl.errors import PartLost
from era5dl.folder.packed_part_file import PackedLayout, PackedPartFile
from era5dl.ranges import Range, RangeSet
from tests.faultlab import pseudo_random

RANGES: list[Range] = [(10, 20), (1000, 1400), (1400, 1500), (9_000_000_000, 9_000_000_100)]
SIZE = 10 + 400 + 100 + 100


def fill(part: PackedPartFile, ranges: list[Range]) -> None:
    part.acquire()
    for start, stop in ranges:
        part.write(start, memoryview(pseudo_random(start, stop - start)))
    part.release()


def test_it_has_exactly_the_wanted_bytes(tmp_path: Path) -> None:
    part = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    fill(part, RANGES[::-1])
    stored = part.path.read_bytes()
    assert stored == b"".join(pseudo_random(start, stop - start) for start, stop in RANGES)
    part.acquire()
    assert part.read(1399, 1) == pseudo_random(1000, 400)[-1:]
    assert part.read(9_000_000_050, 50) == pseudo_random(9_000_000_000, 100)[50:]
    part.release()


@pytest.mark.parametrize(("offset", "length"), [(9, 1), (19, 2), (20, 1), (1399, 2), (500, 1), (9_000_000_100, 1)])
def test_bytes_outside_of_a_range_have_no_place(tmp_path: Path, offset: int, length: int) -> None:
    part = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    part.acquire()
    with pytest.raises(ValueError, match="not in one range"):
        part.write(offset, memoryview(bytes(length)))
    with pytest.raises(ValueError, match="not in one range"):
        part.read(offset, length)
    part.release()


def test_synced_ranges_are_offsets_in_the_object(tmp_path: Path) -> None:
    part = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    fill(part, [(12, 18), (1400, 1500)])
    done = RangeSet([(12, 18), (1200, 1500)])
    assert list(part.synced(done)) == [(12, 18), (1400, 1500)]
    assert list(part.stored(done)) == [(2, 8), (210, 510)]
    assert part.offsets(part.stored(done)) == done

    again = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    again.restore(RangeSet([(12, 18), (1400, 1500)]))
    assert list(again.synced(RangeSet([(0, 2000)]))) == [(12, 18), (1400, 1500)]
    again.path.write_bytes(again.path.read_bytes()[:450])
    again.acquire()  # the file gets its size again, as after a restart of the program


def test_lost_bytes_are_not_synced_any_more(tmp_path: Path) -> None:
    part = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    fill(part, RANGES)
    part.path.write_bytes(part.path.read_bytes()[:450])
    with pytest.raises(PartLost):
        part.acquire()
    assert list(part.synced(RangeSet(RANGES))) == [(10, 20), (1000, 1440)]


def test_other_ranges_are_another_layout(tmp_path: Path) -> None:
    layout = PackedLayout(RANGES)
    assert layout.size == SIZE
    assert layout.id == PackedLayout(list(RANGES)).id
    assert len({layout.id, PackedLayout(RANGES[1:]).id, PackedLayout([(10, 20), (1000, 1500), RANGES[3]]).id}) == 3
    for wrong in ([(5, 5)], [(0, 6), (5, 9)], [(5, 9), (0, 2)]):
        with pytest.raises(ValueError, match="sorted"):
            PackedLayout(wrong)


def test_it_never_gets_a_final_name(tmp_path: Path) -> None:
    part = PackedPartFile(tmp_path / "a.part", PackedLayout(RANGES))
    fill(part, RANGES)
    with pytest.raises(NotImplementedError):
        part.commit(tmp_path / "a.nc")
    assert not (tmp_path / "a.nc").exists()
