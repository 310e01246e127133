"""Planner: finds the objects in the bucket that a selection, or a list of keys, asks for.

Keys are predicted and then confirmed by listing the bucket. Nothing is written to disk. If a listing fails, planning
fails; it never returns an incomplete plan.
"""

from era5dl.planner.estimate import PlanEstimate, estimate_plan
from era5dl.planner.from_keys import plan_keys
from era5dl.planner.from_selection import make_plan
from era5dl.planner.keys_file import read_keys
from era5dl.planner.passed_over import describe_passed_over
from era5dl.planner.plan import ABSENT, NOT_YET_PUBLISHED, Missing, Plan

__all__ = [
    "ABSENT",
    "NOT_YET_PUBLISHED",
    "Missing",
    "Plan",
    "PlanEstimate",
    "describe_passed_over",
    "estimate_plan",
    "make_plan",
    "plan_keys",
    "read_keys",
]
