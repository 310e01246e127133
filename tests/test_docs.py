"""Tests of the documentation: every file, link, module and class that it names exists, and the README stays short."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        ROOT / "README.md",
        *(ROOT / ".github").rglob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
        *(ROOT / "era5dl").rglob("*.md"),
    ]
)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)\)")
OURS = re.compile(r"(?:era5dl|tests|\.github|\.ci|\.packaging)/[\w./-]*")
MODULE = re.compile(r"python -m (tests(?:\.\w+)+)")
CLASS = re.compile(r"(?:[A-Z][a-z0-9]+){1,}(?:\.\w+)?")
README_LINES = 150


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def without_blocks(text: str) -> str:
    """Return the text without fenced code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def classes() -> dict[str, set[str]]:
    """Return the classes of the package, with the names of their methods and fields."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "era5dl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                members = found.setdefault(node.name, set())
                for member in node.body:
                    if isinstance(member, ast.FunctionDef):
                        members.add(member.name)
                    elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                        members.add(member.target.id)
    return found


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES)
def test_every_mentioned_file_exists(page: str) -> None:
    names = [name for name in CODE.findall(without_blocks(text_of(page))) if OURS.fullmatch(name)]
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_works(page: str) -> None:
    targets = [target for target in LINK.findall(without_blocks(text_of(page))) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_in_a_command_exists(page: str) -> None:
    paths = {name: ROOT / name.replace(".", "/") for name in MODULE.findall(text_of(page))}
    wrong = [name for name, path in paths.items() if not path.with_suffix(".py").exists() and not path.is_dir()]
    assert wrong == []


def test_every_class_and_method_in_the_architecture_exists() -> None:
    unknown = []
    for name in CODE.findall(without_blocks(text_of(".github/docs/architecture.md"))):
        owner, _, member = name.partition(".")
        if CLASS.fullmatch(name) and (owner not in classes() or (member and member not in classes()[owner])):
            unknown.append(name)
    assert unknown == []


def test_every_field_of_the_resume_file_is_documented() -> None:
    """Compares the documentation with the top level of the JSON in the function that writes it."""
    tree = ast.parse(text_of("era5dl/session/resume_format.py"))
    written = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "render")
    keys = {
        key.value
        for node in ast.walk(written)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    documented = set(CODE.findall(text_of(".github/docs/formats.md")))
    assert keys, "`render` has moved"
    assert keys - documented == set()
