"""The three steps from Python: `select`, `plan`, `download`. The command line and the window take the same ones.

    import era5dl

    wanted = era5dl.select("2t", start="2020-01-01", end="2020-01-31")
    made = era5dl.plan(wanted)
    print(len(made.objects), "files,", made.total_bytes, "bytes,", len(made.missing), "missing")
    result = era5dl.download(made, "era5", progress=lambda now: print(now.done_bytes, "of", now.total_bytes))
    assert result.complete, result.failures

Nothing here prints or installs a signal handler. Everything that goes wrong is an `era5dl.errors.Era5Error`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from era5dl.engine.events import Event, FileDone, FileFailed
from era5dl.engine.progress import Snapshot
from era5dl.engine.reporting import CheckedFiles
from era5dl.errors import BadSelection, UnknownName
from era5dl.selection import Selection, choose, days_of
from era5dl.settings import Settings

if TYPE_CHECKING:
    from era5dl.bucket.interface import Bucket
    from era5dl.catalog import Variable
    from era5dl.planner import Missing, Plan
    from era5dl.session import Session

Names = str | Sequence[str]
Numbers = int | str | Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Result:
    """How a download ended.

    verified, checked, failed, unfinished: files. failures: the failed ones with their reasons. missing: asked for, but
    not in the bucket. error: what ended everything before its time, "" when nothing did; remedy: what to do about it.
    checked_because: key -> why, of every file that is checked and not verified.
    """

    verified: int
    checked: int
    failed: int
    unfinished: int
    fetched_bytes: int
    elapsed: float  # seconds
    failures: tuple[FileFailed, ...]
    missing: tuple[Missing, ...]
    error: str
    remedy: str
    checked_because: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Everything that was asked for is in place and proven."""
        return not (self.failed or self.unfinished or self.missing or self.error)


def select(
    variables: Names = (),
    *,
    product: Names | None = None,
    preset: str | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    years: Numbers = (),
    months: Numbers = (),
    days: Numbers = (),
) -> Selection:
    """What is wanted: variables by any of their names, and days (UTC).

    variables: "2t", "an.pl/t", "128_130_t", "t2m" ...; one or several. product: where to look for them; alone, all of
    its variables. preset: the variables of a model ("wrf"), beside those named. start, end: both included, YYYY-MM-DD.
    years, months, days: 2020, range(2000, 2006), "2000-2005,2010" ...; without start and end, or narrowing them.

    Raises UnknownName or AmbiguousName, which name candidates, and BadSelection. Asks no server.
    """
    chosen = _variables(_listed(variables), _listed(product or ()), preset)
    when = days_of(start=start, end=end, years=_listed(years), months=_listed(months), days=_listed(days))
    return Selection(chosen, when)


def plan(
    selection: Selection,
    *,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Plan:
    """Ask the bucket what there is of a selection: `objects` with their sizes and ETags, and what is `missing`.

    settings, options: as for `download`. progress: called with the listings done and in all. Writes nothing.
    Raises a BucketError when a listing fails: a plan is whole or it is not made.
    """
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.planner import make_plan

    return make_plan(selection, S3Bucket(_settings(settings, options)), on_progress=progress)


def download(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    progress: Callable[[Snapshot], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> Result:
    """Fetch the plan into the folder `out` and prove every byte. Called again, it goes on where it ended.

    progress: called in this thread about five times a second. on_event: called on the engine's threads; must return at
    once. settings: a whole Settings; otherwise `options` are its fields (workers=4, rate_limit=5_000_000 ...), and what
    they leave open comes from the environment (ERA5DL_WORKERS ...).

    A file that fails does not end the rest: look at `Result.failures`; what ended everything, such as a disk that is
    too small, is `Result.error`. Raises FolderUnusable, SessionBusy, UsageError. On KeyboardInterrupt, or when
    `progress` raises, the engine stops cleanly, what has come is kept for the next call, and the exception goes on.
    """
    from era5dl.bucket.s3 import S3Bucket
    from era5dl.session import Session

    chosen = _settings(settings, options)
    with Session.begin(Path(out), plan, chosen) as session:
        return _run(S3Bucket(chosen), session, chosen, _Watchers(progress, on_event))


@dataclass(frozen=True, slots=True)
class _Watchers:
    progress: Callable[[Snapshot], None] | None
    on_event: Callable[[Event], None] | None


def _run(bucket: Bucket, session: Session, settings: Settings, watchers: _Watchers) -> Result:
    from era5dl.engine.engine import Engine

    failures: dict[int, FileFailed] = {}
    checked = CheckedFiles()

    def hear(event: Event) -> None:
        checked.record(event)
        if isinstance(event, FileFailed):
            failures[event.index] = event
        elif isinstance(event, FileDone):
            failures.pop(event.index, None)
        if watchers.on_event is not None:
            watchers.on_event(event)

    engine = Engine(bucket, session, settings, hear)
    engine.start()
    try:
        while not engine.wait(0.2):
            if watchers.progress is not None:
                watchers.progress(engine.snapshot())
    except BaseException:  # Ctrl-C in a notebook, or a progress callback that raises
        engine.stop()
        engine.wait(5.0)
        raise
    last = engine.snapshot()
    if watchers.progress is not None:
        watchers.progress(last)
    ended = engine.result
    assert ended is not None, "an engine that has ended has a result"
    objects = session.plan.objects
    return Result(
        verified=ended.verified,
        checked=ended.checked,
        failed=ended.failed,
        unfinished=ended.unfinished,
        fetched_bytes=last.fetched_bytes,
        elapsed=last.elapsed,
        failures=tuple(failures.values()),
        missing=session.plan.missing,
        error=ended.error,
        remedy=ended.remedy,
        checked_because={objects[index].key: why for index, why in checked.reasons(engine.states()).items()},
    )


def _settings(settings: Settings | None, options: dict[str, Any]) -> Settings:
    if settings is None:
        return Settings.from_environment(os.environ, **options)
    if options:
        raise TypeError(f"give either settings or single options, not both: {', '.join(options)}")
    return settings


def _listed(value: Any) -> list[Any]:
    """One thing or several, as a list; a text may hold several with commas."""
    if value is None:
        return []
    items = [value] if isinstance(value, (str, int)) else list(value)
    return [part for item in items for part in _parts(item)]


def _parts(item: Any) -> list[Any]:
    return [part.strip() for part in item.split(",") if part.strip()] if isinstance(item, str) else [item]


def _variables(names: list[str], products: list[str], preset: str | None) -> tuple[Variable, ...]:
    """The variables that are meant. A name is looked for in every product given, and must be in one of them."""
    from era5dl.catalog import find_product, search

    presets = [preset] if preset else []
    if products and not names:
        if presets:
            raise BadSelection(
                "A preset names its variables itself; it does not go with a whole product.",
                remedy="Leave one of them out, or name the product's variables.",
            )
        return tuple(variable for name in products for variable in search("", find_product(name)))
    if len(products) <= 1:
        return choose(names, presets=presets, product=products[0] if products else None)
    found = list(choose((), presets=presets))
    for name in names:
        found += _in_any(name, products)
    return tuple(dict.fromkeys(found))


def _in_any(name: str, products: list[str]) -> list[Variable]:
    """The variable of this name in each of the products that has it. Raises UnknownName when none has."""
    found: list[Variable] = []
    refusals: list[UnknownName] = []
    for product in products:
        try:
            found += choose([name], product=product)
        except UnknownName as refusal:  # noqa: PERF203 - a handful of products at most
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return found
