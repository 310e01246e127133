"""Tests of the resume file: read back as written, damage is detected, size is bounded."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from era5dl.bucket.interface import ObjectInfo
from era5dl.errors import SessionDamaged, SessionNotFound
from era5dl.ranges import RangeSet
from era5dl.session import Checkpoint, FailedObject, UnfinishedObject, resume_file
from era5dl.session.info import SessionInfo
from era5dl.session.resume_entries import parse_failure
from era5dl.session.resume_format import MAX_SIZE, parse, render
from era5dl.validation import Malformed, canonical_json
from tests.session_samples import REQUEST, checkpoints, example_checkpoint, objects, plan_of

PLAN = plan_of(objects(12))
LARGE = plan_of(objects(10_000))
ID = "0123456789ab"


def info(plan=PLAN, **changes) -> SessionInfo:
    known = SessionInfo(
        id=ID,
        title="t",
        created=1.0,
        bucket="b",
        endpoint_url=None,
        region="us-west-2",
        flat=False,
        verify=True,
        request=REQUEST,
        plan_digest=plan.digest,
        files=len(plan.objects),
        missing=len(plan.missing),
        total_bytes=plan.total_bytes,
    )
    return replace(known, **changes)


def rendered(checkpoint: Checkpoint, plan=PLAN) -> bytes:
    return render(info(plan), checkpoint, plan.objects, now=2.0)


def parsed(data: bytes, plan=PLAN) -> Checkpoint:
    return parse(data).checkpoint_for(plan.objects)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy computer
@given(checkpoints(PLAN))
def test_checkpoint_round_trip(checkpoint):
    data = rendered(checkpoint)
    assert parsed(data) == checkpoint
    assert parse(data).info == info()


def test_file_is_readable_by_people():
    text = rendered(example_checkpoint(PLAN)).decode("ascii")
    assert ' "verified": "0-2",\n' in text
    assert ' "checked": "4",\n' in text
    assert '{"index": 6, "key": "e5.oper.an.pl/202102/file 6 \\u00e9.nc", "size": 1006,' in text


def test_reformatted_file_is_still_valid():
    data = rendered(example_checkpoint(PLAN))
    indented = json.dumps(json.loads(data), indent=4, sort_keys=True).encode()
    assert parsed(indented) == parsed(data)


def test_failures_without_kind_of_earlier_versions_are_read():
    (entry,) = json.loads(rendered(example_checkpoint(PLAN)))["failures"]
    (failure,) = example_checkpoint(PLAN).failures
    assert parse_failure(entry, 12) == failure
    del entry["kind"]
    assert parse_failure(entry, 12) == replace(failure, kind="")


@pytest.mark.slow
@settings(deadline=None)
@given(st.sets(st.integers(0, 9999), max_size=40), st.booleans())
def test_finished_objects_are_stored_as_ranges_or_bits(members, many_holes):
    plan = LARGE
    verified = RangeSet((n, n + 1) for n in sorted(members | (set(range(0, 9001, 2)) if many_holes else set())))
    data = rendered(replace(Checkpoint.empty(), verified=verified), plan)
    assert parsed(data, plan).verified == verified
    assert (b'"bits:' in data) == many_holes
    assert len(data) < 16_000


def test_checkpoint_of_another_plan_is_not_written():
    for wrong in (
        replace(Checkpoint.empty(), verified=RangeSet([(11, 13)])),
        replace(Checkpoint.empty(), unfinished=(UnfinishedObject(1, ((0, 5000),), {}),)),
        replace(Checkpoint.empty(), failures=(FailedObject(12, "k", "", "", 0.0),)),
    ):
        with pytest.raises(ValueError, match=r"no object|no bytes"):
            rendered(wrong)


def test_flipped_bit_is_detected():
    data = rendered(example_checkpoint(PLAN))
    for place in range(len(data)):
        corrupted = bytearray(data)
        corrupted[place] ^= 1
        with contextlib.suppress(Malformed):
            assert parsed(bytes(corrupted)) == example_checkpoint(PLAN)  # a character of the layout
    with pytest.raises(Malformed, match="checksum"):
        parse(data.replace(b'"done_bytes": 44906', b'"done_bytes": 44907'))


def test_very_long_number_is_not_converted():
    with pytest.raises(Malformed, match="too long"):
        parse(b'{"format": ' + b"9" * 1000 + b"}")


# --- invalid content ------------------------------------------------------------------------------------------------


def with_valid_checksum(**changes) -> bytes:
    """Return a resume file with changed content and a valid checksum, as an attacker would write it."""
    body = {**json.loads(rendered(example_checkpoint(PLAN))), **changes}
    del body["checksum"]
    return json.dumps({"checksum": hashlib.sha256(canonical_json(body)).hexdigest(), **body}).encode()


ENTRY = json.loads(rendered(example_checkpoint(PLAN)))["unfinished"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"format": "something-else"},
        {"id": "../../../etc"},
        {"id": 7},
        {"files": 13},
        {"files": -1},
        {"files": 10**9},
        {"files": True},
        {"verified": "0-99"},
        {"verified": "5-4"},
        {"verified": "3,1"},
        {"verified": "bits:ffff"},
        {"verified": "bits:zzzz"},
        {"verified": "٣"},
        {"verified": [0, 1]},
        {"verified": "0-4"},  # object 4 is checked
        {"verified": "0-5", "checked": ""},  # object 5 is unfinished
        {"created": "yesterday"},
        {"created": 1e300},
        {"request": []},
        {"ended": 1},
        {"done_bytes": -1},
        {"done_bytes": 1.5},
        {"plan_digest": "x" * 64},
        {"unfinished": {}},
        {"unfinished": [1]},
        {"unfinished": [ENTRY, ENTRY]},
        {"unfinished": [{**ENTRY, "index": 12}]},
        {"unfinished": [{**ENTRY, "index": -1}]},
        {"unfinished": [{**ENTRY, "key": "another"}]},
        {"unfinished": [{**ENTRY, "done": [[0, 50_001]]}]},
        {"unfinished": [{**ENTRY, "done": [[5, 5]]}]},
        {"unfinished": [{**ENTRY, "done": [[9, 5]]}]},
        {"unfinished": [{**ENTRY, "done": [[0, 9], [5, 12]]}]},
        {"unfinished": [{**ENTRY, "done": [[0]]}]},
        {"unfinished": [{**ENTRY, "done": [[0, "9"]]}]},
        {"unfinished": [{**ENTRY, "digests": [[0, "a" * 31]]}]},
        {"unfinished": [{**ENTRY, "digests": [[0, "A" * 32]]}]},
        {"unfinished": [{**ENTRY, "digests": [[10_000, "a" * 32]]}]},
        {"unfinished": [{**ENTRY, "digests": [[-1, "a" * 32]]}]},
        {"unfinished": [{**ENTRY, "size": -5}]},
        {"replaced": [{"index": 1, "key": "another", "size": 1, "etag": "", "last_modified": 0}]},
        {"failures": [{"index": 99, "key": "", "reason": "", "remedy": "", "when": 0}]},
        {"failures": [{"index": 1}]},
    ],
)
def test_invalid_field_is_refused_despite_a_valid_checksum(changes):
    assert parsed(with_valid_checksum()) == example_checkpoint(PLAN)
    with pytest.raises(Malformed):
        parsed(with_valid_checksum(**changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": "era5dl-session", "files": ' + b"9" * 10_000 + b"}",
        b'{"format": "era5dl-session", "created": NaN}',
        b'{"format": "era5dl-session", "created": 1e999}',
        b'{"format": "era5dl-session", "a": "\\ud800"}',
        b'{"format": "era5dl-session", "checksum": ["x"]}',
        b"\xff\xfe{}",
        b"null",
        b"[]",
        b'{"name": "somebody", "version": 1}',
    ],
    ids=lambda data: ascii(data[:24]),
)
def test_other_content_is_refused(data):
    with pytest.raises(Malformed):
        parse(data)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Generate damaged versions of some bytes."""
    kind = draw(st.sampled_from(["cut", "zeroed", "flipped", "zeros within", "foreign", "deep", "empty", "doubled"]))
    place = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:place]
    if kind == "zeroed":
        return bytes(len(data))
    if kind == "flipped":
        return data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
    if kind == "zeros within":
        return data[:place] + bytes(len(data[place : place + 512])) + data[place + 512 :]
    if kind == "foreign":
        anything = st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(json.loads(data))), inner),
            max_leaves=5,
        )
        return json.dumps(draw(anything)).encode()
    if kind == "deep":
        return b'{"request":' * 50_000
    return b"" if kind == "empty" else data + data


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_to_file_and_backup_gives_a_saved_checkpoint_or_an_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage", numbered=True)
    path = folder / f"{ID}.json"
    saved = [data.draw(checkpoints(PLAN)) for _ in range(3)]
    for checkpoint in saved:
        resume_file.write(path, rendered(checkpoint))
    for file in (path, resume_file.backup_path(path)):
        if data.draw(st.booleans()):
            file.write_bytes(data.draw(damaged(file.read_bytes())))
    try:
        found, _ = resume_file.read(path, ID)
        checkpoint = found.checkpoint_for(PLAN.objects)
    except (SessionDamaged, Malformed) as exc:
        assert isinstance(exc, SessionDamaged)
        assert "Run the same download command again" in exc.remedy
    else:
        assert checkpoint in saved[1:]


# --- file and backup ------------------------------------------------------------------------------------------------


def test_backup_is_read_and_the_damaged_file_is_returned(tmp_path):
    path = tmp_path / f"{ID}.json"
    first = replace(Checkpoint.empty(), verified=RangeSet([(0, 1)]))
    second = replace(Checkpoint.empty(), verified=RangeSet([(0, 2)]))
    resume_file.write(path, rendered(first))
    resume_file.write(path, rendered(second))
    assert resume_file.read(path, ID)[0].checkpoint == second
    path.write_bytes(b"torn")
    found, damaged_files = resume_file.read(path, ID)
    assert (found.checkpoint, damaged_files) == (first, (path,))


@pytest.mark.parametrize("step", ["write_temp", "rename", "replace"])
def test_interruption_in_any_step_of_saving_leaves_a_complete_version(tmp_path, monkeypatch, step):
    path = tmp_path / f"{ID}.json"
    old, new = (replace(Checkpoint.empty(), verified=RangeSet([(0, n)])) for n in (1, 2))
    resume_file.write(path, rendered(Checkpoint.empty()))
    resume_file.write(path, rendered(old))
    if step == "write_temp":
        (tmp_path / f"{ID}.json.tmp").write_bytes(rendered(new)[:100])  # as a killed program leaves it
    else:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(resume_file, step, raise_interrupt)
            resume_file.write(path, rendered(new))
    assert resume_file.read(path, ID)[0].checkpoint == old
    resume_file.write(path, rendered(new))
    assert resume_file.read(path, ID)[0].checkpoint == new


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_resume_file_of_another_session_is_refused(tmp_path):
    path = tmp_path / "ffffffffffff.json"
    path.write_bytes(rendered(Checkpoint.empty()))
    with pytest.raises(SessionDamaged, match="another session"):
        resume_file.read(path, "ffffffffffff")


def test_missing_file_is_not_reported_as_damage(tmp_path):
    with pytest.raises(SessionNotFound):
        resume_file.read(tmp_path / f"{ID}.json", ID)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/etc/passwd"), lambda path: mkfifo(path)])
def test_link_folder_or_pipe_is_refused_without_blocking(tmp_path, make):
    path = tmp_path / f"{ID}.json"
    make(path)
    with pytest.raises(SessionDamaged, match="not a regular file"):
        resume_file.read(path, ID)


def mkfifo(path: Path) -> None:
    import os

    os.mkfifo(path)


def test_too_large_file_is_not_read(tmp_path):
    path = tmp_path / f"{ID}.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(SessionDamaged, match="larger than"):
        resume_file.read(path, ID)


def test_renamed_damaged_files_do_not_overwrite_each_other(tmp_path):
    path = tmp_path / "x.json"
    for number in (1, 2, 3):
        path.write_text(f"damage {number}")
        assert resume_file.rename_damaged(path).name == f"x.json.damaged-{number}"
    assert resume_file.rename_damaged(path) is None
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["damage 1", "damage 2", "damage 3"]


# --- size limit -----------------------------------------------------------------------------------------------------


def big_plan(count: int):
    return plan_of(
        [ObjectInfo(f"e5.oper.an.pl/202102/{'x' * 60}{n}.nc", 2**31, f'"{n:032x}-256"') for n in range(count)]
    )


def unfinished(count: int, parts: int) -> tuple[UnfinishedObject, ...]:
    digests = {part: hashlib.md5(b"%d" % part, usedforsecurity=False).hexdigest() for part in range(parts)}
    return tuple(UnfinishedObject(n, ((0, 1000 + n),), digests) for n in range(count))


@pytest.mark.slow
def test_typical_file_is_complete_and_huge_one_omits_only_recoverable_data():
    plan = big_plan(3000)
    typical = replace(Checkpoint.empty(), unfinished=unfinished(16, 200))
    assert parsed(rendered(typical, plan), plan) == typical

    huge = Checkpoint(
        verified=RangeSet((n, n + 1) for n in range(1500, 3000, 2)),
        checked=RangeSet((n, n + 1) for n in range(1501, 3000, 2)),
        unfinished=unfinished(1400, 200),
        failures=tuple(FailedObject(n, plan.objects[n].key, "é" * 2000, "ö" * 2000, 1.0) for n in range(400)),
        replaced={n: replace(plan.objects[n], etag='"new"') for n in range(2900)},
        done_bytes=5,
        ended=False,
    )
    data = rendered(huge, plan)
    assert len(data) <= MAX_SIZE
    kept = parsed(data, plan)
    assert (kept.verified, kept.checked, kept.done_bytes) == (huge.verified, huge.checked, 5)
    whole = {entry.index: entry for entry in huge.unfinished}
    assert kept.unfinished
    for entry in kept.unfinished:
        assert entry.done == whole[entry.index].done
        assert dict(entry.digests) in ({}, dict(whole[entry.index].digests))
        assert (
            kept.replaced[entry.index] == huge.replaced[entry.index]
        )  # ranges without their version would mix two versions


def test_digests_are_dropped_before_ranges():
    plan = big_plan(100)
    kept = parsed(rendered(replace(Checkpoint.empty(), unfinished=unfinished(100, 400)), plan), plan)
    assert [entry.done for entry in kept.unfinished] == [((0, 1000 + n),) for n in range(100)]
    assert 0 < sum(bool(entry.digests) for entry in kept.unfinished) < 100


def test_very_long_request_is_left_out():
    request = {"selection": {"days": [[f"{year}-01-01", f"{year}-01-02"] for year in range(5000)]}}
    data = render(info(request=request), Checkpoint.empty(), PLAN.objects, now=2.0)
    assert len(data) < 2000
    assert parsed(data) == Checkpoint.empty()
