"""Tests of the structure: imports point down only, and foreign libraries stay in their packages."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "era5dl"

FLOORS = [  # from the bottom up; packages on one floor do not import each other
    {"errors", "ranges", "redaction", "bucket.cancellation", "child_process"},
    {"hdf5"},
    {"formatting", "thread_registry", "catalog", "days", "proof", "bucket.interface"},
    {
        "rate_timetable",
        "subset.selection",
        "bucket.happy_eyeballs",
        "bucket.deadline",
        "bucket.proxy",
        "bucket.tls_trust",
    },
    {"bucket.body_reader", "bucket.socks_tunnel"},
    {"bucket.connect"},
    {"settings", "selection", "folder", "bucket.response_headers"},
    {"subset"},
    {"preview"},
    {"api_select", "cds", "validation", "bucket.responses", "bucket.error_mapping", "planner", "demo"},
    {"bucket.http_session", "locks", "subset.range_requests", "subset.index_cache"},
    {"bucket.get_object", "bucket.client", "subset.read_index"},
    {"bucket.fast_get", "subset.exact_plan"},
    {"bucket.s3", "session"},
    {"engine", "log_file", "archive"},
    {"dataset", "cluster"},
    {"diagnosis", "api", "jobs"},
    {""},  # era5dl/__init__.py, which exports the names of api
    {"cli", "gui.theme"},
    {"gui.widgets", "gui.text.i18n", "gui.backend"},
    {"gui.menus", "gui.text"},
    {"gui.models"},
    {"gui.pages", "gui.dialogs"},
    {"gui.controllers"},
    {"gui.actions", "gui.shortcuts", "gui.signals", "gui.startup_options", "gui.window_geometry"},
    {"gui.app"},
    {"gui"},
    {"__main__"},
]
ONLY_IN = {
    "tkinter": (
        "gui.theme",
        "gui.widgets",
        "gui.pages",
        "gui.dialogs",
        "gui.controllers",
        "gui.actions",
        "gui.shortcuts",
        "gui.window_geometry",
        "gui.app",
        "gui.__init__",
    ),
    "boto3": ("bucket.client",),
    "botocore": (
        "bucket.client",
        "bucket.s3",
        "bucket.http_session",
        "bucket.tls_trust",
        "bucket.fast_get",
        "bucket.error_mapping",
    ),
    "socks": ("bucket.socks_tunnel",),
    "truststore": ("bucket.tls_trust",),
    "urllib3": (
        "bucket.body_reader",
        "bucket.connect",
        "bucket.http_session",
        "bucket.fast_get",
        "bucket.error_mapping",
    ),
    "rich": ("cli",),
    "distributed": ("cluster.on_dask",),
    "h5netcdf": ("dataset",),
    "h5py": (
        "dataset",
        "demo",
        "subset.h5py_index",
        "subset.merge",
        "subset.netcdf_writer",
        "subset.point_csv",
        "subset.write",
    ),
    "PIL": ("preview.pen", "preview.picture", "preview.series_picture"),
    "numpy": (
        "dataset",
        "demo",
        "preview.chunk_cache",
        "preview.colormap",
        "preview.colour_scale",
        "preview.field_file",
        "preview.rendering",
        "subset.decode",
        "subset.h5py_index",
        "subset.merge",
        "subset.merge_source",
        "subset.netcdf_writer",
        "subset.output_layout",
        "subset.point_csv",
        "subset.select_elements",
        "subset.write",
    ),
    "xarray": ("api", "dataset"),
}
ONLY_THE_BACKEND_DRIVES = {"bucket.s3", "engine.engine", "planner", "session", "session.index", "session.session"}
NOT_A_NAME = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager", "base"}

MODULES = {".".join(path.relative_to(HOUSE).with_suffix("").parts): path for path in sorted(HOUSE.rglob("*.py"))}
MODULES = {name.removesuffix("__init__").rstrip(".") if name != "__init__" else "": p for name, p in MODULES.items()}


def floor_of(module: str) -> int:
    """Return the number of a module's floor, by the longest matching name; -1 if there is none."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for number, rooms in enumerate(FLOORS):
            if name in rooms:
                return number
    return -1


def room_of(module: str) -> str:
    """Return the package of a module, or the module itself if FLOORS contains it."""
    named = {room for rooms in FLOORS for room in rooms}
    parts = module.split(".")
    return next((n for i in range(len(parts), 0, -1) if (n := ".".join(parts[:i])) in named), module)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> tuple[tuple[str, int], ...]:
    """Return all modules that this one imports, at any place, with the line."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:  # `import era5dl` is for the version; all other names belong to api
                yield "era5dl.__version__" if alias.name == "era5dl" else alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: names are written out in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                known = whole.removeprefix("era5dl.") in MODULES or whole == "era5dl.__version__"
                yield (whole if known else node.module or ""), node.lineno


@cache
def own(path: Path) -> tuple[tuple[str, int], ...]:
    """Return the imported modules of era5dl, named as in FLOORS. Every module may import the version."""
    return tuple(
        (name.removeprefix("era5dl").lstrip("."), line)
        for name, line in imported(path)
        if name != "era5dl.__version__" and (name == "era5dl" or name.startswith("era5dl."))
    )


def test_every_module_has_a_floor() -> None:
    homeless = [module for module in MODULES if floor_of(module) < 0 and module != "bucket"]
    assert homeless == [], "a new module needs a floor: put it into FLOORS"
    assert own(MODULES["bucket"]) == ()  # its modules are on several floors, so it must not import any


def test_imports_point_down() -> None:
    wrong = [
        f"era5dl.{module} imports era5dl.{name} in line {line}"
        for module, path in MODULES.items()
        for name, line in own(path)
        if room_of(name) != room_of(module) and not floor_of(name) < floor_of(module)
    ]
    assert wrong == []


def reachable(module: str) -> set[str]:
    """Return all modules that this one imports, directly or indirectly."""
    found: set[str] = set()
    todo = [module]
    while todo:
        new = {name for name, _ in own(MODULES[todo.pop()]) if name in MODULES} - found
        found |= new
        todo += new
    return found


def test_there_are_no_import_circles() -> None:
    """Imports under TYPE_CHECKING and inside functions count, too: modules that need each other belong together."""
    reached = {module: reachable(module) for module in MODULES}
    circles = {
        tuple(sorted(other for other in names if module in reached[other]))
        for module, names in reached.items()
        if module in names
    }
    assert circles == set()


def test_imported_modules_exist() -> None:
    missing = [(module, name) for module, path in MODULES.items() for name, _ in own(path) if name not in MODULES]
    assert missing == []


def test_third_party_libraries_stay_in_their_packages() -> None:
    wrong = [
        f"era5dl.{module} imports {name} in line {line}"
        for module, path in MODULES.items()
        for name, line in imported(path)
        if (rooms := ONLY_IN.get(name.split(".")[0])) and not any(is_in(module, path, room) for room in rooms)
    ]
    assert wrong == []


def is_in(module: str, path: Path, room: str) -> bool:
    """Return whether a module is this package, or in it. "x.__init__" means only the module of the package x."""
    name = f"{module}.__init__" if path.name == "__init__.py" else module
    return f"{name}.".startswith(f"{room}.")


def test_in_the_window_only_the_backend_drives_the_core() -> None:
    """The other packages of the window use values of the core (events, snapshots, summaries), but start nothing."""
    wrong = [
        f"era5dl.{module} imports era5dl.{name} in line {line}"
        for module, path in MODULES.items()
        if module.startswith("gui") and not module.startswith("gui.backend")
        for name, line in own(path)
        if name in ONLY_THE_BACKEND_DRIVES
    ]
    assert wrong == []


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"era5dl.{module}, line {node.lineno}"
        for module, path in MODULES.items()
        if module.split(".")[0] != "cli"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input")
    ]
    assert wrong == []


def test_no_module_has_a_vague_name() -> None:
    assert [module for module in MODULES if NOT_A_NAME & set(module.split("."))] == []


def test_every_module_docstring_has_at_least_four_words() -> None:
    silent = [module for module, path in MODULES.items() if len((ast.get_docstring(tree(path)) or "").split()) < 4]
    assert silent == []


HEAVY = (
    "boto3",
    "botocore",
    "urllib3",
    "rich",
    "h5py",
    "numpy",
    "tkinter",
    "psutil",
    "truststore",
    "socks",
    "PIL",
    "xarray",
    "h5netcdf",
    "dask",
)
IMPORT = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"


@pytest.mark.parametrize(
    "module",
    [
        "era5dl",
        "era5dl.cli.main",
        "era5dl.api",
        "era5dl.engine.engine",
        "era5dl.session",
        "era5dl.subset.ranges",
        "era5dl.subset.estimate",
        "era5dl.engine.subset_file",
    ],
)
def test_importing_era5dl_loads_no_slow_module(module: str) -> None:
    command = [sys.executable, "-c", IMPORT, module]
    done = subprocess.run(command, cwd=HOUSE.parent, capture_output=True, text=True, timeout=60, check=True)
    assert set(json.loads(done.stdout)) & set(HEAVY) == set()


def test_help_loads_no_slow_module() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "era5dl", "--help"]
    done = subprocess.run(command, cwd=HOUSE.parent, capture_output=True, text=True, timeout=60, check=True)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "era5dl" in loaded
    assert loaded & set(HEAVY) == set()
