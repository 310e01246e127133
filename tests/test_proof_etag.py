"""Tests of ETags: which can be MD5s, and which part sizes are possible."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from era5dl.proof.etag import MIB, EtagMd5, etag_md5, is_weak, likely_part_sizes, multipart_md5, part_size_fits, quoted
from tests.faultlab import etag_of, pseudo_random

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("etag", "found"),
    [
        (f'"{MD5}"', EtagMd5(MD5, None)),
        (MD5, EtagMd5(MD5, None)),
        (f'"{MD5}-1"', EtagMd5(MD5, 1)),
        (f'"{MD5}-10000"', EtagMd5(MD5, 10_000)),
        (f'"{MD5}-10001"', None),  # more parts than S3 allows
        (f'"{MD5}-0"', None),
        (f'"{MD5}-01"', None),
        (f'"{MD5}-"', None),
        (f'"{MD5}-123456"', None),
        (f'W/"{MD5}"', EtagMd5(MD5, None)),  # made weak on the way
        (f'W/"{MD5}-3"', EtagMd5(MD5, 3)),
        (f'w/"{MD5}"', None),
        (f'W/W/"{MD5}"', None),
        (f'"{MD5.upper()}"', None),
        (f'"{MD5}0"', None),
        (f'"{MD5[1:]}"', None),
        (f'"{MD5}"\n', None),
        (f'"{MD5}-١"', None),  # a digit, but not one of ours
        ('"65920080-20000000"', None),  # nginx: time and size
        ('"0x8DC0123456789AB"', None),  # Azure
        ('""', None),
        ("", None),
    ],
)
def test_only_what_has_its_shape_is_taken_for_an_md5(etag, found):
    assert etag_md5(etag) == found


def test_a_weak_etag_promises_no_bytes():
    assert is_weak(f'W/"{MD5}"')
    assert not is_weak(f'"{MD5}"')
    assert not is_weak("")


def test_the_md5_of_parts_is_made_as_s3_makes_it():
    # what `md5sum` says of "hello " and of "world"; both joined, as bytes, and hashed again
    assert multipart_md5(["f814893777bcc2295fff05f00e508da6", "7d793037a0760186574b0282f2f435e7"]) == (
        "e09e4fd6265b36115fe3db32df945d84"
    )


@given(st.integers(1, 3000), st.integers(1, 1000))
def test_the_lab_and_the_program_agree_about_multipart_etags(size, part_size):
    data = pseudo_random(size, size)
    parts = [hashlib.md5(data[at : at + part_size]).hexdigest() for at in range(0, size, part_size)]
    assert f'"{multipart_md5(parts)}-{len(parts)}"' == etag_of(data, part_size)
    assert part_size_fits(size, len(parts), part_size)


@given(st.integers(0, 500), st.integers(1, 60), st.integers(0, 100))
@example(0, 1, 5)
@example(10, 2, 0)
def test_fits_is_what_cutting_gives(size, count, part_size):
    cut = part_size > 0 and len(range(0, size, part_size)) == count
    assert part_size_fits(size, count, part_size) == cut


@given(st.integers(1, 60 * 1000 * MIB), st.integers(1, 10_000))
def test_every_likely_part_size_would_give_that_many_parts(size, count):
    sizes = likely_part_sizes(size, count)
    assert len(sizes) == len(set(sizes))
    assert all(part_size_fits(size, count, part_size) for part_size in sizes)


@given(st.integers(1, 6 * 1000 * MIB), st.sampled_from([5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512]))
def test_the_size_that_an_uploader_used_is_among_the_likely_ones(size, mib):
    count = -(-size // (mib * MIB))
    assert mib * MIB in likely_part_sizes(size, count)


def test_the_defaults_of_the_aws_tools_come_first():
    assert likely_part_sizes(20 * MIB, 3)[0] == 8 * MIB
    assert likely_part_sizes(1_001, 7) == [143]  # nobody's default: as even as can be


@pytest.mark.parametrize("etag", ["", '""', "W/", 'W/""'])
def test_an_etag_with_nothing_in_it_is_none(etag):
    assert quoted(etag) == ""
