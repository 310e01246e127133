"""Session information: id, title, server and plan of a session, which do not change while it runs."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from era5dl.days import LAST_DAY, LATEST
from era5dl.errors import BadSelection
from era5dl.formatting import format_count
from era5dl.planner.estimate import estimate_plan
from era5dl.planner.plan import Plan
from era5dl.settings import Settings
from era5dl.subset.description import describe_subset
from era5dl.subset.selection import Subset
from era5dl.validation import canonical_json

SESSION_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_TABLE_AND_PARAMETER = re.compile(r"^\d+_\d+_", re.ASCII)  # 128_130_t: table 128, parameter 130
_MAX_NAMES = 5  # variable names in a title


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """The part of a resume file that does not change while a session runs."""

    id: str  # see `session_id`
    title: str  # description for users
    created: float  # seconds since 1970
    bucket: str
    endpoint_url: str | None
    region: str
    flat: bool
    verify: bool
    request: Mapping[str, Any]
    plan_digest: str
    files: int
    missing: int
    total_bytes: int  # to fetch: of whole objects, or of the subset, which is an estimate at first

    @classmethod
    def for_plan(cls, plan: Plan, settings: Settings) -> SessionInfo:
        """Return the information for a new session of this plan."""
        return cls(
            id=session_id(plan.request, settings),
            title=title_of(plan.request),
            created=time.time(),
            bucket=settings.bucket,
            endpoint_url=settings.endpoint_url,
            region=settings.region,
            flat=settings.flat,
            verify=settings.verify,
            request=dict(plan.request),
            plan_digest=plan.digest,
            files=len(plan.objects),
            missing=len(plan.missing),
            total_bytes=plan.total_bytes if plan.subset.is_everything else estimate_plan(plan).total.fetched,
        )


def session_id(request: Mapping[str, Any], settings: Settings) -> str:
    """Return 12 hex digits derived from the request, the bucket and the folder layout.

    So the same command in the same folder finds its session again.
    """
    identity = {
        "request": dict(request),
        "bucket": settings.bucket,
        "endpoint_url": settings.endpoint_url,
        "flat": settings.flat,
    }
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:12]


def title_of(request: Mapping[str, Any]) -> str:
    """Describe a request, for example "t, u, v of e5.oper.an.pl, 2021-02-01 to 2021-02-28; 0,12 UTC". Never fails."""
    number = request.get("count")
    if type(number) is int:
        return f"{format_count(number, 'key')} from a list" + _describe_subset(request.get("subset"))
    selection = request.get("selection")
    if not isinstance(selection, Mapping):
        return "ERA5 files"
    variables = _describe_variables(selection.get("variables"))
    days = _describe_days(selection.get("days"))
    return (f"{variables}, {days}" if days else variables) + _describe_subset(selection.get("subset"))


def _describe_subset(subset: object) -> str:
    if subset is None:
        return ""
    try:
        return f"; {describe_subset(Subset.from_json(subset))}"
    except BadSelection:
        return ""


def _describe_variables(names: object) -> str:
    if not isinstance(names, list) or not names:
        return "ERA5 files"
    products: dict[str, list[str]] = {}
    for name in names:
        product, _, variable = str(name).rpartition("/")
        products.setdefault(product, []).append(_TABLE_AND_PARAMETER.sub("", variable))
    if len(names) > _MAX_NAMES:
        text = format_count(len(names), "variable")
    else:
        text = ", ".join(variable for variables in products.values() for variable in variables)
    return f"{text} of {' and '.join(products)}" if len(products) <= 2 and all(products) else text


def _describe_days(days: object) -> str:
    if not isinstance(days, list) or not days or not all(isinstance(span, list) and len(span) == 2 for span in days):
        return ""
    first, last = str(days[0][0]), str(days[-1][1])
    if last.startswith(str(LAST_DAY.year)):
        last = LATEST
    if first == last:
        return first
    return f"{first} to {last}" + (" (with gaps)" if len(days) > 1 else "")
