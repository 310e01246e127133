"""Tests of the dependencies: each has a lower bound and a licence that does not bind users of era5dl."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = [*PROJECT["dependencies"], *EXTRAS["demo"], *EXTRAS["subset"], *EXTRAS["xarray"]]
FREE = re.compile(r"\b(MIT|BSD|Apache|PSF|ISC|0BSD|Zlib|CC0|HPND)\b", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9._-]+")


def test_every_dependency_has_a_lower_bound() -> None:
    everything = OURS + [one for extra in EXTRAS.values() for one in extra]
    unbound = [one for one in everything if not re.search(r">=|~=", one)]
    assert [one for one in unbound if not one.startswith(("era5dl", "types-"))] == []


def test_every_dependency_has_a_permissive_licence() -> None:
    seen: dict[str, str] = {}
    waiting = [_name(one) for one in OURS]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another system, or another Python
            continue
        seen[name] = _licence(found.metadata)
        waiting += [_name(one) for one in found.requires or () if "extra ==" not in one]
    assert len(seen) > 10
    assert {name: said for name, said in seen.items() if not FREE.search(said)} == {}


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _licence(metadata: Any) -> str:
    """Return the licence metadata of a distribution, without the rest of long texts."""
    classifiers = [said for said in metadata.get_all("Classifier", []) if said.startswith("License")]
    return " ".join([metadata.get("License-Expression") or "", (metadata.get("License") or "")[:300], *classifiers])
