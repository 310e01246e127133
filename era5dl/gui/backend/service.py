"""Entry point to the backend: creates its services, holds the queue of messages to the window, and ends everything.

Commands return at once; work happens on threads that nobody joins. Results come as messages through one queue, which
`poll` empties on the Tk thread; the progress of a run is read with `runs.snapshot()`. Nothing here raises for the
network, the disk or a damaged file: such errors are messages too.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue

from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics
from era5dl.diagnosis.network_test import run_network_test
from era5dl.gui.backend import messages
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled
from era5dl.gui.backend.bucket_access import BucketAccess, MakeBucket, s3_bucket
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.planning import PlanningService
from era5dl.gui.backend.runs import RunService
from era5dl.gui.backend.sessions import SessionService
from era5dl.settings import Settings

NETWORK_TEST = "testing"  # `messages.TaskCrashed.task` of a network test


class BackendService:
    """One for the life of the window."""

    def __init__(self, make_bucket: MakeBucket = s3_bucket) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self.request_metrics = RequestMetrics()
        self._access = BucketAccess(lambda settings: MeasuredBucket(make_bucket(settings), self.request_metrics))
        self.planning = PlanningService(self._access, self.post, self._crashed)
        self.runs = RunService(self._access, self.post, self._crashed)
        self.sessions = SessionService(self._access, self.post, self._crashed)
        self._network_test_task = BackgroundTask(NETWORK_TEST, self._crashed)

    def post(self, message: Message) -> None:
        """Queue a message for the window; from any thread."""
        self._messages.put(message)

    def poll(self, limit: int = 200) -> list[Message]:
        """Take messages from the queue, oldest first, at most `limit`."""
        taken: list[Message] = []
        with contextlib.suppress(Empty):
            while len(taken) < limit:
                taken.append(self._messages.get_nowait())
        return taken

    @property
    def safe_to_exit(self) -> bool:
        """Whether no work is in progress that would be lost if the program ended now."""
        return not self.runs.busy and not self.sessions.verifying

    def trust_server(self, address: str) -> None:
        """The user agrees to the server of a session: `messages.ConsentRequired.address`."""
        self._access.trust(address)

    def test_network(self, settings: Settings) -> None:
        """Measure the connection to the bucket."""

        def job(cancelled: IsCancelled) -> None:
            found = run_network_test(settings)
            if not cancelled():
                self.post(messages.NetworkTested(found))

        self._network_test_task.submit(job)

    def close(self) -> None:
        """Cancel and stop everything, and start nothing more. Returns at once; then wait for `safe_to_exit`."""
        self.planning.close()
        self.sessions.close()
        self._network_test_task.cancel()
        self.runs.close()

    def _crashed(self, task: str, error: BaseException) -> None:
        self.post(messages.TaskCrashed(task, ErrorInfo.of(error)))
