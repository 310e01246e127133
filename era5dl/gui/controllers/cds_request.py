"""Controller of the dialog for requests of the Climate Data Store: has their text read, and uses what they select."""

from __future__ import annotations

from era5dl.cds import Translation
from era5dl.gui.backend import messages
from era5dl.gui.backend.messages import Message
from era5dl.gui.backend.planning import PlanningService
from era5dl.gui.controllers import Controller
from era5dl.gui.controllers.request import RequestController
from era5dl.gui.dialogs.cds_request import CdsRequestDialog
from era5dl.gui.dialogs.opener import DialogOpener
from era5dl.gui.models.cds_form import Line, choices, error_lines, fields_of, lines_of


class CdsRequestController(Controller):
    """request: whose fields are filled in."""

    def __init__(self, planning: PlanningService, dialogs: DialogOpener, request: RequestController) -> None:
        self._planning, self._dialogs, self._request = planning, dialogs, request
        self._dialog: CdsRequestDialog | None = None
        self._number = 0  # of the latest text
        self._translation: Translation | None = None

    def open(self) -> None:
        """Open the dialog."""
        self._dialog = self._dialogs.show_cds_request(self._changed, self._use, self._closed)

    def handle(self, message: Message) -> None:
        match message:
            case messages.CdsTranslated() if message.number == self._number and self._dialog is not None:
                self._translation = message.translation
                self._show(message.error)

    def retranslate(self) -> None:
        if self._dialog is not None and self._translation is not None:
            self._show(None)

    # --- inside

    def _changed(self, text: str) -> None:
        if text.strip():
            self._number = self._planning.translate(text)
        else:
            self._number, self._translation = 0, None
            self._show(None)

    def _show(self, error: messages.ErrorInfo | None) -> None:
        if self._dialog is None:
            return
        if self._translation is not None:
            lines = lines_of(self._translation)
            selections = choices(self._translation)
            for selection in self._translation.selections:
                if note := fields_of(selection, self._request.fields)[1]:
                    lines.append(Line("note", note))
            self._dialog.show(lines, selections)
        elif error is not None:
            lines, place = error_lines(error.detail, error.remedy)
            self._dialog.show(lines, [], marked=place)
        else:
            self._dialog.show([], [])

    def _use(self, number: int) -> None:
        if self._translation is not None:
            fields, _note = fields_of(self._translation.selections[number], self._request.fields)
            self._request.fill(fields)

    def _closed(self) -> None:
        self._dialog, self._number = None, 0
