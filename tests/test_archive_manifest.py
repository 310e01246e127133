"""Tests of the manifest: it finds one changed byte, reads each file once, and says what it cannot compare."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from datetime import date

import pytest

from era5dl.archive import digests, manifest
from era5dl.archive.manifest import Match, compare, make_manifest
from era5dl.archive.manifest_format import MANIFEST_NAME, read_manifest
from era5dl.errors import UsageError
from era5dl.proof.etag import multipart_md5
from era5dl.session.part_digests import PartDigests
from era5dl.subset.selection import Subset
from tests.archive_samples import SIZE, hdf5_bytes, keys_of, make_session, plan_for, write_file
from tests.command_line import Command

FIRST, LAST = date(2020, 1, 1), date(2020, 4, 30)
T2 = keys_of("an.sfc/2t", FIRST, LAST)
CONTENT = hdf5_bytes()
MD5 = hashlib.md5(CONTENT).hexdigest()
HALVES = [hashlib.md5(half).hexdigest() for half in (CONTENT[: SIZE // 2], CONTENT[SIZE // 2 :])]


@pytest.fixture
def command(tmp_path_factory, monkeypatch) -> Command:
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("ERA5DL_STATE_DIR", str(state))
    return Command("http://127.0.0.1:9", state)


def flip_byte(path) -> None:
    """Change one bit of a file and keep its size and its time."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("etag", [f'"{MD5}"', f'"{multipart_md5(HALVES)}-2"'])
def test_flipped_byte_is_found_without_any_sum(command, tmp_path, etag):
    make_session(tmp_path, plan_for(["2t"], FIRST, LAST, etag=etag), verified=[0, 1, 2])
    done = command("manifest", tmp_path, "--json")
    assert done.returncode == 0
    made = read_manifest(tmp_path / MANIFEST_NAME)
    assert [(one.path, one.key, one.size, one.proof, one.etag) for one in made.files] == [
        (key, key, SIZE, "verified", etag) for key in T2[:3]
    ]
    assert made.files[0].md5 == ("" if "-" in etag else MD5)
    assert made.sessions[0]["request"]["selection"]["variables"] == ["an.sfc/2t"]
    assert command("manifest", tmp_path, "--check").returncode == 0
    flip_byte(tmp_path / T2[1])
    (tmp_path / T2[2]).unlink()
    done = command("manifest", tmp_path, "--check", "--json")
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["path"]: one["match"] for one in records if one["event"] == "compared"} == {
        T2[0]: "same",
        T2[1]: "changed",
        T2[2]: "gone",
    }
    done = command("manifest", tmp_path, "--sha256")  # a sum of wrong bytes would make them look right
    assert done.returncode == 1
    assert f"changed: {T2[1]}" in done.stdout
    assert [bool(one.sha256) for one in read_manifest(tmp_path / MANIFEST_NAME).files] == [True, False]


def test_sums_are_computed_once_and_later_only_of_new_files(command, tmp_path, monkeypatch):
    folder = tmp_path / "era5"
    for key in T2[:2]:
        write_file(folder, "flat/" + key.rpartition("/")[2])
    make_manifest(folder)
    assert [one.match for one in compare(folder)] == [Match.NO_DIGEST] * 2
    assert command("manifest", folder, "--sha256sums").returncode == 0
    moved = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy2)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=moved, check=True, timeout=30)
    read: list[str] = []
    original = digests.read_digests

    def spy(root, path, **options):
        read.append(path.name)
        return original(root, path, **options)

    monkeypatch.setattr(manifest, "read_digests", spy)
    write_file(folder, "flat/" + T2[2].rpartition("/")[2])
    made, wrong = make_manifest(folder, sha256=True)
    assert read == [T2[2].rpartition("/")[2]]
    assert (wrong, {one.sha256 for one in made.files}) == ([], {hashlib.sha256(CONTENT).hexdigest()})
    flip_byte(folder / "flat" / read[0])
    assert [one.match for one in compare(folder)].count(Match.CHANGED) == 1


def test_part_is_compared_with_the_md5_that_was_recorded(command, tmp_path):
    plan = plan_for(["2t"], FIRST, date(2020, 1, 31), Subset(hours=(0, 12)))
    session = make_session(tmp_path, plan, verified=[0])
    place = session.paths.relative(0)
    obj = plan.objects[0]
    PartDigests.of_session(tmp_path, session.id).record(type(obj)(place, obj.size, obj.etag), [MD5])
    made, _ = make_manifest(tmp_path)
    assert (made.files[0].md5, made.files[0].proof, made.files[0].subset) == (MD5, "checked-part", {"hours": [0, 12]})
    assert [one.match for one in compare(tmp_path)] == [Match.SAME]
    flip_byte(tmp_path / place)
    assert [one.match for one in compare(tmp_path)] == [Match.CHANGED]


def test_manifest_that_leads_out_of_the_folder_or_is_damaged(command, tmp_path):
    folder, secret = tmp_path / "era5", tmp_path / "secret.nc"
    secret.write_bytes(CONTENT)
    write_file(folder, T2[0])
    make_manifest(folder)
    path = folder / MANIFEST_NAME
    lines = path.read_text().splitlines(keepends=True)
    for place in ("../secret.nc", str(secret)):
        changed = [lines[0], lines[1].replace(json.dumps(T2[0]), json.dumps(place), 1)]
        end = json.loads(lines[2]) | {"sha256": hashlib.sha256("".join(changed).encode()).hexdigest()}
        path.write_text("".join(changed) + json.dumps(end, separators=(",", ":")) + "\n")
        assert [one.match for one in compare(folder)] == [Match.UNREADABLE]
    for text in ("", "{}\n", "".join(lines[:2]), "".join(lines).replace(f'"size":{SIZE}', '"size":1')):
        path.write_text(text)
        assert command("manifest", folder, "--check").returncode == 2
        with pytest.raises(UsageError):
            list(compare(folder))
    assert command("manifest", folder).returncode == 0  # writes a new one
    assert command("manifest", folder, "--check", "--sha256").returncode == 2
    path.unlink()
    assert command("manifest", folder, "--check").returncode == 2
    assert command("manifest", tmp_path / "none").returncode == 3
