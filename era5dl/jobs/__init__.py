"""Job queue: downloads that wait until a program runs them, one after the other; updates of archives; schedules.

`era5dl.jobs.job_list` is the list on disk, which all windows and commands of a user share. `era5dl.jobs.update` finds
out what has appeared in the bucket since a download. `era5dl.jobs.schedule` lets the system run updates regularly.
"""

from era5dl.jobs.job import Job, JobEnd, JobState, Request
from era5dl.jobs.job_list import JobList, JobRunner

__all__ = ["Job", "JobEnd", "JobList", "JobRunner", "JobState", "Request"]
