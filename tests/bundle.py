"""Builds the frozen programs and tries them: --help, the demo in an empty home folder, and the window.

    pip install -e ".[test,bundle]" && python -m tests.bundle [--out DIR]

Takes about two minutes, therefore it is not part of the test suite. Prints the size and the times; the exit code is 0
if everything works. DIR keeps the bundle.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def build(out: Path) -> Path:
    """Run PyInstaller; return the folder of the bundle."""
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"]
    command += ["--distpath", str(out / "dist"), "--workpath", str(out / "build")]
    subprocess.run([*command, str(PROJECT / ".packaging" / "era5dl.spec")], check=True)
    return out / "dist" / "era5dl"


def run(home: Path, *command: str, timeout: float = 300) -> float:
    """Run a program of the bundle with no environment but a home folder; return the seconds. Raises if it fails."""
    began = time.monotonic()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    subprocess.run(command, check=True, timeout=timeout, cwd=home, env=environment, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def window_opens(home: Path, program: Path) -> bool:
    """Open the window on a display of its own for ten seconds. Return whether it stayed open."""
    command = ["xvfb-run", "-a", str(program), "--demo"]
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    with subprocess.Popen(command, cwd=home, env=environment) as process:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.terminate()
            return True
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args().out
    with tempfile.TemporaryDirectory() as temporary:
        bundle = build((wanted or Path(temporary)).absolute())
        home = Path(temporary) / "home"
        home.mkdir()
        size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file() and not path.is_symlink())
        print(f"size           {size / 1e6:.0f} MB")
        print(f"--help         {run(home, str(bundle / 'era5dl'), '--help'):.2f} s")
        print(f"demo           {run(home, str(bundle / 'era5dl'), 'demo', '--out', 'demo'):.0f} s")
        opened = window_opens(home, bundle / "era5dl-gui")
        print(f"window         {'opened' if opened else 'ended'}")
    return 0 if opened else 1


if __name__ == "__main__":
    sys.exit(main())
