"""Store of the months of an export, until all are there: a folder beside the target, with a file about its progress."""

from __future__ import annotations

import json
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from era5dl.dataset.field import EXPORT_ID
from era5dl.errors import UsageError
from era5dl.folder.atomic_write import write_atomically
from era5dl.subset.write import output_chunk_shape

Blocks = Iterable[tuple[str, int, np.ndarray[Any, Any]]]
"""Values of a month: name of the variable, position of the first time in the data set, values."""

_STATE = "era5dl-export.json"
_MAX_STATE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Month:
    """The times start:stop of a data set. name: such as 2021-02."""

    name: str
    start: int
    stop: int


class MonthStore(ABC):
    """The months of one export. Methods raise OSErrors."""

    def __init__(self, target: Path, data: xarray.Dataset, months: Sequence[Month]) -> None:
        self.target = target
        self.data = data
        self.months = months
        self.folder = target.with_name(target.name + ".parts")
        self._done: set[str] = set()

    @staticmethod
    @abstractmethod
    def check_installed() -> None:
        """Raise UsageError, with the install command, if a library is missing."""

    @abstractmethod
    def id_of_target(self) -> str:
        """Return the id of the export that has the final name; "" if there is another file."""

    @abstractmethod
    def create(self) -> None:
        """Create what months are written to, in the empty folder."""

    @abstractmethod
    def write_blocks(self, month: Month, blocks: Blocks) -> None:
        """Write a month. An interrupted attempt may have left a part of it."""

    @abstractmethod
    def finish(self, check: Callable[[], None]) -> None:
        """Give the complete result its final name, and remove the folder. check: called often; may raise."""

    def begin(self) -> None:
        """Continue an interrupted export of the same data, or begin a new one.

        Raises UsageError if a folder of another kind has the name of the folder for the months.
        """
        identity = self.data.attrs[EXPORT_ID]
        state = self._state()
        if state.get("id") == identity:
            self._done = set(map(str, state.get("months", ())))
            return
        if self.folder.is_symlink() or (self.folder.exists() and not state):
            raise UsageError(f"{self.folder} is there already.", remedy="Delete it, or choose another name.")
        if state:
            shutil.rmtree(self.folder)  # months of other data
        self.folder.mkdir(parents=True)
        self._save()
        self.create()
        self._save()

    def has(self, month: Month) -> bool:
        """Return whether a month is complete."""
        return month.name in self._done

    def write(self, month: Month, blocks: Blocks) -> None:
        """Write a month, and record that it is complete."""
        self.write_blocks(month, blocks)
        self._done.add(month.name)
        self._save()

    def chunk_shape(self, one: xarray.DataArray) -> tuple[int, ...]:
        """Return the chunks of a variable, about 1 MiB each, and such that months begin with a chunk if chunks are not
        much smaller then. So months can be copied without compressing them again."""
        edges = output_chunk_shape(one.shape, one.dtype.itemsize)
        if "time" not in one.dims:
            return edges
        common = math.gcd(*(month.start for month in self.months)) or edges[0]
        fitting = max(edge for edge in range(1, edges[0] + 1) if common % edge == 0)
        return (fitting if fitting * 4 >= edges[0] else edges[0], *edges[1:])

    def _state(self) -> dict[str, Any]:
        if self.folder.is_symlink():
            return {}
        try:
            with (self.folder / _STATE).open("rb") as file:
                state = json.loads(file.read(_MAX_STATE))
        except (OSError, ValueError, RecursionError):
            return {}
        return state if isinstance(state, dict) and isinstance(state.get("months"), list) else {}

    def _save(self) -> None:
        state = {"id": self.data.attrs[EXPORT_ID], "months": sorted(self._done)}
        write_atomically(self.folder / _STATE, [json.dumps(state).encode()])
