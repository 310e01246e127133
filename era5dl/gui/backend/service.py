"""Entry point to the backend: creates its services, holds the queue of messages to the window, and shuts down.

Commands return at once, because the work is done on threads, which are never joined. Results are messages in one queue,
from which `poll` takes them on the Tk thread. The progress of a run is read with `runs.snapshot()`. Errors of the
network, the disk or a damaged file are messages, too.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue

from era5dl.diagnosis.measured_bucket import MeasuredBucket, RequestMetrics
from era5dl.diagnosis.network_test import run_network_test
from era5dl.gui.backend import messages
from era5dl.gui.backend.archives import ArchiveService
from era5dl.gui.backend.background_task import BackgroundTask, IsCancelled
from era5dl.gui.backend.bucket_access import BucketAccess, MakeBucket, s3_bucket
from era5dl.gui.backend.jobs import JobService
from era5dl.gui.backend.messages import ErrorInfo, Message
from era5dl.gui.backend.planning import PlanningService
from era5dl.gui.backend.previews import PreviewService
from era5dl.gui.backend.runs import RunService
from era5dl.gui.backend.sessions import SessionService
from era5dl.settings import Settings

NETWORK_TEST = "testing"  # `messages.TaskCrashed.task` of a network test


class BackendService:
    """The services of one window."""

    def __init__(self, make_bucket: MakeBucket = s3_bucket) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self.request_metrics = RequestMetrics()
        self._access = BucketAccess(lambda settings: MeasuredBucket(make_bucket(settings), self.request_metrics))
        self.planning = PlanningService(self._access, self.post, self._crashed)
        self.runs = RunService(self._access, self.post, self._crashed)
        self.jobs = JobService(self._access, self.runs, self.post, self._crashed)
        self.sessions = SessionService(self._access, self.post, self._crashed)
        self.archives = ArchiveService(self._access, self.post, self._crashed)
        self.previews = PreviewService(self.post, self._crashed)
        self._network_test_task = BackgroundTask(NETWORK_TEST, self._crashed)

    def post(self, message: Message) -> None:
        """Add a message for the window to the queue. May be called on any thread."""
        self._messages.put(message)

    def poll(self, limit: int = 200) -> list[Message]:
        """Remove and return at most `limit` messages from the queue, the oldest first."""
        messages: list[Message] = []
        with contextlib.suppress(Empty):
            while len(messages) < limit:
                messages.append(self._messages.get_nowait())
        return messages

    @property
    def busy(self) -> bool:
        """Whether a run is in progress, or this window runs jobs, so that no other run can start."""
        return self.runs.busy or self.jobs.running

    @property
    def safe_to_exit(self) -> bool:
        """Whether no work is in progress that would be lost if the program ended now."""
        return not self.busy and not self.sessions.verifying

    def trust_server(self, address: str) -> None:
        """Remember the user's consent to a server. address: `messages.ConsentRequired.address`."""
        self._access.trust(address)

    def test_network(self, settings: Settings) -> None:
        """Start a test of the connection to the bucket."""

        def job(cancelled: IsCancelled) -> None:
            found = run_network_test(settings)
            if not cancelled():
                self.post(messages.NetworkTested(found))

        self._network_test_task.submit(job)

    def close(self) -> None:
        """Cancel and stop everything, and start nothing more. Returns at once. The caller waits for `safe_to_exit`."""
        self.planning.close()
        self.sessions.close()
        self.archives.close()
        self.previews.close()
        self._network_test_task.cancel()
        self.jobs.stop()
        self.runs.close()

    def _crashed(self, task: str, error: BaseException) -> None:
        self.post(messages.TaskCrashed(task, ErrorInfo.of(error)))
