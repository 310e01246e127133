"""Translation of a text with requests of the CDS: parses it, and says what each request is in this bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from era5dl.cds.read import read_requests
from era5dl.cds.request import CdsItem, CdsRequest, Note, Status
from era5dl.cds.selections import merge_loops, selections_of
from era5dl.cds.translate import translate
from era5dl.errors import BadSelection
from era5dl.selection import Selection


@dataclass(frozen=True, slots=True)
class Translation:
    """Everything that a text asks for. requests: in its order."""

    requests: tuple[CdsRequest, ...]

    @property
    def selections(self) -> tuple[Selection, ...]:
        """What can be downloaded, in as few selections as possible."""
        return selections_of(self.requests)

    @property
    def selection(self) -> Selection:
        """What can be downloaded. Raises BadSelection if it is nothing, or needs more than one selection."""
        selections = self.selections
        if len(selections) > 1:
            message = f"The requests are {len(selections)} selections, with different dates, areas, hours or levels."
            raise BadSelection(message, remedy="Use each of `selections`.")
        if not selections:
            reasons = [request.reason for request in self.requests if request.reason]
            reasons += [f"{item.asked}: {item.reason}" for item in self.items if item.status is Status.ABSENT]
            raise BadSelection("Nothing of this request is in the bucket.", remedy=" ".join(reasons[:3]))
        return selections[0]

    @property
    def items(self) -> tuple[CdsItem, ...]:
        """The variables of all requests."""
        return tuple(item for request in self.requests for item in request.items)

    @property
    def warnings(self) -> tuple[Note, ...]:
        """What has to be known about all requests."""
        return tuple(dict.fromkeys(note for request in self.requests for note in request.warnings))

    @property
    def is_complete(self) -> bool:
        """Whether everything that is asked for is in the bucket, or can be derived."""
        return all(request.is_complete for request in self.requests)


def from_cds(request: str | Mapping[str, Any] | list[Any], dataset: str | None = None) -> Translation:
    """Return what a request of the Climate Data Store is in this bucket. Sends no request.

    request: a dict, several, or a text: JSON, a dict, or a whole script, which is parsed and never executed.
    dataset: such as "reanalysis-era5-single-levels", for requests that do not name theirs.

    `Translation.selection` is for `era5dl.plan`; `items` say what became of each variable, `warnings` what to know.
    Raises BadSelection, with line and column, for a text that is no request and for values that cannot be.
    """
    return Translation(merge_loops([translate(raw) for raw in read_requests(request, dataset or "")]))
