"""From a selection, or a list of keys, to the objects that are really in the bucket.

Keys are predicted and then confirmed by listing; nothing is written anywhere. A listing that fails is an error, never a
shorter plan.
"""

from era5dl.planner.from_keys import no_files, plan_keys
from era5dl.planner.from_selection import make_plan
from era5dl.planner.keys_file import read_keys
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED, Missing, Plan

__all__ = ["ABSENT", "NOT_YET_PUBLISHED", "Missing", "Plan", "make_plan", "no_files", "plan_keys", "read_keys"]
