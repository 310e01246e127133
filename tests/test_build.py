"""Tests of the build: the wheel with and without a C compiler, and the source archive."""

from __future__ import annotations

import gettext
import io
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from tests.texts import ROOT

pytestmark = pytest.mark.slow

HAS_COMPILER = bool(shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"))


def build(builder: type, into: Path) -> Path:
    """Build from this checkout as pip does."""
    return Path(next(builder(str(ROOT)).build(directory=str(into), versions=["standard"])))


def edited(root: Path) -> dict[str, Any]:
    """Run the build hook as for an editable install of this folder."""
    added: dict[str, Any] = {"force_include": {}}
    hook = runpy.run_path(str(ROOT / ".packaging" / "wheel.py"))["CompileHook"]
    building = hook(str(root), {}, None, None, str(root), "wheel")
    building.initialize("editable", added)
    building.finalize("editable", added, "")
    return added


def test_a_wheel_contains_the_compiled_translations(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(WheelBuilder, tmp_path)) as wheel:
        inside = [name for name in wheel.namelist() if "/locale/" in name]
        assert inside == ["era5dl/gui/text/locale/zh_CN/LC_MESSAGES/era5dl.mo"]
        chinese = gettext.GNUTranslations(io.BytesIO(wheel.read(inside[0])))
    assert chinese.gettext("Ready") == "就绪"


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
def test_a_wheel_built_with_a_compiler_contains_the_md5_library(tmp_path: Path) -> None:
    made = build(WheelBuilder, tmp_path)
    assert "-py3-none-" in made.name
    assert "-any" not in made.name
    with zipfile.ZipFile(made) as wheel:
        inside = [name for name in wheel.namelist() if name.startswith("era5dl/proof/") and not name.endswith(".py")]
        assert len(inside) == 1  # the library, without its sources
        wheel.extractall(tmp_path / "site")
    program = "import era5dl.proof.md5 as md5; print(md5.__file__, type(md5.md5(md5.LARGE)).__name__)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [str(tmp_path / "site" / "era5dl" / "proof" / "md5.py"), "SimdMd5"]


@pytest.mark.parametrize(("name", "value"), [("CC", "no-such-compiler"), ("CC", "false"), ("ERA5DL_PURE", "1")])
def test_without_a_compiler_the_wheel_is_platform_independent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    made = build(WheelBuilder, tmp_path)
    assert made.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(made) as wheel:
        assert [inside for inside in wheel.namelist() if "md5-simd" in inside] == []


def test_an_editable_install_has_the_library_and_the_translations(tmp_path: Path) -> None:
    proof, locale = (
        Path("era5dl", *parts) for parts in (("proof",), ("gui", "text", "locale", "zh_CN", "LC_MESSAGES"))
    )
    for folder, name in ((proof, "md5_simd.c"), (locale, "era5dl.po")):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(ROOT / folder / name, tmp_path / folder)
    assert edited(tmp_path) == {"force_include": {}}
    assert sorted(path.suffix for path in (tmp_path / proof).iterdir()) == [".c", *([".so"] * HAS_COMPILER)]
    assert sorted(path.name for path in (tmp_path / locale).iterdir()) == ["era5dl.mo", "era5dl.po"]


def test_a_source_archive_is_sufficient_to_build_the_wheel(tmp_path: Path) -> None:
    with tarfile.open(build(SdistBuilder, tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "era5dl/gui/text/locale/zh_CN/LC_MESSAGES/era5dl.po",
        ".packaging/wheel.py",
        "era5dl/proof/md5_simd.c",
    }
    assert needed <= names
    assert [name for name in names if "md5-simd" in name or name.endswith(".mo")] == []
