"""Preferences of the window: a frozen dataclass, loaded from and saved to a small JSON file of the user. No Tk.

Only values that differ from their defaults are saved, so that a changed default reaches existing users. The file is not
trusted: an entry that is unknown, of the wrong type or out of bounds is replaced with its default, and a file that
cannot be read is renamed. Neither prevents the window from opening.
"""

from __future__ import annotations

import json
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

from era5dl.errors import UsageError
from era5dl.folder import private_files
from era5dl.folder.atomic_write import write_atomically
from era5dl.formatting import MIN_RATE
from era5dl.rate_timetable import normalize_rate_limit
from era5dl.redaction import strip_credentials
from era5dl.settings import AUTO, MAX_AUTO_WORKERS, Settings
from era5dl.validation import Malformed, parse_json, read_regular_file

_SETTINGS = Settings()  # the defaults
_MAX_BYTES = 256 * 1024  # of the file
_MAX_LENGTH = 4096  # characters of a text

BOUNDS: dict[str, tuple[float, float]] = {
    "workers": (1, MAX_AUTO_WORKERS),
    "rate_limit": (0, 100_000_000_000),
    "retries": (0, 100),
    "connect_timeout": (1.0, 120.0),
    "read_timeout": (2.0, 600.0),
    "disk_reserve": (0, 10_000_000_000_000),
    "request_width": (0, 10_000),
}
GEOMETRY = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})(?:\+(-?\d{1,5})\+(-?\d{1,5}))?", re.ASCII)  # as Tk writes it
CHOICES = {"theme": ("light", "dark"), "language": ("", "en", "zh_CN")}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """All preferences. Sizes in bytes, speeds in bytes per second, times in seconds; an empty text means "not set".

    rate_limit: 0 means no limit; a text is a timetable. proxy, ca_bundle, language: empty for the system's.
    endpoint_url: empty for Amazon's.
    geometry: of the window, in Tk's notation. request_width: width of the request panel in unscaled pixels; 0 until the
    user changes it. queue_grouped: files are grouped by variable. queue_keys: their keys are shown. selection: the
    latest request, as JSON of `request_form`.
    """

    folder: str = ""
    workers: int | Literal["auto"] = _SETTINGS.workers
    rate_limit: int | str = 0
    retries: int = 6
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    disk_reserve: int = 512 * 1024 * 1024
    verify: bool = True
    read_back: bool = False
    opaque_etags: bool = False
    flat: bool = False
    proxy: str = field(default="", repr=False)  # may contain a password
    ca_bundle: str = ""
    endpoint_url: str = ""
    bucket: str = "nsf-ncar-era5"
    region: str = "us-west-2"
    language: str = ""
    theme: str = "light"
    notifications: bool = True
    geometry: str = ""
    request_width: int = 0
    queue_grouped: bool = False
    queue_keys: bool = False
    selection: str = ""

    def to_settings(self) -> Settings:
        """Return the settings for the engine. Raises UsageError if an address is invalid or a file does not exist."""
        return Settings(
            endpoint_url=self.endpoint_url or None,
            bucket=self.bucket,
            region=self.region,
            ca_bundle=self.ca_bundle or None,
            proxy=self.proxy or None,
            workers=self.workers,
            rate_limit=self.rate_limit or None,
            retries=self.retries,
            verify=self.verify,
            read_back=self.read_back,
            opaque_etags=self.opaque_etags,
            flat=self.flat,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            disk_reserve=self.disk_reserve,
        )


def preferences_file() -> Path:
    """Return the path: in ERA5DL_STATE_DIR if that is set, else in the system's folder for configuration."""
    chosen = os.environ.get("ERA5DL_STATE_DIR")
    if chosen:
        return Path(chosen).absolute() / "window.json"
    import platformdirs

    return platformdirs.user_config_path("era5dl", appauthor=False) / "window.json"


def load(path: Path | None = None) -> Preferences:
    """Return the saved preferences, or the defaults if they cannot be read. Raises no errors."""
    try:
        path = path or preferences_file()
        raw = parse_json(read_regular_file(path, _MAX_BYTES))
        if type(raw) is not dict:
            raise Malformed("it holds no settings")
    except FileNotFoundError:
        return Preferences()
    except Malformed as problem:
        _log.warning("the settings of the window are set aside: %s", problem)
        with suppress(OSError):
            assert path is not None
            path.replace(path.with_name(path.name + ".damaged"))
        return Preferences()
    except (OSError, RuntimeError) as problem:  # RuntimeError: no home folder
        _log.warning("the settings of the window cannot be read: %s", problem)
        return Preferences()
    found = {f.name: raw[f.name] for f in fields(Preferences) if f.name in raw and _fits(f, raw[f.name])}
    if "endpoint_url" in found:  # earlier versions accepted a password in it
        found["endpoint_url"] = strip_credentials(found["endpoint_url"])
    return Preferences(**found)


def save(preferences: Preferences, path: Path | None = None) -> bool:
    """Save the preferences. If that fails, log the reason and return False. Raises no errors."""
    changed = {f.name: getattr(preferences, f.name) for f in fields(Preferences)}
    changed = {f.name: changed[f.name] for f in fields(Preferences) if changed[f.name] != f.default}
    try:
        path = path or preferences_file()
        private_files.make_private_folder(path.parent)
        write_atomically(path, [json.dumps(changed, indent=1).encode("ascii") + b"\n"], private_files.FILE_MODE)
    except (OSError, RuntimeError, ValueError) as problem:
        _log.warning("the settings of the window cannot be saved: %s", problem)
        return False
    return True


def _is_timetable(text: str) -> bool:
    try:
        return isinstance(normalize_rate_limit(text), str)
    except UsageError:
        return False


def _fits(field: Any, value: object) -> bool:
    """Return whether a value has the right type, is within its bounds, and is one of the choices if there are any."""
    if field.name == "workers":
        return value == AUTO or (type(value) is int and 1 <= value <= MAX_AUTO_WORKERS)
    if field.name == "rate_limit" and isinstance(value, str):
        return _is_timetable(value)
    if field.name == "rate_limit" and type(value) is int and 0 < value < MIN_RATE:
        return False  # accepted by earlier versions
    if type(field.default) is float and type(value) is int:
        pass
    elif type(value) is not type(field.default):
        return False
    if field.name in CHOICES:
        return value in CHOICES[field.name]
    if field.name in BOUNDS:
        low, high = BOUNDS[field.name]
        return low <= cast(float, value) <= high
    if field.name == "geometry":
        return value == "" or GEOMETRY.fullmatch(str(value)) is not None
    if isinstance(value, str):
        return len(value) <= (_MAX_BYTES if field.name == "selection" else _MAX_LENGTH) and value.isprintable()
    return True
