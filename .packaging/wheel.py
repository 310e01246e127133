"""Hatchling build hook: compiles the MD5 library and the message catalogues. Named in pyproject.toml; not in the wheel.

* era5dl/proof/md5_simd.c becomes a shared library if a C compiler is found ($CC, cc, gcc or clang). Without one, or
  with ERA5DL_PURE=1, the wheel is the same for all systems, and hashlib does the work of that library, more slowly.
* Each .po becomes a .mo, by Babel.

A wheel gets both as additional files. For an editable install they are written into the source tree, where .gitignore
names them; `python -m tests.texts` writes the .mo again.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface):  # type: ignore[misc,type-arg,unused-ignore]
    """Compiles into a temporary folder, which `finalize` removes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the results to the wheel, or to the source tree of an editable install."""
        self.temporary = Path(tempfile.mkdtemp())
        files = self._compile_catalogues()
        library = self._compile_md5()
        if library is not None:
            files[library] = f"era5dl/proof/{library.name}"
        if version == "editable":
            for compiled, place in files.items():
                _replace(compiled, Path(self.root) / place)
            return
        build_data["force_include"].update({str(compiled): place for compiled, place in files.items()})
        if library is not None:
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the temporary folder."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _compile_md5(self) -> Path | None:
        """Return the compiled library, or None if there is no compiler or it fails."""
        from_environment = shlex.split(os.environ.get("CC", ""))
        found = [[path] for path in map(shutil.which, ("cc", "gcc", "clang")) if path]
        compilers = [from_environment] if from_environment else found
        library = self.temporary / ("md5-simd" + (".dll" if os.name == "nt" else ".so"))
        if not compilers or os.environ.get("ERA5DL_PURE", "") not in ("", "0"):
            return None
        source = Path(self.root) / "era5dl" / "proof" / "md5_simd.c"
        command = [*compilers[0], "-O3", "-shared", "-fPIC", "-o", str(library), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return None
        return library

    def _compile_catalogues(self) -> dict[Path, str]:
        """Return the compiled catalogues, and where each belongs in the package."""
        compiled = {}
        for source in sorted((Path(self.root) / "era5dl/gui/text/locale").glob("*/LC_MESSAGES/*.po")):
            place = source.with_suffix(".mo").relative_to(self.root)
            target = self.temporary / "-".join(place.parts)
            with source.open("rb") as po, target.open("wb") as mo:
                write_mo(mo, read_po(po, abort_invalid=True))
            compiled[target] = place.as_posix()
        return compiled


def _replace(compiled: Path, target: Path) -> None:
    """Put a file in place in one step, as a running program may have it open."""
    temporary = target.with_name(f".{target.name}")
    shutil.copy(compiled, temporary)
    with suppress(OSError):  # Windows does not replace a library that a program has loaded
        temporary.replace(target)
