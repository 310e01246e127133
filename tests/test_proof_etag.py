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
        (f'W/"{MD5}"', EtagMd5(MD5, None)),  # made weak by a cache
        (f'W/"{MD5}-3"', EtagMd5(MD5, 3)),
        (f'w/"{MD5}"', None),
        (f'W/W/"{MD5}"', None),
        (f'"{MD5.upper()}"', None),
        (f'"{MD5}0"', None),
        (f'"{MD5[1:]}"', None),
        (f'"{MD5}"\n', None),
        (f'"{MD5}-١"', None),  # not an ASCII digit
        ('"65920080-20000000"', None),  # nginx: time and size
        ('"0x8DC0123456789AB"', None),  # Azure
        ('""', None),
        ("", None),
    ],
)
def test_only_an_etag_in_the_form_of_an_md5_counts_as_one(etag, found):
    assert etag_md5(etag) == found


def test_weak_etags_are_recognized():
    assert is_weak(f'W/"{MD5}"')
    assert not is_weak(f'"{MD5}"')
    assert not is_weak("")


def test_the_multipart_md5_is_computed_as_s3_does():
    # the output of `md5sum` for "hello " and "world"; both joined as bytes and hashed again
    assert multipart_md5(["f814893777bcc2295fff05f00e508da6", "7d793037a0760186574b0282f2f435e7"]) == (
        "e09e4fd6265b36115fe3db32df945d84"
    )


@given(st.integers(1, 3000), st.integers(1, 1000))
def test_the_fault_server_computes_the_same_multipart_etags(size, part_size):
    data = pseudo_random(size, size)
    parts = [hashlib.md5(data[at : at + part_size]).hexdigest() for at in range(0, size, part_size)]
    assert f'"{multipart_md5(parts)}-{len(parts)}"' == etag_of(data, part_size)
    assert part_size_fits(size, len(parts), part_size)


@given(st.integers(0, 500), st.integers(1, 60), st.integers(0, 100))
@example(0, 1, 5)
@example(10, 2, 0)
def test_a_part_size_fits_if_cutting_gives_that_many_parts(size, count, part_size):
    cut = part_size > 0 and len(range(0, size, part_size)) == count
    assert part_size_fits(size, count, part_size) == cut


@given(st.integers(1, 60 * 1000 * MIB), st.integers(1, 10_000))
def test_every_likely_part_size_gives_that_many_parts(size, count):
    sizes = likely_part_sizes(size, count)
    assert len(sizes) == len(set(sizes))
    assert all(part_size_fits(size, count, part_size) for part_size in sizes)


@given(st.integers(1, 6 * 1000 * MIB), st.sampled_from([5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512]))
def test_part_sizes_in_common_use_are_among_the_likely_ones(size, mib):
    count = -(-size // (mib * MIB))
    assert mib * MIB in likely_part_sizes(size, count)


def test_the_default_part_size_of_the_aws_tools_comes_first():
    assert likely_part_sizes(20 * MIB, 3)[0] == 8 * MIB
    assert likely_part_sizes(1_001, 7) == [143]  # no common size: parts of equal size


@pytest.mark.parametrize("etag", ["", '""', "W/", 'W/""'])
def test_an_empty_etag_is_no_etag(etag):
    assert quoted(etag) == ""
