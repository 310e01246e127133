"""Builds the frozen programs and tries them: --help, the demo in an empty home folder, and the window.

    pip install -e ".[test,bundle]" && python -m tests.bundle [--out DIR]

Takes about two minutes, therefore it is not part of the test suite. Prints the size and the times; the exit code is 0
if everything works. DIR keeps the bundle.
"""

from __future__ import annotations

import argparse
import os
import signal
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


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user who has an empty home folder, and no Python."""
    kept = {name: os.environ[name] for name in ("DISPLAY", "SYSTEMROOT", "TEMP") if name in os.environ}
    path = os.environ["PATH"] if os.name == "nt" else "/usr/bin:/bin"
    return {**kept, "PATH": path, "HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}


def run(home: Path, *command: str) -> float:
    """Run a program of the bundle; return the seconds. Raises CalledProcessError if it fails."""
    began = time.monotonic()
    subprocess.run(command, check=True, timeout=300, cwd=home, env=environment(home), stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def window_opens(home: Path, program: str) -> bool:
    """Open the window for ten seconds, on Linux on a display of its own. Return whether it stayed open."""
    command = ["xvfb-run", "-a", program] if sys.platform == "linux" else [program]
    with subprocess.Popen(
        [*command, "--demo"], cwd=home, env=environment(home), start_new_session=os.name != "nt"
    ) as process:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            _terminate(process)
            return True
        return False


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Terminate the program; xvfb-run would leave it running, therefore its whole process group."""
    if os.name == "nt":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGTERM)


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
        suffix = ".exe" if os.name == "nt" else ""
        command, window = (str(bundle / f"{name}{suffix}") for name in ("era5dl", "era5dl-gui"))
        print(f"--help         {run(home, command, '--help'):.2f} s")
        print(f"demo           {run(home, command, 'demo', '--out', 'demo'):.0f} s")
        opened = window_opens(home, window)
        print(f"window         {'opened' if opened else 'ended'}")
    return 0 if opened else 1


if __name__ == "__main__":
    sys.exit(main())
