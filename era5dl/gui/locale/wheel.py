"""The wheel's build hook: each .po is compiled into the wheel, and no .mo ever lies about in the source tree.

Hatchling runs this file (pyproject.toml names it); it is no part of the wheel. An editable install needs nothing:
`era5dl.gui.i18n` reads the .po.
"""

from __future__ import annotations

import runpy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Catalogues(BuildHookInterface):  # type: ignore[misc,type-arg,unused-ignore]
    """Compiles on the way into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add a .mo for each .po to what goes into the wheel."""
        self.made = Path(tempfile.mkdtemp())
        if version == "editable":
            return
        gui = Path(self.root) / "era5dl" / "gui"
        compiled = runpy.run_path(str(gui / "po.py"))["compiled"]  # not an import: era5dl is not installed yet
        for source in sorted((gui / "locale").glob("*/LC_MESSAGES/*.po")):
            place = source.with_suffix(".mo").relative_to(self.root)
            target = self.made / "-".join(place.parts)
            target.write_bytes(compiled(source.read_text(encoding="utf-8")))
            build_data["force_include"][str(target)] = place.as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Clean up."""
        shutil.rmtree(self.made, ignore_errors=True)
