"""The build hook: what is made of sources on the way into a wheel, or for an editable install.

Hatchling runs this file (pyproject.toml names it); it is no part of the wheel.

* era5dl/proof/md5_simd.c becomes a library beside it, where a C compiler is found: $CC, cc, gcc or clang. Without one,
  or with ERA5DL_PURE=1, the wheel is the same for every system, and hashlib does that library's work, slower.
* Each .po is compiled into the wheel, and no .mo ever lies about in the source tree. An editable install needs none:
  `era5dl.gui.text.i18n` reads the .po.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Made(BuildHookInterface):  # type: ignore[misc,type-arg,unused-ignore]
    """Makes it in a folder of its own, which is gone afterwards."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add what is made to what goes into the wheel; of an editable install, to the source tree."""
        self.made = Path(tempfile.mkdtemp())
        library = self._compile_md5()
        if version == "editable":
            if library is not None:
                with suppress(OSError):  # Windows does not replace what a program has loaded
                    shutil.copy(library, self._proof / f".{library.name}").replace(self._proof / library.name)
            return
        if library is not None:
            build_data["force_include"][str(library)] = f"era5dl/proof/{library.name}"
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"
        self._compile_catalogues(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Clean up."""
        shutil.rmtree(self.made, ignore_errors=True)

    @property
    def _proof(self) -> Path:
        return Path(self.root) / "era5dl" / "proof"

    def _compile_md5(self) -> Path | None:
        """The library; None where none can be made, which is no error."""
        named = shlex.split(os.environ.get("CC", ""))
        compilers = [named] if named else [[found] for found in map(shutil.which, ("cc", "gcc", "clang")) if found]
        library = self.made / ("md5-simd" + (".dll" if os.name == "nt" else ".so"))
        if not compilers or os.environ.get("ERA5DL_PURE", "") not in ("", "0"):
            return None
        words = [*compilers[0], "-O3", "-shared", "-fPIC", "-o", str(library), str(self._proof / "md5_simd.c")]
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return None
        return library

    def _compile_catalogues(self, build_data: dict[str, Any]) -> None:
        gui = Path(self.root) / "era5dl" / "gui"
        compiled = runpy.run_path(str(gui / "text" / "po.py"))["compiled"]  # not an import: era5dl is not installed yet
        for source in sorted((gui / "text" / "locale").glob("*/LC_MESSAGES/*.po")):
            place = source.with_suffix(".mo").relative_to(self.root)
            target = self.made / "-".join(place.parts)
            target.write_bytes(compiled(source.read_text(encoding="utf-8")))
            build_data["force_include"][str(target)] = place.as_posix()
